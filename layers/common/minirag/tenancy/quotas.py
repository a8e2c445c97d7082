"""Usage counters, by workspace and day (UTC)."""

from typing import Final
from uuid import UUID

from minirag.runtime.db import Connection

_ADD_CHUNKS: Final = """
INSERT INTO workspace_usage_counters (workspace_id, period_start, chunks_count)
VALUES (%s, (now() AT TIME ZONE 'UTC')::date, %s)
ON CONFLICT (workspace_id, period_start)
DO UPDATE SET chunks_count = workspace_usage_counters.chunks_count + excluded.chunks_count
"""


def add_chunks(tx: Connection, workspace_id: UUID, delta: int) -> None:
    """Count chunks added (or, negative, removed) today. Late in its transaction: it locks the day's row."""
    if delta:
        tx.execute(_ADD_CHUNKS, (workspace_id, delta))
