"""Submission: what a caller sends becomes a source, a job and an object; the object's event does the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from functions.ingest import send
from functions.ingest.fetch import normalise
from functions.ingest.keys import Upload, fetched
from functions.ingest.names import NAME_CHARS
from minirag.knowledge import jobs, sources, upload_forms
from minirag.runtime import blobs, db, settings
from minirag.runtime.errors import Conflict, NotFound, TooLarge, Unavailable
from minirag.tenancy import audit, quotas, workspaces
from minirag.tenancy.identity import Caller, Origin

# How long an address to post a file to holds; one that was begun in time may take as long again to come.
_UPLOAD_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Submission:
    """One document as it came in: `pasted` text has a title for a name, a file its own."""

    name: str
    data: bytes
    pasted: bool
    language: str | None
    tags: list[str]
    replaces: UUID | None


@dataclass(frozen=True, slots=True)
class Expected:
    """Where, and with which form fields, a file is to be posted for a job."""

    job_id: UUID
    url: str
    fields: dict[str, str]


def submit(caller: Caller, submission: Submission, origin: Origin) -> UUID:
    """Store a document for the worker and return its job's id.

    Raises NotFound or Conflict if it should replace a source that cannot be replaced; TooMany if the workspace cannot
    hold it; Unavailable if the storage does not take it, and then the job says so.
    """
    upload = Upload(caller.workspace_id, submission.replaces or uuid4(), uuid4())
    workspace_id, source_id, job_id = upload.workspace_id, upload.source_id, upload.job_id
    content = jobs.Content(
        name=submission.name,
        uri=f"{'text' if submission.pasted else 'upload'}:{submission.name}",
        bytes=len(submission.data),
        language=submission.language,
        tags=submission.tags or None,
    )
    with db.transaction(caller.tenant) as tx:
        job = _expect(tx, caller, upload, content, submission.replaces, origin)
    try:
        blobs.put(upload.key, submission.data)
    except Unavailable as error:
        with db.transaction(caller.tenant) as tx:
            jobs.fail(tx, workspace_id, job_id, code="storage_unavailable", detail=error.detail)
            sources.fail(
                tx,
                workspace_id,
                source_id,
                sequencer=job.sequencer,
                code="storage_unavailable",
                detail=error.detail,
            )
        raise
    return job_id


def expect_upload(caller: Caller, announced: jobs.Content, origin: Origin, *, replaces: UUID | None) -> Expected:
    """Make a source and a job for a file that the caller sends to the storage itself.

    Raises as `submit` does, and TooLarge; TooMany if the workspace cannot hold so many bytes more.
    """
    most = settings.current().max_upload_bytes
    if announced.bytes > most:
        raise TooLarge(f"The file has {announced.bytes} bytes; at most {most} are accepted.")
    upload = Upload(caller.workspace_id, replaces or uuid4(), uuid4())
    with db.transaction(caller.tenant) as tx:
        _expect(tx, caller, upload, announced, replaces, origin, patience=2 * _UPLOAD_SECONDS)
        upload_forms.give(tx, caller.workspace_id, upload.job_id, caller.user_id, caller.api_key_id)
    url, fields = blobs.presigned_post(upload.key, max_bytes=announced.bytes, seconds=_UPLOAD_SECONDS)
    return Expected(upload.job_id, url, fields)


def submit_urls(caller: Caller, addresses: Sequence[str], *, language: str | None, tags: list[str]) -> list[UUID]:
    """Make jobs that fetch documents and index them; an address that is known is read anew. Returns their ids.

    Raises ExtractionFailed with code `url_invalid` or `url_forbidden` where nothing would ever be fetched, and then
    none is made.
    """
    urls = dict.fromkeys(normalise(address) for address in addresses)
    return [_submit_url(caller, url, language, tags) for url in urls]


def _submit_url(caller: Caller, url: str, language: str | None, tags: list[str]) -> UUID:
    workspace_id, job_id = caller.workspace_id, uuid4()
    content = jobs.Content(name=url[:NAME_CHARS], uri=url, bytes=0, language=language, tags=tags or None)
    with db.transaction(caller.tenant) as tx:
        workspaces.hold(tx, workspace_id)
        source = sources.lock_url(tx, workspace_id, uuid4(), url=url, user_id=caller.user_id)
        quotas.check(tx, workspace_id, size=0, chunks=0 if source.chunks else 1)
        key = fetched(workspace_id, source.id, job_id)
        job = jobs.create(tx, workspace_id, job_id, source_id=source.id, object_key=key, content=content)
        sources.expect(tx, workspace_id, source.id, sequencer=job.sequencer, object_key=key, content=content)
    send.job(workspace_id, job_id)
    return job_id


def _expect(
    tx: db.Connection,
    caller: Caller,
    upload: Upload,
    content: jobs.Content,
    replaces: UUID | None,
    origin: Origin,
    *,
    patience: int = _UPLOAD_SECONDS,
) -> jobs.Created:
    """The source, new or the one that is to be replaced, and its job, if the workspace can hold it."""
    workspace_id, source_id = upload.workspace_id, upload.source_id
    workspaces.hold(tx, workspace_id)
    if replaces is None:
        quotas.check(tx, workspace_id, size=content.bytes)
        sources.create(tx, workspace_id, source_id, user_id=caller.user_id)
    else:
        replaced = sources.lock(tx, workspace_id, source_id)
        _check_replaceable(replaced)
        known = replaced.size if replaced and replaced.counted else 0
        chunks = 0 if replaced and replaced.chunks else 1
        quotas.check(tx, workspace_id, size=content.bytes - known, chunks=chunks)
        audit.record(tx, caller, "source.replace", str(source_id), origin)
    job = jobs.create(
        tx,
        workspace_id,
        upload.job_id,
        source_id=source_id,
        object_key=upload.key,
        content=content,
        patience=patience,
    )
    sources.expect(tx, workspace_id, source_id, sequencer=job.sequencer, object_key=upload.key, content=content)
    return job


def _check_replaceable(source: sources.Locked | None) -> None:
    if source is None or source.deleted:
        raise NotFound("There is no such source to replace.")
    if source.drop_key is not None:
        raise Conflict("This source belongs to the drop folder: put the new file there, under the same path.")
    if source.url is not None:
        raise Conflict("This source is a page: send its address again to have it read anew.")
