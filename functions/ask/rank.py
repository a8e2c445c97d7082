"""Fusion: two ranked lists become one, and what says the same twice is said once. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from minirag.knowledge.hits import Hit

# How many of each list are fused.
CANDIDATES: Final = 100

# Cormack et al. (2009) took 60; lists of 100 were fused better by a smaller constant.
_RANK_CONSTANT: Final = 10
# A chunk of whose words a better one of its source holds so many says nothing new.
_SAME: Final = 0.9

Place = tuple[UUID, int]
_Standing = tuple[int | None, float | None]  # rank and score in a list
_NOWHERE: Final[_Standing] = (None, None)
_ABSENT: Final = (0.0, _NOWHERE, _NOWHERE)


class Fusion(StrEnum):
    """How scores are combined."""

    ATTAINABLE = "attainable"
    """BM25 as a share of what the question could reach, and the cosine as it is: both mean the same in every corpus."""
    MIN_MAX = "min_max"
    """Each list's scores stretched to 0..1 (Bruch et al., 2023)."""
    RECIPROCAL_RANK = "reciprocal_rank"
    """Ranks alone (Cormack et al., 2009)."""


# Of the keyword list; the vector list has the rest. Chosen on nine sets (docs/decisions/0008).
_KEYWORD_WEIGHT: Final = {Fusion.ATTAINABLE: 0.55, Fusion.MIN_MAX: 0.5, Fusion.RECIPROCAL_RANK: 0.5}


class Candidate(NamedTuple):
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
    weight = 1.0 if vector is None else _KEYWORD_WEIGHT[fusion]
    fused: dict[Place, tuple[float, _Standing, _Standing]] = {}
    shares = _shares(keyword, fusion, attainable)
    for rank, (hit, share) in enumerate(zip(keyword, shares, strict=True), 1):
        standing = (rank if rank <= CANDIDATES else None), hit.score
        fused[hit.source_id, hit.ordinal] = weight * share, standing, _NOWHERE
    shares = _shares(vector or (), fusion, 1.0)
    for rank, (hit, share) in enumerate(zip(vector or (), shares, strict=True), 1):
        place = hit.source_id, hit.ordinal
        score, in_keyword, _ = fused.get(place, _ABSENT)
        standing = (rank if rank <= CANDIDATES else None), hit.score
        fused[place] = score + (1 - weight) * share, in_keyword, standing
    candidates = [
        Candidate(*place, score, *in_keyword, *in_vector)
        for place, (score, in_keyword, in_vector) in fused.items()
        if in_keyword[0] is not None or in_vector[0] is not None
    ]
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.place))


def _shares(hits: Sequence[Hit], fusion: Fusion, attainable: float) -> list[float]:
    """What each hit of a list counts, 0..1: by its score, if scores are taken as they are, else by its place in it."""
    if fusion is Fusion.ATTAINABLE:
        return [min(1.0, max(0.0, hit.score / attainable)) for hit in hits]
    candidates, rest = hits[:CANDIDATES], [0.0] * len(hits[CANDIDATES:])
    if fusion is Fusion.RECIPROCAL_RANK:
        return [(_RANK_CONSTANT + 1) / (_RANK_CONSTANT + rank) for rank, _ in enumerate(candidates, 1)] + rest
    low = min((hit.score for hit in candidates), default=0.0)
    spread = max((hit.score for hit in candidates), default=0.0) - low
    # A list without spread counts full.
    return [(hit.score - low) / spread if spread > 0 else 1.0 for hit in candidates] + rest


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
