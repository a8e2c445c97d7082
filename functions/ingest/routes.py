"""The ingestion API: documents in, their jobs, and the sources they became."""

import time
from typing import Annotated, Final
from uuid import UUID

from fastapi import File, Form, Query, Request, UploadFile
from fastapi.responses import Response

from functions.ingest import remove, submit
from functions.ingest.bodies import (
    WAIT_MAX,
    Ingested,
    IngestText,
    JobOut,
    JobPage,
    Language,
    SourceOut,
    SourcePage,
    Tags,
    TextOut,
    pages_of,
)
from functions.ingest.extract.sniff import sniff
from functions.ingest.submit import Submission, safe_name
from minirag.knowledge import jobs, sources, texts
from minirag.runtime import db, page
from minirag.runtime.errors import MiniRagError, NotFound, TooLarge, Unprocessable
from minirag.runtime.http import client_ip, create_app, read_model, remaining_seconds, workspace_of
from minirag.tenancy.access import needs
from minirag.tenancy.identity import Caller, credential, identify

app = create_app("ingest")

Reader = Annotated[Caller, needs("read")]
Writer = Annotated[Caller, needs("write")]
Offset = Annotated[int, Query(ge=0, lt=2**31)]
Limit = Annotated[int, Query(ge=1, le=page.MAX_LIMIT)]

_POLL_SECONDS: Final = 0.05
_FILES_MAX: Final = 50
# Code points; in a Lambda response each may take twelve of six million bytes.
_TEXT_SLICE_MAX: Final = 500_000


@app.post("/api/v1/ingest/files", status_code=202, response_model=Ingested)
async def ingest_files(
    request: Request,
    files: Annotated[list[UploadFile], File(max_length=_FILES_MAX)],
    language: Annotated[Language | None, Form()] = None,
    tags: Annotated[Tags, Form()] = [],  # noqa: B006  FastAPI copies defaults
    source_id: Annotated[UUID | None, Form()] = None,
    wait: Annotated[float, Form(ge=0, le=WAIT_MAX)] = 0,
    workspace_id: Annotated[UUID | None, Form()] = None,
) -> Ingested:
    """Take files in: each becomes a source of its own, or all of one request nothing if one is refused."""
    caller = identify(credential(request.headers), workspace_of(request, workspace_id), scope="write")
    if source_id is not None and len(files) != 1:
        raise Unprocessable("With source_id send exactly one file: it replaces that source.")
    submissions: list[Submission] = []
    for file in files:
        name = safe_name(file.filename or "", default="file")
        data = await file.read()
        try:
            sniff(data, name)
        except MiniRagError as error:
            if len(files) > 1:
                error.detail += " None of the files of this request was stored."
            raise
        submissions.append(Submission(name, data, False, language, tags, source_id))
    return _submit(request, caller, submissions, wait)


@app.post(
    "/api/v1/ingest/text",
    status_code=202,
    response_model=Ingested,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": IngestText.model_json_schema()}}}},
)
async def ingest_text(request: Request) -> Ingested:
    """Take pasted text in, as JSON or a form."""
    key = credential(request.headers)
    body = await read_model(request, IngestText)
    caller = identify(key, workspace_of(request, body.workspace_id), scope="write")
    if not body.text.strip():
        raise Unprocessable("The text is empty.", code="empty_file")
    # A lone surrogate is valid JSON and no character: it is replaced, as in files.
    data = body.text.encode("utf-8", "replace")
    title = safe_name(body.title.replace("/", " "), default="text")
    return _submit(
        request, caller, [Submission(title, data, True, body.language, body.tags, body.source_id)], body.wait
    )


