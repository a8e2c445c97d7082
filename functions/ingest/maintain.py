"""Keeping a workspace's indexes in shape: what is small at once, what is large by a message of its own."""

from collections.abc import Callable
from pathlib import PurePath
from typing import Final
from uuid import UUID

from minirag.knowledge import chunks, language, sources
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.lexical import merge
from minirag.knowledge.lexical.analyzer import analysis_of, terms
from minirag.knowledge.vectors import store as vectors
from minirag.runtime import db, queue, settings, telemetry
from minirag.tenancy import workspaces

TASK: Final = "maintenance"

# Merges of so many chunks are done by whoever has just added some: about 0.1 s.
_SMALL: Final = 2000
# A merge of 65536 chunks takes a few seconds; what does not fit this run is left to the next.
_ENOUGH_SECONDS: Final = 60


def tidy(workspace_id: UUID, wanted: merge.Due | None) -> None:
    """Merge what is small and due, beginning with what is `wanted`; leave what is large to `maintain`, by a message."""
    while wanted:
        if wanted.chunks > _SMALL:
            request(workspace_id)
            return
        if not _merge(workspace_id, wanted):
            return
        wanted = _due(workspace_id)


def request(workspace_id: UUID) -> None:
    """Have `maintain` run soon."""
    message = {"workspace_id": str(workspace_id), "task": TASK}
    queue.send(settings.current().jobs_queue_url, message, group=str(workspace_id))


def maintain(workspace_id: UUID, *, remaining_seconds: Callable[[], float]) -> None:
    """Index anew what an older analyzer indexed, and merge all that is due."""
    while remaining_seconds() > _ENOUGH_SECONDS and _reindex_next(workspace_id):
        pass
    while remaining_seconds() > _ENOUGH_SECONDS and (wanted := _due(workspace_id)):
        if not _merge(workspace_id, wanted):
            return


def _due(workspace_id: UUID) -> merge.Due | None:
    with db.snapshot(db.Tenant(workspace_id=workspace_id)) as tx:
        return merge.due(tx, workspace_id)


def _merge(workspace_id: UUID, wanted: merge.Due) -> bool:
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        done = merge.run(tx, workspace_id, wanted, carry=vectors.carry)
    telemetry.event("index.merged" if done else "index.busy", segments=len(wanted.segments), chunks=wanted.chunks)
    return done


def _reindex_next(workspace_id: UUID) -> bool:
    """Analyze one source again whose terms are not those of today's analyzer; False if there is none left."""
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        source_id = lexical.outdated(tx, workspace_id)
        if source_id is None:
            return False
        sources.lock(tx, workspace_id, source_id)
        source = sources.find(tx, workspace_id, source_id)
        contents = chunks.contents(tx, workspace_id, source_id)
        if source is not None:
            spoken = source.language or language.detect("\n".join(contents))
            title = terms(title_of(source.name, source.uri), spoken)
            lexical.remove(tx, workspace_id, source_id)
            placed = lexical.insert(
                tx, workspace_id, source_id, [title + terms(content, spoken) for content in contents]
            )
            vectors.sign(tx, workspace_id, source_id, placed)
            workspaces.next_generation(tx, workspace_id, language=analysis_of(spoken))
    telemetry.event("index.reindexed", source_id=str(source_id), chunks=len(contents))
    return True


def title_of(name: str, uri: str) -> str:
    """What a document is called, without the ending of a file's name."""
    return name if uri.startswith("text:") else PurePath(name).stem
