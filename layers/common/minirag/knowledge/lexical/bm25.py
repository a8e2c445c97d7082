"""The numbers of BM25. Pure.

Okapi BM25 (Robertson and Zaragoza, 2009) with Lucene's idf, ln(1 + (N - df + 0.5) / (df + 0.5)), and without the
constant factor k1 + 1 (Kamphuis et al., 2020), so that a chunk's score stays below the sum of the question's idf.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

K1: Final = 1.2
B: Final = 0.75


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
