"""Okapi BM25 in numpy. Pure.

The score of a chunk is the sum over the question's terms of idf * tf / (tf + k1 * (1 - b + b * length / average))
(Robertson and Zaragoza, 2009), with Lucene's idf, ln(1 + (N - df + 0.5) / (df + 0.5)), and without the constant factor
k1 + 1 (Kamphuis et al., 2020), so that it stays below the sum of the idf. N, df and the average length are those of
all live chunks, whatever the search is confined to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

K1: Final = 1.2
B: Final = 0.75

# Chunks whose best score is looked at first when the best of all are sought.
_BLOCK: Final = 128

Postings = tuple[NDArray[np.int64], NDArray[np.float32]]  # the chunks that hold a term, and how often each does


@dataclass(frozen=True, slots=True)
class Statistics:
    """A workspace as BM25 sees it: chunks, their average length in terms, and how many chunks hold each term asked."""

    total: int
    average: float
    frequencies: Mapping[str, int]

    def idf(self, term: str) -> float:
        """Rarity of a term, positive even if every chunk holds it."""
        frequency = self.frequencies.get(term, 0)
        return log(1 + (self.total - frequency + 0.5) / (frequency + 0.5))


@dataclass(frozen=True, slots=True)
class Collection:
    """Chunks, numbered from 0, and the postings of some terms over them.

    `total` and `average` are those of the live chunks alone. `live` is False for chunks that were removed, None if none
    was; `allowed` is True for those that may be found, None if all may.
    """

    lengths: NDArray[np.float32]
    total: int
    average: float
    live: NDArray[np.bool_] | None
    allowed: NDArray[np.bool_] | None
    postings: Mapping[str, Postings]


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of every chunk: 0 where it has none of the terms, was removed, or may not be found."""

    scores: NDArray[np.float64]
    statistics: Statistics

    def best(self, k: int) -> NDArray[np.int64]:
        """The numbers of the `k` chunks of the highest scores above 0, best first, ties by number."""
        floor = 0.0
        blocks = len(self.scores) // _BLOCK
        if blocks >= k:
            # At least k chunks reach the k-th of the blocks' maxima, and few others do. The chunks of a block do not
            # lie next to each other, so that all maxima are taken at once.
            maxima = self.scores[: blocks * _BLOCK].reshape(_BLOCK, blocks).max(axis=0)
            floor = float(np.partition(maxima, blocks - k)[blocks - k])
        elif len(self.scores) > k:
            floor = float(np.partition(self.scores, -k)[-k])
        over = np.flatnonzero(self.scores >= floor if floor > 0 else self.scores)
        return over[np.lexsort((over, -self.scores[over]))][:k]


def score(chunks: Collection, asked: Mapping[str, int]) -> Scored:
    """Score all chunks for terms and how often each is `asked`."""
    scores = np.zeros(len(chunks.lengths), dtype=np.float64)
    frequencies = dict.fromkeys(asked, 0)
    statistics = Statistics(chunks.total, chunks.average, frequencies)
    fixed, per_term = K1 * (1 - B), K1 * B / (chunks.average or 1.0)
    for term, times in asked.items():
        if term not in chunks.postings:
            continue
        numbers, tf = chunks.postings[term]
        if chunks.live is not None:
            live = chunks.live[numbers]
            numbers, tf = numbers[live], tf[live]
        frequencies[term] = len(numbers)
        # In 64 bits: sums over a question of fifty terms lose the fifth decimal in 32.
        norms = chunks.lengths[numbers].astype(np.float64)
        norms *= per_term
        norms += fixed
        norms += tf
        scores[numbers] += statistics.idf(term) * times * (tf / norms)
    if chunks.allowed is not None:
        scores[~chunks.allowed] = 0
    return Scored(scores, statistics)
