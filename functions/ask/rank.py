"""Fusion: two ranked lists become one, and what says the same twice is said once. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from minirag.knowledge.hits import Hit

# How many of each list are fused.
CANDIDATES: Final = 100

# Cormack et al. (2009) took 60; lists of 100 were fused better by a smaller constant.
_RANK_CONSTANT: Final = 10
# A chunk of whose words a better one of its source holds so many says nothing new.
_SAME: Final = 0.9

Place = tuple[UUID, int]
_Ranked = tuple[int | None, float]


class Fusion(StrEnum):
    """How scores are combined."""

    ATTAINABLE = "attainable"
    """BM25 as a share of what the question could reach, and the cosine as it is: both mean the same in every corpus."""
    MIN_MAX = "min_max"
    """Each list's scores stretched to 0..1 (Bruch et al., 2023)."""
    RECIPROCAL_RANK = "reciprocal_rank"
    """Ranks alone (Cormack et al., 2009)."""


# Of the keyword list; the vector list has the rest. Chosen on nine sets (docs/decisions/0008).
_KEYWORD_WEIGHT: Final = {Fusion.ATTAINABLE: 0.6, Fusion.MIN_MAX: 0.5, Fusion.RECIPROCAL_RANK: 0.5}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk after fusion: `score` 0..1, and where it stood in each list, from 1, with its score there.

    Without a rank it was not among the candidates of that list.
    """

    source_id: UUID
    ordinal: int
    score: float
    keyword_rank: int | None
    keyword_score: float | None
    vector_rank: int | None
    vector_score: float | None

    @property
    def place(self) -> Place:
        """The source, and the chunk's number in it."""
        return self.source_id, self.ordinal


def fuse(
    keyword: Sequence[Hit],
    vector: Sequence[Hit] | None,
    *,
    attainable: float,
    fusion: Fusion = Fusion.ATTAINABLE,
) -> list[Candidate]:
    """All chunks that are among the best CANDIDATES of either list (each best first), best first, ties by place.

    What a list has beyond its candidates lends its score to those of the other list, if scores are taken as they are: a
    chunk found by its words is as near in meaning as it is, whether or not a hundred others are nearer. `attainable`:
    the sum of the idf of the question's terms, which BM25 stays below. Without a `vector` list, keyword scores count
    alone.
    """
    by_keyword, by_vector = _ranked(keyword), _ranked(vector or ())
    candidates = {place for one in (by_keyword, by_vector) for place, (rank, _) in one.items() if rank is not None}
    if fusion is not Fusion.ATTAINABLE:
        by_keyword, by_vector = _of_candidates(by_keyword), _of_candidates(by_vector)
    weight = 1.0 if vector is None else _KEYWORD_WEIGHT[fusion]
    if fusion is Fusion.ATTAINABLE:
        of_keyword = {place: min(1.0, score / attainable) for place, (_, score) in by_keyword.items()}
        of_vector = {place: max(0.0, score) for place, (_, score) in by_vector.items()}
    elif fusion is Fusion.MIN_MAX:
        of_keyword, of_vector = _stretched(by_keyword), _stretched(by_vector)
    else:
        of_keyword, of_vector = _reciprocal(by_keyword), _reciprocal(by_vector)
    fused = [
        Candidate(
            *place,
            weight * of_keyword.get(place, 0.0) + (1 - weight) * of_vector.get(place, 0.0),
            *by_keyword.get(place, (None, None)),
            *by_vector.get(place, (None, None)),
        )
        for place in candidates
    ]
    return sorted(fused, key=lambda candidate: (-candidate.score, candidate.place))


def _ranked(hits: Sequence[Hit]) -> dict[Place, _Ranked]:
    return {
        (hit.source_id, hit.ordinal): (rank if rank <= CANDIDATES else None, hit.score)
        for rank, hit in enumerate(hits, 1)
    }


def _of_candidates(ranked: Mapping[Place, _Ranked]) -> dict[Place, _Ranked]:
    return {place: (rank, score) for place, (rank, score) in ranked.items() if rank is not None}


def _stretched(ranked: Mapping[Place, _Ranked]) -> dict[Place, float]:
    """Scores as 0..1 within their list; a list without spread counts full."""
    low = min((score for _, score in ranked.values()), default=0.0)
    spread = max((score for _, score in ranked.values()), default=0.0) - low
    return {place: (score - low) / spread if spread > 0 else 1.0 for place, (_, score) in ranked.items()}


def _reciprocal(ranked: Mapping[Place, _Ranked]) -> dict[Place, float]:
    return {place: (_RANK_CONSTANT + 1) / (_RANK_CONSTANT + rank) for place, (rank, _) in ranked.items() if rank}


def distinct(candidates: Sequence[Candidate], words_of: Mapping[Place, frozenset[str]], k: int) -> list[Candidate]:
    """The `k` first candidates, without those that repeat a better one of the same source.

    `words_of`: the words of the chunks; candidates that are not in it are left out. A chunk repeats a better one that
    holds nine tenths of its words, as overlapping windows and boilerplate do; the chunk of a heading does not stand for
    the section that repeats it.
    """
    kept: list[Candidate] = []
    for candidate in candidates:
        if candidate.place in words_of and not any(
            other.source_id == candidate.source_id and _repeats(words_of[candidate.place], words_of[other.place])
            for other in kept
        ):
            kept.append(candidate)
            if len(kept) == k:
                break
    return kept


def _repeats(candidate: frozenset[str], better: frozenset[str]) -> bool:
    return len(candidate & better) >= _SAME * len(candidate)
