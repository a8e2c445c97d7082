"""Answerability: whether what was retrieved can answer the question at all. Pure.

Signals that do not depend on the size of the corpus: how near the nearest chunk is in meaning, which share of the
question's terms, weighted by rarity, the best chunk holds, and how much of the attainable BM25 score it reaches.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final

from minirag.knowledge.lexical.analyzer import subject, terms
from minirag.knowledge.lexical.bm25 import K1, B, Statistics

# Passages imagined beside those of the corpus. In a small one every word would be as rare as the next, and a word of
# the question that the corpus lacks would outweigh all that it has.
_IMAGINED: Final = 100


@dataclass(frozen=True, slots=True)
class Signals:
    """Each 0..1; `cosine` is None where nothing was searched by meaning, or by a model other than FITTED_MODEL."""

    coverage: float
    keyword_share: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class _Logistic:
    """Probability that the documents answer, from weighted signals, and from where on to answer."""

    intercept: float
    coverage: float
    keyword_share: float
    cosine: float
    threshold: float


# Fitted on SQuAD 2.0 questions asked of corpora with and without their article, of one to eighty chunks; the figures
# are in docs/decisions/0006.
_WITH_MEANING: Final = _Logistic(-15.3, 3.7, 10.32, 27.59, 0.5)
_KEYWORD_ONLY: Final = _Logistic(-6.39, 0.0, 23.97, 0.0, 0.25)

_HOPELESS: Final = 0.02

# The model whose cosines the weights are for; those of others have another scale.
FITTED_MODEL: Final = "all-MiniLM-L6-v2-int8"


def signals(
    question: str, contents: Sequence[str], statistics: Statistics, cosine: float | None, language: str | None = None
) -> Signals:
    """The signals for a question and the passages retrieved for it."""
    asked = subject(terms(question, language))
    rarity = {term: _rarity(statistics.frequencies.get(term, 0), statistics.total) for term in asked}
    attainable = sum(rarity.values())
    covered = share = 0.0
    for content in contents:
        counts = Counter(terms(content, language))
        norm = K1 * (1 - B + B * counts.total() / (statistics.average or 1.0))
        covered = max(covered, sum(weight for term, weight in rarity.items() if counts[term]))
        reached = sum(weight * counts[term] / (counts[term] + norm) for term, weight in rarity.items())
        share = max(share, reached)
    return Signals(covered / attainable, share / attainable, cosine) if attainable else Signals(0.0, 0.0, cosine)


def _rarity(frequency: int, total: int) -> float:
    return log(1 + (total + _IMAGINED - frequency + 0.5) / (frequency + 0.5))


def probability(signals: Signals) -> float:
    """The probability that the question can be answered from what was retrieved, 0..1."""
    weights = _weights(signals)
    z = (
        weights.intercept
        + weights.coverage * signals.coverage
        + weights.keyword_share * signals.keyword_share
        + weights.cosine * (signals.cosine or 0.0)
    )
    return 1 / (1 + exp(-z))


def answerable(signals: Signals) -> bool:
    """Whether to answer rather than to say that the documents do not."""
    return probability(signals) >= _weights(signals).threshold


def hopeless(signals: Signals) -> bool:
    """Whether not even a language model need be asked; never without a cosine of the fitted model."""
    return signals.cosine is not None and probability(signals) < _HOPELESS


def _weights(signals: Signals) -> _Logistic:
    return _KEYWORD_ONLY if signals.cosine is None else _WITH_MEANING
