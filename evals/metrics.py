"""How good a ranking is. Pure.

The definitions are trec_eval's, which BEIR uses, so that figures can be laid beside published ones: the gain of a
document is its grade itself, not 2**grade - 1; the ideal ranking has all relevant documents, found or not.
"""

from collections.abc import Mapping, Sequence
from math import log2
from typing import Final

Ranking = Sequence[str]  # documents, best first, each once
Grades = Mapping[str, int]  # of the relevant documents of a question, above 0

MEASURES: Final = ("nDCG@10", "recall@10", "recall@100", "MRR")


def ndcg(ranking: Ranking, grades: Grades, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `k` (Järvelin and Kekäläinen, 2002)."""
    gained = _discounted([grades.get(document, 0) for document in ranking[:k]])
    ideal = _discounted(sorted(grades.values(), reverse=True)[:k])
    return gained / ideal if ideal else 0.0


def recall(ranking: Ranking, grades: Grades, k: int) -> float:
    """The share of the relevant documents that is among the first `k`."""
    return len(grades.keys() & set(ranking[:k])) / len(grades) if grades else 0.0


def reciprocal_rank(ranking: Ranking, grades: Grades) -> float:
    """1 / the rank of the first relevant document; 0 if there is none."""
    return next((1 / rank for rank, document in enumerate(ranking, 1) if document in grades), 0.0)


def measure(run: Mapping[str, Ranking], relevant: Mapping[str, Grades]) -> dict[str, float]:
    """The means over all questions of `relevant`; a question without a ranking counts 0."""
    of_each = [_one(run.get(question, ()), grades) for question, grades in relevant.items()]
    return {
        name: sum(values) / len(values) if values else 0.0
        for name, values in zip(MEASURES, zip(*of_each, strict=True), strict=True)
    }


def _one(ranking: Ranking, grades: Grades) -> tuple[float, ...]:
    first_100 = ranking[:100]
    return (
        ndcg(ranking, grades),
        recall(ranking, grades, 10),
        recall(ranking, grades, 100),
        reciprocal_rank(first_100, grades),
    )


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))
