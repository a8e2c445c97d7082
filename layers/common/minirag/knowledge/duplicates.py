"""Exact duplicates: sources of the same text, of which one holds it and is searched for all of them."""

from typing import Final
from uuid import UUID

from minirag.runtime.db import Connection

_GROUPS: Final = """
SELECT array_agg(id ORDER BY created_at, id)
FROM sources
WHERE workspace_id = %s AND deleted_at IS NULL AND chunks > 0 AND text_hash IS NOT NULL AND object_key IS NOT NULL
GROUP BY text_hash
HAVING count(*) > 1
"""

_SAME_TEXT: Final = """
SELECT count(*) = 2
FROM sources
WHERE workspace_id = %(workspace_id)s AND id IN (%(one)s, %(other)s) AND deleted_at IS NULL AND chunks > 0
  AND text_hash = (SELECT text_hash FROM sources WHERE workspace_id = %(workspace_id)s AND id = %(one)s)
"""

_DUPLICATE: Final = """
UPDATE sources SET duplicate_of = %s, chunks = 0, made_from = NULL WHERE workspace_id = %s AND id = %s
"""

_DUPLICATES: Final = """
SELECT id, sequencer, bytes
FROM sources
WHERE workspace_id = %s AND duplicate_of = %s AND deleted_at IS NULL
ORDER BY id
FOR UPDATE
"""

# Those of a duplicate follow it, so that none is the duplicate of what is not searched.
_FOLLOW: Final = "UPDATE sources SET duplicate_of = %s WHERE workspace_id = %s AND duplicate_of = %s"

# What its job says of it counts again, unless a newer version is on its way.
_RELEASE: Final = """
UPDATE sources s
SET duplicate_of = NULL, status = 'queued', sequencer = '',
    seen = CASE WHEN EXISTS (
        SELECT FROM jobs j
        WHERE j.workspace_id = s.workspace_id AND j.source_id = s.id AND j.kind = 'ingest' AND j.sequencer > s.sequencer
          AND j.status IN ('queued', 'running')
    ) THEN seen ELSE sequencer END
WHERE workspace_id = %s AND id = %s
"""


def groups(tx: Connection, workspace_id: UUID) -> list[list[UUID]]:
    """Sources that hold exactly the same text, the oldest of each group first."""
    return [row[0] for row in tx.execute(_GROUPS, (workspace_id,)).fetchall()]


def same_text(tx: Connection, workspace_id: UUID, one: UUID, other: UUID) -> bool:
    """Whether two sources, both held, are live and hold the same text."""
    row = tx.execute(_SAME_TEXT, {"workspace_id": workspace_id, "one": one, "other": other}).fetchone()
    return row is not None and bool(row[0])


def mark(tx: Connection, workspace_id: UUID, source_id: UUID, *, kept: UUID) -> None:
    """A source whose content was removed is found as another one that holds the same."""
    tx.execute(_FOLLOW, (kept, workspace_id, source_id))
    tx.execute(_DUPLICATE, (kept, workspace_id, source_id))


def of(tx: Connection, workspace_id: UUID, source_id: UUID) -> list[tuple[UUID, str, int]]:
    """The duplicates of a source, held: id, sequencer of what they are of, bytes."""
    return [(row[0], row[1], row[2]) for row in tx.execute(_DUPLICATES, (workspace_id, source_id)).fetchall()]


def release(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """A source is no duplicate any more, and must be indexed again."""
    tx.execute(_RELEASE, (workspace_id, source_id))
