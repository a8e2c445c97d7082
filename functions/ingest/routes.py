"""The ingestion API: documents in; what became of them is in the catalog."""

import time
from typing import Annotated, Final
from uuid import UUID

from fastapi import File, Form, Request, UploadFile

from functions.ingest import catalog, submit
from functions.ingest.bodies import WAIT_MAX, Ingested, IngestText, JobOut, Language, Tags, UploadIn, UploadOut, UrlsIn
from functions.ingest.extract.sniff import sniff
from functions.ingest.names import safe_name
from functions.ingest.submit import Submission
from minirag.knowledge import jobs
from minirag.runtime import db
from minirag.runtime.errors import MiniRagError, Unprocessable
from minirag.runtime.http import described, remaining_seconds
from minirag.tenancy.access import IN_FORM, body_of, needs, origin_of
from minirag.tenancy.identity import Caller
from minirag.tenancy.roles import WRITE

app = catalog.app

_POLL_SECONDS: Final = 0.05
_FILES_MAX: Final = 50


@app.post("/api/v1/ingest/files", status_code=202, response_model=Ingested)
async def ingest_files(
    request: Request,
    caller: Annotated[Caller, needs(WRITE, named=IN_FORM)],
    files: Annotated[list[UploadFile], File(max_length=_FILES_MAX)],
    language: Annotated[Language | None, Form()] = None,
    tags: Annotated[Tags, Form()] = [],  # noqa: B006  FastAPI copies defaults
    source_id: Annotated[UUID | None, Form()] = None,
    wait: Annotated[float, Form(ge=0, le=WAIT_MAX)] = 0,
) -> Ingested:
    """Take files in: each becomes a source of its own, or all of one request nothing if one is refused."""
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
    return _wait(request, caller, [submit.submit(caller, one, origin_of(request)) for one in submissions], wait)


@app.post("/api/v1/ingest/uploads", status_code=201, response_model=UploadOut, openapi_extra=described(UploadIn))
async def ingest_upload(
    request: Request,
    caller: Annotated[Caller, needs(WRITE, body=UploadIn)],
    body: Annotated[UploadIn, body_of(UploadIn)],
) -> UploadOut:
    """Say where a file, also a large one, is to be posted; its job begins when it is there."""
    name = safe_name(body.name, default="file")
    announced = jobs.Content(name, f"upload:{name}", body.bytes, body.language, body.tags or None)
    return UploadOut.of(submit.expect_upload(caller, announced, origin_of(request), replaces=body.source_id))


@app.post("/api/v1/ingest/urls", status_code=202, response_model=Ingested, openapi_extra=described(UrlsIn, form=True))
async def ingest_urls(
    request: Request,
    caller: Annotated[Caller, needs(WRITE, body=UrlsIn)],
    body: Annotated[UrlsIn, body_of(UrlsIn)],
) -> Ingested:
    """Fetch documents from addresses: each becomes a source of its own, or its source is read anew."""
    ids = submit.submit_urls(caller, body.urls, language=body.language, tags=body.tags)
    return _wait(request, caller, ids, body.wait)


@app.post(
    "/api/v1/ingest/text",
    status_code=202,
    response_model=Ingested,
    openapi_extra=described(IngestText, form=True),
)
async def ingest_text(
    request: Request,
    caller: Annotated[Caller, needs(WRITE, body=IngestText)],
    body: Annotated[IngestText, body_of(IngestText)],
) -> Ingested:
    """Take pasted text in, as JSON or a form."""
    if not body.text.strip():
        raise Unprocessable("The text is empty.", code="empty_file")
    # A lone surrogate is valid JSON and no character: it is replaced, as in files.
    data = body.text.encode("utf-8", "replace")
    title = safe_name(body.title.replace("/", " "), default="text")
    submission = Submission(title, data, True, body.language, body.tags, body.source_id)
    job_id = submit.submit(caller, submission, origin_of(request))
    return _wait(request, caller, [job_id], body.wait)


def _wait(request: Request, caller: Caller, ids: list[UUID], wait: float) -> Ingested:
    """The jobs, when all have ended or as they are when the wait is over."""
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
