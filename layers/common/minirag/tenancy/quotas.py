"""What a workspace holds and may hold, and what it used by day (UTC)."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from minirag.runtime.db import Connection
from minirag.runtime.errors import TooMany

_ADD_CHUNKS: Final = """
INSERT INTO workspace_usage_counters (workspace_id, period_start, chunks_count)
VALUES (%s, (now() AT TIME ZONE 'UTC')::date, %s)
ON CONFLICT (workspace_id, period_start)
DO UPDATE SET chunks_count = workspace_usage_counters.chunks_count + excluded.chunks_count
"""

_ADD: Final = """
INSERT INTO workspace_totals AS t (workspace_id, chunks, bytes)
VALUES (%(workspace_id)s, greatest(%(chunks)s, 0), greatest(%(bytes)s, 0))
ON CONFLICT (workspace_id) DO UPDATE SET chunks = t.chunks + %(chunks)s, bytes = t.bytes + %(bytes)s
RETURNING chunks, bytes
"""
_LIMITS: Final = """
SELECT chunk_limit, storage_bytes_limit FROM workspace_quota_settings WHERE workspace_id = %s
"""
_TOTALS: Final = "SELECT chunks, bytes FROM workspace_totals WHERE workspace_id = %s"


@dataclass(frozen=True, slots=True)
class Totals:
    """What a workspace holds: chunks, and bytes of documents as they were sent."""

    chunks: int
    bytes: int


def add(tx: Connection, workspace_id: UUID, *, chunks: int, size: int) -> None:
    """Count chunks and bytes that were added (or, negative, removed). Late in its transaction: it locks the totals.

    Raises TooMany if more is added than the workspace may hold.
    """
    if chunks:
        tx.execute(_ADD_CHUNKS, (workspace_id, chunks))
    if not chunks and not size:
        return
    values = {"workspace_id": workspace_id, "chunks": chunks, "bytes": size}
    row = tx.execute(_ADD, values).fetchone()
    assert row is not None
    _check(tx, workspace_id, Totals(*row), more_chunks=chunks > 0, more_bytes=size > 0)


def check(tx: Connection, workspace_id: UUID, *, size: int, chunks: int = 1) -> None:
    """Raise TooMany if so many bytes, and chunks at least, could not be taken in beside what there is."""
    row = tx.execute(_TOTALS, (workspace_id,)).fetchone()
    held = Totals(*row) if row else Totals(0, 0)
    _check(
        tx, workspace_id, Totals(held.chunks + chunks, held.bytes + size), more_chunks=chunks > 0, more_bytes=size > 0
    )


def _check(tx: Connection, workspace_id: UUID, totals: Totals, *, more_chunks: bool, more_bytes: bool) -> None:
    row = tx.execute(_LIMITS, (workspace_id,)).fetchone()
    chunk_limit, bytes_limit = row or (None, None)
    if more_chunks and chunk_limit is not None and totals.chunks > chunk_limit:
        raise TooMany(
            f"The workspace may hold {chunk_limit:,} chunks and would have {totals.chunks:,}. Delete documents, or ask "
            "an administrator for a higher limit.",
            code="chunk_limit",
        )
    if more_bytes and bytes_limit is not None and totals.bytes > bytes_limit:
        raise TooMany(
            f"The workspace may hold {bytes_limit:,} bytes of documents and would have {totals.bytes:,}. Delete "
            "documents, or ask an administrator for a higher limit.",
            code="storage_limit",
        )
