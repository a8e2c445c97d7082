"""Vectors: nearest chunks by cosine, exactly, over one workspace and one embedding model."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor

from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Hit
from minirag.runtime.db import Connection

_INSERT: Final = """
INSERT INTO chunk_vectors (workspace_id, source_id, model, ordinal, window_no, embedding)
SELECT %s, %s, %s, ordinal, window_no, embedding::halfvec
FROM unnest(%s::int[], %s::smallint[], %s::text[]) AS t (ordinal, window_no, embedding)
"""

# The nearest of a chunk's windows counts. What was removed is not in the table any more, so that without filters
# nothing else needs to be looked at.
_SEARCH: Final = """
SELECT source_id, ordinal, 1 - min(embedding <=> %(query)s::halfvec) AS cosine
FROM chunk_vectors
WHERE workspace_id = %(workspace_id)s AND model = %(model)s
GROUP BY source_id, ordinal
ORDER BY cosine DESC, source_id, ordinal
LIMIT %(k)s
"""

_SEARCH_FILTERED: Final = """
SELECT v.source_id, v.ordinal, 1 - min(v.embedding <=> %(query)s::halfvec) AS cosine
FROM sources s
JOIN chunk_vectors v ON v.workspace_id = s.workspace_id AND v.source_id = s.id AND v.model = %(model)s
WHERE s.workspace_id = %(workspace_id)s
  AND (%(source_ids)s::uuid[] IS NULL OR s.id = ANY(%(source_ids)s))
  AND (%(types)s::text[] IS NULL OR s.type = ANY(%(types)s))
  AND (%(tags)s::text[] IS NULL OR s.tags && %(tags)s)
  AND (%(language)s::text IS NULL OR s.language = %(language)s)
  AND (%(created_after)s::timestamptz IS NULL OR s.created_at >= %(created_after)s)
  AND (%(created_before)s::timestamptz IS NULL OR s.created_at < %(created_before)s)
GROUP BY v.source_id, v.ordinal
ORDER BY cosine DESC, v.source_id, v.ordinal
LIMIT %(k)s
"""

_REMOVE: Final = "DELETE FROM chunk_vectors WHERE workspace_id = %s AND source_id = %s"


def _literal(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(f"{value:.5g}" for value in vector.tolist()) + "]"


def insert(
    tx: Connection,
    workspace_id: UUID,
    source_id: UUID,
    model: str,
    rows: Iterable[tuple[int, int, NDArray[np.float32]]],
) -> None:
    """Store the vectors of a source's chunks as (chunk's number, window, unit vector)."""
    vectors = list(rows)
    columns: tuple[list[object], ...] = (
        [ordinal for ordinal, _, _ in vectors],
        [window for _, window, _ in vectors],
        [_literal(vector) for _, _, vector in vectors],
    )
    tx.execute(_INSERT, (workspace_id, source_id, model, *columns))


class Request:
    """A search that has been sent; its hits are read in the transaction it was sent in."""

    def __init__(
        self, tx: Connection, workspace_id: UUID, model: str, query: NDArray[np.float32], *, k: int, filters: Filters
    ) -> None:
        values = {"workspace_id": workspace_id, "model": model, "query": _literal(query), "k": k, **filters.values()}
        statement = _SEARCH if filters == Filters() else _SEARCH_FILTERED
        self._cursor: Cursor[Any] = tx.execute(statement, values)

    def hits(self) -> list[Hit]:
        """The chunks nearest to the query, best first; ties by place."""
        return [Hit(source_id, ordinal, float(cosine)) for source_id, ordinal, cosine in self._cursor.fetchall()]


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """Remove the vectors of a source, before its chunks."""
    tx.execute(_REMOVE, (workspace_id, source_id))
