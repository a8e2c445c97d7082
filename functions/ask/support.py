"""Answerability: whether what was retrieved can answer the question at all. Pure.

Signals that do not depend on the size of the corpus: how near the nearest chunk is in meaning, which share of the
question's terms, weighted by rarity, the best chunk holds, and how much of the attainable BM25 score was reached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

from minirag.knowledge.lexical.analyzer import terms


@dataclass(frozen=True, slots=True)
class Signals:
    """Each 0..1; `cosine` is None where nothing was searched by meaning, or by a model other than FITTED_MODEL."""

    coverage: float
    keyword_share: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class _Logistic:
    """Probability that the documents answer, from weighted signals."""

    intercept: float
    coverage: float
    keyword_share: float
    cosine: float


# Fitted on SQuAD 2.0 questions whose articles were in, or left out of, the corpus; docs/decisions/0006 has the figures.
_WITH_MEANING: Final = _Logistic(-12.58, 8.45, 5.83, 16.34)
_KEYWORD_ONLY: Final = _Logistic(-8.19, 6.79, 18.49, 0.0)
_THRESHOLD: Final = 0.25

# The model whose cosines the weights are for; those of others have another scale.
FITTED_MODEL: Final = "all-MiniLM-L6-v2-int8"


def coverage(idf: Mapping[str, float], contents: Sequence[str]) -> float:
    """The largest share of the question's idf that one of the passages holds, 0..1."""
    total = sum(idf.values())
    if not total:
        return 0.0
    return max((sum(idf.get(term, 0.0) for term in set(terms(content))) / total for content in contents), default=0.0)


def probability(signals: Signals) -> float:
    """The probability that the question can be answered from what was retrieved, 0..1."""
    weights = _KEYWORD_ONLY if signals.cosine is None else _WITH_MEANING
    z = (
        weights.intercept
        + weights.coverage * signals.coverage
        + weights.keyword_share * signals.keyword_share
        + weights.cosine * (signals.cosine or 0.0)
    )
    return 1 / (1 + exp(-z))


def answerable(signals: Signals) -> bool:
    """Whether to answer rather than to say that the documents do not."""
    return probability(signals) >= _THRESHOLD