def _submit(request: Request, caller: Caller, submissions: list[Submission], wait: float) -> Ingested:
    ids = [submit.submit(caller, submission) for submission in submissions]
    deadline = time.monotonic() + min(wait, remaining_seconds(request))
    current = _jobs(caller, ids)
    while any(not job.ended for job in current) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        current = _jobs(caller, ids)
    ended = all(job.ended for job in current)
    done = sum(job.status == "done" for job in current)
    message = f"Indexed: {done} of {len(ids)}." if ended else f"Queued: {len(ids)}."
    reasons = [f"{job.name}: {job.error_detail}" for job in current if job.status == "failed"]
    return Ingested(
        message=" ".join([message, *reasons]),
        chunks_added=sum(job.chunks_added for job in current) if ended else 0,
        job_id=ids[0],
        jobs=[JobOut.of(job) for job in current],
    )


def _jobs(caller: Caller, ids: list[UUID]) -> list[jobs.Job]:
    with db.transaction(caller.tenant) as tx:
        found = [jobs.find(tx, caller.workspace_id, job_id) for job_id in ids]
    return [job for job in found if job is not None]


@app.get("/api/v1/jobs", response_model=JobPage)
async def list_jobs(caller: Reader, limit: Limit = page.DEFAULT_LIMIT, cursor: str | None = None) -> JobPage:
    """The workspace's jobs, newest first."""
    after = page.decode(cursor)
    with db.transaction(caller.tenant) as tx:
        rows = jobs.page(tx, caller.workspace_id, after=after, limit=limit + 1)
    return JobPage(items=[JobOut.of(job) for job in rows[:limit]], next_cursor=page.next_cursor(rows, limit))


@app.get("/api/v1/jobs/{job_id}", response_model=JobOut)
async def get_job(job_id: UUID, caller: Reader) -> JobOut:
    """One job."""
    with db.transaction(caller.tenant) as tx:
        job = jobs.find(tx, caller.workspace_id, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    return JobOut.of(job)


@app.get("/api/v1/sources", response_model=SourcePage)
async def list_sources(caller: Reader, limit: Limit = page.DEFAULT_LIMIT, cursor: str | None = None) -> SourcePage:
    """The workspace's documents, newest first."""
    after = page.decode(cursor)
    with db.transaction(caller.tenant) as tx:
        rows = sources.page(tx, caller.workspace_id, after=after, limit=limit + 1)
    return SourcePage(items=[SourceOut.of(row) for row in rows[:limit]], next_cursor=page.next_cursor(rows, limit))


@app.get("/api/v1/sources/{source_id}", response_model=SourceOut)
async def get_source(source_id: UUID, caller: Reader) -> SourceOut:
    """One document."""
    return SourceOut.of(_source(caller, source_id))


@app.get("/api/v1/sources/{source_id}/text", response_model=TextOut)
async def get_text(
    source_id: UUID,
    caller: Reader,
    start: Offset = 0,
    end: Offset | None = None,
) -> TextOut:
    """The canonical text that every start and end refers to, in code points; a slice of it on request."""
    with db.snapshot(caller.tenant) as tx:
        if sources.find(tx, caller.workspace_id, source_id) is None:
            raise NotFound("There is no such source.")
        length = texts.length(tx, caller.workspace_id, source_id)
        stop = length if end is None else min(end, length)
        if stop - start > _TEXT_SLICE_MAX:
            raise TooLarge(
                f"The text has {length} characters. Ask for parts of at most {_TEXT_SLICE_MAX} by start and end."
            )
        stored = texts.read(tx, caller.workspace_id, source_id, start, stop)
    return TextOut(text=stored.text, pages=pages_of(stored.parts))


@app.delete("/api/v1/sources/{source_id}", status_code=204)
async def delete_source(request: Request, source_id: UUID, caller: Writer) -> Response:
    """Delete a document: it is gone for every question when this returns."""
    remove.remove(caller, source_id, request_id=request.state.request_id, ip=client_ip(request))
    return Response(status_code=204)


def _source(caller: Caller, source_id: UUID) -> sources.Source:
    with db.transaction(caller.tenant) as tx:
        source = sources.find(tx, caller.workspace_id, source_id)
    if source is None:
        raise NotFound("There is no such source.")
    return source
