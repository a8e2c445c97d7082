"""Fusion: two ranked lists become one. Pure.

Min-max normalised scores, half and half, did better than reciprocal ranks on all of our sets (docs/decisions/).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

# How many of each list are fused.
CANDIDATES: Final = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk after fusion: `score` 0..1, and where it stood in each list, from 1."""

    chunk_id: UUID
    score: float
    keyword_rank: int | None
    vector_rank: int | None


def _normalised(scores: Sequence[tuple[UUID, float]]) -> Mapping[UUID, float]:
    """Scores as 0..1 within their list; a list without spread counts full."""
    if not scores:
        return {}
    values = [score for _, score in scores]
    low, spread = min(values), max(values) - min(values)
    return {chunk: (score - low) / spread if spread > 0 else 1.0 for chunk, score in scores}


def fuse(
    keyword: Sequence[tuple[UUID, float]], vector: Sequence[tuple[UUID, float]] | None, *, k: int
) -> list[Candidate]:
    """The `k` best of both lists (chunk, score; best first), ties by id; keyword alone if there are no vectors."""
    normalised_keyword, normalised_vector = _normalised(keyword), _normalised(vector or ())
    keyword_ranks = {chunk: rank for rank, (chunk, _) in enumerate(keyword, 1)}
    vector_ranks = {chunk: rank for rank, (chunk, _) in enumerate(vector or (), 1)}
    weight = 1.0 if vector is None else 0.5
    fused = [
        Candidate(
            chunk,
            weight * normalised_keyword.get(chunk, 0.0) + (1 - weight) * normalised_vector.get(chunk, 0.0),
            keyword_ranks.get(chunk),
            vector_ranks.get(chunk),
        )
        for chunk in {**keyword_ranks, **vector_ranks}
    ]
    return sorted(fused, key=lambda candidate: (-candidate.score, candidate.chunk_id))[:k]
