"""The ingestion API, first part: what a workspace has, its jobs and sources; `routes` adds how documents come in."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import Response

from functions.ingest import remove, retry, send
from functions.ingest.bodies import (
    ChunkPage,
    JobOut,
    JobPage,
    ListedOut,
    SourceOut,
    SourcePage,
    TaskOut,
    TextOut,
    pages_of,
)
from minirag.knowledge import chunks, jobs, sources, texts
from minirag.runtime import cache, db, page
from minirag.runtime.errors import NotFound, TooLarge
from minirag.runtime.http import cached, create_app
from minirag.tenancy import audit
from minirag.tenancy.access import needs, origin_of
from minirag.tenancy.identity import Caller
from minirag.tenancy.roles import READ, WRITE

app = create_app("ingest")

Reader = Annotated[Caller, needs(READ)]
Writer = Annotated[Caller, needs(WRITE)]
Offset = Annotated[int, Query(ge=0, lt=2**31)]
Limit = Annotated[int, Query(ge=1, le=page.MAX_LIMIT)]

# Code points; in a Lambda response each may take twelve of six million bytes.
_TEXT_SLICE_MAX: Final = 500_000
_LIST_SECONDS: Final = 600


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


@app.post("/api/v1/jobs/{job_id}/retry", status_code=202, response_model=JobOut)
async def retry_job(job_id: UUID, caller: Writer) -> JobOut:
    """Do a failed job again."""
    return JobOut.of(retry.retry(caller, job_id))


@app.post("/api/v1/dedupe", status_code=202, response_model=TaskOut)
async def dedupe(request: Request, caller: Writer) -> TaskOut:
    """Keep the text of exact duplicates once."""
    return _task(request, caller, "dedupe")


@app.post("/api/v1/rebuild", status_code=202, response_model=TaskOut)
async def rebuild(request: Request, caller: Writer) -> TaskOut:
    """Bring the workspace's indexes up to date: segments merged, missing vectors made."""
    return _task(request, caller, "rebuild")


def _task(request: Request, caller: Caller, kind: str) -> TaskOut:
    with db.transaction(caller.tenant) as tx:
        job_id, new = jobs.open_task(tx, caller.workspace_id, kind)
        if new:
            audit.record(tx, caller, f"workspace.{kind}", str(job_id), origin_of(request))
    # Also if it was under way: its message may have been lost.
    send.job(caller.workspace_id, job_id)
    return TaskOut(job_id=job_id)


@app.get("/api/v1/sources", response_model=SourcePage)
async def list_sources(caller: Reader, limit: Limit = page.DEFAULT_LIMIT, cursor: str | None = None) -> Response:
    """The workspace's documents, newest first."""
    after = page.decode(cursor)
    # Formed once, of the version that came with the caller: a change meanwhile comes with another one, under which
    # nobody finds what is kept here.
    key = f"workspace:{caller.workspace_id}:sources:{cache.key(caller.sources_version, limit, cursor)}"

    def listed() -> SourcePage:
        with db.transaction(caller.tenant) as tx:
            rows = sources.page(tx, caller.workspace_id, after=after, limit=limit + 1)
        return SourcePage(items=[SourceOut.of(row) for row in rows[:limit]], next_cursor=page.next_cursor(rows, limit))

    return cached(key, listed, SourcePage, seconds=_LIST_SECONDS)


@app.get("/api/v1/sources/{source_id}", response_model=SourceOut)
async def get_source(source_id: UUID, caller: Reader) -> SourceOut:
    """One document."""
    with db.transaction(caller.tenant) as tx:
        return SourceOut.of(_source(tx, caller, source_id))


@app.get("/api/v1/sources/{source_id}/text", response_model=TextOut)
async def get_text(
    source_id: UUID,
    caller: Reader,
    start: Offset = 0,
    end: Offset | None = None,
) -> TextOut:
    """The canonical text that every start and end refers to, in code points; a slice of it on request."""
    with db.snapshot(caller.tenant) as tx:
        source_id = _holder(tx, caller, source_id)
        length = texts.length(tx, caller.workspace_id, source_id)
        stop = length if end is None else min(end, length)
        if stop - start > _TEXT_SLICE_MAX:
            raise TooLarge(
                f"The text has {length} characters. Ask for parts of at most {_TEXT_SLICE_MAX} by start and end."
            )
        stored = texts.read(tx, caller.workspace_id, source_id, start, stop)
    return TextOut(text=stored.text, pages=pages_of(stored.parts))


@app.get("/api/v1/sources/{source_id}/chunks", response_model=ChunkPage)
async def list_chunks(
    source_id: UUID,
    caller: Reader,
    limit: Limit = page.DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,9}$")] = None,
    embeddings: bool = False,
) -> ChunkPage:
    """The chunks of a document, in order; with their vectors on request."""
    with db.snapshot(caller.tenant) as tx:
        source_id = _holder(tx, caller, source_id)
        first = int(cursor or 0)
        model = caller.embedding_model if embeddings else None
        rows = chunks.page(tx, caller.workspace_id, source_id, first=first, limit=limit + 1, model=model)
    items = [ListedOut.of(row, caller.workspace_id) for row in rows[:limit]]
    return ChunkPage(items=items, next_cursor=str(first + limit) if len(rows) > limit else None)


@app.delete("/api/v1/sources/{source_id}", status_code=204)
async def delete_source(request: Request, source_id: UUID, caller: Writer) -> Response:
    """Delete a document: it is gone for every question when this returns."""
    remove.remove(caller, source_id, origin_of(request))
    return Response(status_code=204)


def _source(tx: db.Connection, caller: Caller, source_id: UUID) -> sources.Source:
    source = sources.find(tx, caller.workspace_id, source_id)
    if source is None:
        raise NotFound("There is no such source.")
    return source


def _holder(tx: db.Connection, caller: Caller, source_id: UUID) -> UUID:
    """The source that holds the text of this one: itself, or the one it repeats. Raises NotFound."""
    return _source(tx, caller, source_id).duplicate_of or source_id
