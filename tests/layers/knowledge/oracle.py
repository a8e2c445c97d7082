"""BM25 as the textbook has it, over chunks kept in a dictionary: what the index must agree with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from uuid import UUID

Place = tuple[UUID, int]
K1, B = 1.2, 0.75


def scores(chunks: Mapping[Place, Sequence[str]], query: Sequence[str]) -> dict[Place, float]:
    """The score of every chunk that has any of the query's terms."""
    counts = {place: Counter(terms) for place, terms in chunks.items()}
    average = sum(map(len, chunks.values())) / len(chunks) if chunks else 0.0
    found: dict[Place, float] = {}
    for term, times in Counter(query).items():
        holders = [place for place in chunks if counts[place][term]]
        idf = log(1 + (len(chunks) - len(holders) + 0.5) / (len(holders) + 0.5))
        for place in holders:
            tf = counts[place][term]
            norm = K1 * (1 - B + B * len(chunks[place]) / average)
            found[place] = found.get(place, 0.0) + times * idf * tf / (tf + norm)
    return found


def assert_same_ranking(found: Mapping[Place, float], expected: Mapping[Place, float], k: int) -> None:
    """The `k` best of `expected` were found, with their scores, up to ties."""
    best = sorted(expected.values(), reverse=True)[:k]
    assert len(found) == len(best), f"{len(found)} found, {len(best)} expected"
    for ours, theirs in zip(sorted(found.values(), reverse=True), best, strict=True):
        assert abs(ours - theirs) <= 1e-5 * max(1.0, theirs)
    for place, score in found.items():
        assert place in expected, f"{place} should not have been found"
        assert abs(score - expected[place]) <= 1e-5 * max(1.0, score)
