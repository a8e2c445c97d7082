"""Exact duplicates: a text that several documents hold is kept and searched once, with all of them as its origins."""

from collections.abc import Callable
from uuid import UUID

from functions.ingest.embed import STORE_SECONDS, Unfinished
from functions.ingest.remove import clear_content
from minirag.knowledge import duplicates, jobs, sources
from minirag.runtime import db, telemetry
from minirag.tenancy import quotas, workspaces


def dedupe(workspace_id: UUID, job: jobs.Job, *, remaining_seconds: Callable[[], float]) -> None:
    """Keep, of documents of exactly the same text, the oldest; the others become duplicates of it, without chunks.

    Raises Unfinished when the next run is to go on.
    """
    tenant = db.Tenant(workspace_id=workspace_id)
    with db.transaction(tenant) as tx:
        pairs = [(kept, other) for kept, *others in duplicates.groups(tx, workspace_id) for other in others]
    for done, (kept, other) in enumerate(pairs):
        if remaining_seconds() < STORE_SECONDS:
            raise Unfinished
        with db.transaction(tenant) as tx:
            # The one that is kept first, as whoever replaces or removes it does.
            for source_id in (kept, other):
                sources.lock(tx, workspace_id, source_id)
            if not duplicates.same_text(tx, workspace_id, kept, other):
                continue
            jobs.advance(tx, workspace_id, job, stage="deduplicating", progress=done / len(pairs))
            removed = clear_content(tx, workspace_id, other)
            duplicates.mark(tx, workspace_id, other, kept=kept)
            quotas.add(tx, workspace_id, chunks=-removed, size=0)
            workspaces.next_generation(tx, workspace_id)
    with db.transaction(tenant) as tx:
        jobs.finish(
            tx,
            workspace_id,
            job,
            chunks_added=0,
            timings={},
            notes=[f"{len(pairs)} documents repeated others exactly."],
        )
    telemetry.event("dedupe.completed", duplicates=len(pairs))
