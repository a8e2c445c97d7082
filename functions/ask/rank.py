"""Fusion: two ranked lists become one, and what says the same twice is said once. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

# How many of each list are fused.
CANDIDATES: Final = 100

# Cormack et al. (2009) took 60; lists of 100 were fused better by a smaller constant.
_RANK_CONSTANT: Final = 10
# A chunk of whose words a better one of its source holds so many says nothing new.
_SAME: Final = 0.9

Scored = tuple[int, float]  # a chunk, by its number in the snapshot that was searched, and its score in a list
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

    number: int
    score: float
    keyword_rank: int | None
    keyword_score: float | None
    vector_rank: int | None
    vector_score: float | None


def fuse(
    keyword: Sequence[Scored],
    vector: Sequence[Scored] | None,
    *,
    attainable: float,
    fusion: Fusion = Fusion.ATTAINABLE,
) -> list[Candidate]:
    """All chunks that are among the best CANDIDATES of either list (each best first), best first.

    Ties go by the keyword score, then by number. What a list has beyond its candidates lends its score to those of the
    other list, if scores are taken as they are: a chunk found by its words is as near in meaning as it is, whether or
    not a hundred others are nearer. `attainable`: the sum of the idf of the question's terms, which BM25 stays below.
    Without a `vector` list, keyword scores count alone.
    """
    weight = 1.0 if vector is None else _KEYWORD_WEIGHT[fusion]
    fused: dict[int, tuple[float, _Standing, _Standing]] = {}
    shares = _shares([score for _, score in keyword], fusion, attainable)
    for rank, ((number, score), share) in enumerate(zip(keyword, shares, strict=True), 1):
        fused[number] = weight * share, ((rank if rank <= CANDIDATES else None), score), _NOWHERE
    shares = _shares([score for _, score in vector or ()], fusion, 1.0)
    for rank, ((number, score), share) in enumerate(zip(vector or (), shares, strict=True), 1):
        by_keyword, in_keyword, _ = fused.get(number, _ABSENT)
        in_vector = (rank if rank <= CANDIDATES else None), score
        fused[number] = by_keyword + (1 - weight) * share, in_keyword, in_vector
    candidates = [
        Candidate(number, score, *in_keyword, *in_vector)
        for number, (score, in_keyword, in_vector) in fused.items()
        if in_keyword[0] is not None or in_vector[0] is not None
    ]
    return sorted(candidates, key=lambda one: (-one.score, -(one.keyword_score or 0.0), one.number))


def _shares(scores: Sequence[float], fusion: Fusion, attainable: float) -> list[float]:
    """What each chunk of a list counts, 0..1: by its score, if scores are taken as they are, else by its place."""
    if fusion is Fusion.ATTAINABLE:
        return [min(1.0, max(0.0, score / attainable)) for score in scores]
    candidates, rest = scores[:CANDIDATES], [0.0] * len(scores[CANDIDATES:])
    if fusion is Fusion.RECIPROCAL_RANK:
        return [(_RANK_CONSTANT + 1) / (_RANK_CONSTANT + rank) for rank, _ in enumerate(candidates, 1)] + rest
    low = min(candidates, default=0.0)
    spread = max(candidates, default=0.0) - low
    # A list without spread counts full.
    return [(score - low) / spread if spread > 0 else 1.0 for score in candidates] + rest


def distinct(candidates: Sequence[Candidate], texts: Mapping[int, tuple[UUID, str]], k: int) -> list[Candidate]:
    """The `k` first candidates, without those that repeat a better one of the same source.

    `texts`: the source and the text of chunks; candidates that are not among them are left out. A chunk repeats a
    better one that holds nine tenths of its words, as overlapping windows and boilerplate do; the chunk of a heading
    does not stand for the section that repeats it.
    """
    kept: list[Candidate] = []
    words: dict[int, frozenset[str]] = {}

    def words_of(number: int) -> frozenset[str]:
        if number not in words:
            words[number] = frozenset(texts[number][1].casefold().split())
        return words[number]

    for candidate in candidates:
        if candidate.number in texts and not any(
            texts[other.number][0] == texts[candidate.number][0]
            and _repeats(words_of(candidate.number), words_of(other.number))
            for other in kept
        ):
            kept.append(candidate)
            if len(kept) == k:
                break
    return kept


def _repeats(candidate: frozenset[str], better: frozenset[str]) -> bool:
    return len(candidate & better) >= _SAME * len(candidate)
