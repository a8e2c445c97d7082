"""Exact BM25 over a table of postings, one row a term and chunk."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical.bm25 import K1, B, Statistics
from minirag.runtime.db import Connection

# COPY is not available under row-level security; arrays are the next fastest.
_INSERT: Final = """
INSERT INTO chunk_postings (workspace_id, term, chunk_id, frequency)
SELECT %s, term, chunk_id, frequency FROM unnest(%s::text[], %s::uuid[], %s::int[]) AS t (term, chunk_id, frequency)
"""

_STATISTICS: Final = """
SELECT count(*), coalesce(avg(terms), 0)::float8 FROM chunks WHERE workspace_id = %s
"""

_DOCUMENT_FREQUENCIES: Final = """
SELECT term, count(*) FROM chunk_postings WHERE workspace_id = %s AND term = ANY(%s) GROUP BY term
"""

_SEARCH: Final = """
SELECT c.id, sum(q.weight * p.frequency / (p.frequency + %(k1)s * (1 - %(b)s + %(b)s * c.terms / %(average)s))) AS score
FROM unnest(%(terms)s::text[], %(weights)s::float8[]) AS q (term, weight)
JOIN chunk_postings p ON p.workspace_id = %(workspace_id)s AND p.term = q.term
JOIN chunks c ON c.workspace_id = p.workspace_id AND c.id = p.chunk_id
JOIN sources s ON s.workspace_id = c.workspace_id AND s.id = c.source_id
WHERE s.deleted_at IS NULL
  AND (%(source_ids)s::uuid[] IS NULL OR s.id = ANY(%(source_ids)s))
  AND (%(types)s::text[] IS NULL OR s.type = ANY(%(types)s))
  AND (%(tags)s::text[] IS NULL OR s.tags && %(tags)s)
  AND (%(language)s::text IS NULL OR s.language = %(language)s)
  AND (%(created_after)s::timestamptz IS NULL OR s.created_at >= %(created_after)s)
  AND (%(created_before)s::timestamptz IS NULL OR s.created_at < %(created_before)s)
GROUP BY c.id
ORDER BY score DESC, c.id
LIMIT %(k)s
"""

_REMOVE: Final = """
DELETE FROM chunk_postings p
USING chunks c
WHERE p.workspace_id = %(workspace_id)s AND c.workspace_id = p.workspace_id AND c.id = p.chunk_id
  AND c.source_id = %(source_id)s
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk and its BM25 score, positive and below the sum of the question's idf."""

    chunk_id: UUID
    score: float


@dataclass(frozen=True, slots=True)
class Found:
    """The best chunks, and what is known of the question's terms in this workspace."""

    hits: Sequence[Hit]
    statistics: Statistics


def insert(tx: Connection, workspace_id: UUID, terms_of: Mapping[UUID, Sequence[str]]) -> None:
    """Index the analyzed terms of new chunks."""
    rows = [(term, chunk, count) for chunk, terms in terms_of.items() for term, count in Counter(terms).items()]
    columns: tuple[list[object], ...] = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    tx.execute(_INSERT, (workspace_id, *columns))


def search(tx: Connection, workspace_id: UUID, terms: Sequence[str], *, k: int, filters: Filters) -> Found:
    """The `k` best chunks for a question's `terms`, best first; ties by id. N, df and length are the workspace's."""
    counts = Counter(terms)
    row = tx.execute(_STATISTICS, (workspace_id,)).fetchone()
    assert row is not None
    total, average = int(row[0]), float(row[1])
    if not counts or not total:
        return Found((), Statistics(total, average, {}))
    frequencies: dict[str, int] = dict(tx.execute(_DOCUMENT_FREQUENCIES, (workspace_id, list(counts))).fetchall())
    statistics = Statistics(total, average, frequencies)
    weights = [statistics.idf(term) * count for term, count in counts.items()]
    values = {
        "workspace_id": workspace_id, "terms": list(counts), "weights": weights,
        "k1": K1, "b": B, "average": average or 1.0, "k": k, **filters.values(),
    }  # fmt: skip
    hits = [Hit(chunk, float(score)) for chunk, score in tx.execute(_SEARCH, values).fetchall()]
    return Found(hits, statistics)


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """Remove the postings of a source, before its chunks."""
    tx.execute(_REMOVE, {"workspace_id": workspace_id, "source_id": source_id})
