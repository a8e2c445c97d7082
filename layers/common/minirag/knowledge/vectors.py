"""Vectors: nearest chunks by cosine, exactly, over one workspace and one embedding model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from minirag.knowledge.filters import Filters
from minirag.runtime.db import Connection

_INSERT: Final = """
INSERT INTO chunk_vectors (workspace_id, chunk_id, model, window_no, embedding)
SELECT %s, chunk_id, %s, window_no, embedding::halfvec
FROM unnest(%s::uuid[], %s::smallint[], %s::text[]) AS t (chunk_id, window_no, embedding)
"""

# The nearest of a chunk's windows counts.
_SEARCH: Final = """
SELECT v.chunk_id, 1 - min(v.embedding <=> %(query)s::halfvec) AS cosine
FROM chunk_vectors v
JOIN chunks c ON c.workspace_id = v.workspace_id AND c.id = v.chunk_id
JOIN sources s ON s.workspace_id = c.workspace_id AND s.id = c.source_id
WHERE v.workspace_id = %(workspace_id)s AND v.model = %(model)s
  AND s.deleted_at IS NULL
  AND (%(source_ids)s::uuid[] IS NULL OR s.id = ANY(%(source_ids)s))
  AND (%(types)s::text[] IS NULL OR s.type = ANY(%(types)s))
  AND (%(tags)s::text[] IS NULL OR s.tags && %(tags)s)
  AND (%(language)s::text IS NULL OR s.language = %(language)s)
  AND (%(created_after)s::timestamptz IS NULL OR s.created_at >= %(created_after)s)
  AND (%(created_before)s::timestamptz IS NULL OR s.created_at < %(created_before)s)
GROUP BY v.chunk_id
ORDER BY cosine DESC, v.chunk_id
LIMIT %(k)s
"""

_REMOVE: Final = """
DELETE FROM chunk_vectors v
USING chunks c
WHERE v.workspace_id = %(workspace_id)s AND c.workspace_id = v.workspace_id AND c.id = v.chunk_id
  AND c.source_id = %(source_id)s
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk and the cosine of its nearest window, -1..1."""

    chunk_id: UUID
    score: float


def _literal(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(f"{value:.5g}" for value in vector.tolist()) + "]"


def insert(
    tx: Connection, workspace_id: UUID, model: str, vectors: Iterable[tuple[UUID, int, NDArray[np.float32]]]
) -> None:
    """Store vectors as (chunk, window, unit vector)."""
    rows = list(vectors)
    ids = [chunk_id for chunk_id, _, _ in rows]
    windows = [window for _, window, _ in rows]
    tx.execute(_INSERT, (workspace_id, model, ids, windows, [_literal(vector) for _, _, vector in rows]))


def search(
    tx: Connection, workspace_id: UUID, model: str, query: NDArray[np.float32], *, k: int, filters: Filters
) -> Sequence[Hit]:
    """The `k` chunks nearest to `query`, best first; ties by id."""
    values = {"workspace_id": workspace_id, "model": model, "query": _literal(query), "k": k, **filters.values()}
    return [Hit(chunk_id, float(cosine)) for chunk_id, cosine in tx.execute(_SEARCH, values).fetchall()]


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """Remove the vectors of a source, before its chunks."""
    tx.execute(_REMOVE, {"workspace_id": workspace_id, "source_id": source_id})
