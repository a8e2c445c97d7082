"""Removal: a document is gone, for every question, when this has returned."""

from uuid import UUID

from functions.ingest import send
from minirag.knowledge import answers, chunks, duplicates, jobs, sources, texts
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.vectors import staged
from minirag.knowledge.vectors import store as vectors
from minirag.runtime import blobs, db
from minirag.runtime.db import Connection
from minirag.runtime.errors import NotFound
from minirag.tenancy import audit, quotas, workspaces
from minirag.tenancy.identity import Caller, Origin


def clear_content(tx: Connection, workspace_id: UUID, source_id: UUID) -> int:
    """Remove a source's text, chunks and all that finds them; return how many chunks there were."""
    lexical.remove(tx, workspace_id, source_id)
    vectors.remove(tx, workspace_id, source_id)
    texts.remove(tx, workspace_id, source_id)
    return chunks.remove(tx, workspace_id, source_id)


def release_duplicates(tx: Connection, workspace_id: UUID, source_id: UUID) -> tuple[list[UUID], int]:
    """The duplicates of a source that changes or goes are indexed by themselves again.

    Returns their jobs, and the bytes that count no more until those are done.
    """
    queued, released = [], 0
    for duplicate, sequencer, size in duplicates.of(tx, workspace_id, source_id):
        job_id = jobs.again(tx, workspace_id, duplicate, sequencer)
        duplicates.release(tx, workspace_id, duplicate)
        released += size
        if job_id is not None:
            queued.append(job_id)
    return queued, released


def clear(tx: Connection, workspace_id: UUID, source: sources.Locked, *, sequencer: str | None = None) -> list[UUID]:
    """Empty a source that this transaction has locked, and leave its tombstone; returns jobs that came of it."""
    queued, released = release_duplicates(tx, workspace_id, source.id)
    removed = clear_content(tx, workspace_id, source.id)
    staged.clear(tx, workspace_id, source.id)
    answers.empty(tx, source.id)
    sources.bury(tx, workspace_id, source.id, sequencer=sequencer)
    quotas.add(tx, workspace_id, chunks=-removed, size=-released - (source.size if source.counted else 0))
    workspaces.next_generation(tx, workspace_id)
    return queued


def remove(caller: Caller, source_id: UUID, origin: Origin) -> None:
    """Delete a source of the caller's workspace, then the objects of all its versions.

    Raises NotFound if there is none; Unavailable if the object could not be removed, and then asking again does it.
    """
    workspace_id, queued = caller.workspace_id, []
    with db.transaction(caller.tenant) as tx:
        source = sources.lock(tx, workspace_id, source_id)
        if source is None or (source.deleted and source.object_key is None):
            raise NotFound("There is no such source.")
        if not source.deleted:
            queued = clear(tx, workspace_id, source)
            audit.record(tx, caller, "source.delete", str(source_id), origin)
        keys = jobs.object_keys(tx, workspace_id, source_id)
    for job_id in queued:
        send.job(workspace_id, job_id)
    for key in keys:
        blobs.delete(key)
    if source.object_key is not None:
        with db.transaction(caller.tenant) as tx:
            sources.forget_object(tx, workspace_id, source_id, source.object_key)
