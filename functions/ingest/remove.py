"""Removal: a document is gone, for every question, when this has returned."""

from uuid import UUID

from minirag.knowledge import chunks, jobs, sources, texts
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.vectors import store as vectors
from minirag.runtime import blobs, db
from minirag.runtime.db import Connection
from minirag.runtime.errors import NotFound
from minirag.tenancy import audit, quotas, workspaces
from minirag.tenancy.identity import Caller


def clear_content(tx: Connection, workspace_id: UUID, source_id: UUID) -> int:
    """Remove a source's text, chunks and all that finds them; return how many chunks there were."""
    lexical.remove(tx, workspace_id, source_id)
    vectors.remove(tx, workspace_id, source_id)
    texts.remove(tx, workspace_id, source_id)
    return chunks.remove(tx, workspace_id, source_id)


def clear(tx: Connection, workspace_id: UUID, source: sources.Locked, *, sequencer: str | None = None) -> None:
    """Empty a source that this transaction has locked, and leave its tombstone."""
    removed = clear_content(tx, workspace_id, source.id)
    sources.bury(tx, workspace_id, source.id, sequencer=sequencer)
    quotas.add_chunks(tx, workspace_id, -removed)
    workspaces.next_generation(tx, workspace_id)


def remove(caller: Caller, source_id: UUID, *, request_id: str, ip: str | None) -> None:
    """Delete a source of the caller's workspace, then the objects of all its versions.

    Raises NotFound if there is none; Unavailable if the object could not be removed, and then asking again does it.
    """
    workspace_id = caller.workspace_id
    with db.transaction(caller.tenant) as tx:
        source = sources.lock(tx, workspace_id, source_id)
        if source is None or (source.deleted and source.object_key is None):
            raise NotFound("There is no such source.")
        if not source.deleted:
            clear(tx, workspace_id, source)
            audit.record(tx, caller, "source.delete", str(source_id), request_id=request_id, ip=ip)
        keys = jobs.object_keys(tx, workspace_id, source_id)
    for key in keys:
        blobs.delete(key)
    if source.object_key is not None:
        with db.transaction(caller.tenant) as tx:
            sources.forget_object(tx, workspace_id, source_id, source.object_key)
