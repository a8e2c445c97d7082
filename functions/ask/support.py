"""Answerability: whether what was retrieved can answer the question at all. Pure.

Judged by the passage that was ranked first, for among many passages some will have something of any question: how near
it is in meaning, and of the question's terms, weighted by rarity, which share of the attainable BM25 score it reaches,
which share it holds close together, and which share of their pairs stand side by side as they do in the question.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from typing import Final

import regex  # type: ignore[import-untyped]

from minirag.knowledge.lexical.analyzer import subject, terms
from minirag.knowledge.lexical.bm25 import K1, B, Statistics

# Rarity is to mean the same in every corpus. In a small one every word would be as rare as the next, so it is taken as
# if further passages lay beside it; in a large one the rarest word would outweigh all others, so there is a most.
_IMAGINED: Final = 300
_RAREST: Final = 1 / 2000
# What a term counts that no passage holds: it may be another word for the same thing. Of a script without spaces it is
# two characters, of two words more often than not.
_UNKNOWN: Final = 0.7
_UNKNOWN_UNSPACED: Final = 0.2
_UNSPACED: Final = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
# How many terms of a passage are close together.
_CLOSE: Final = 20


@dataclass(frozen=True, slots=True)
class Signals:
    """Each 0..1; `cosine` is None where nothing was searched by meaning, or by a model other than FITTED_MODEL."""

    keyword_share: float
    together: float
    phrase: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class _Logistic:
    """Probability that the documents answer, from weighted signals, and from where on to answer."""

    intercept: float
    keyword_share: float
    together: float
    phrase: float
    cosine: float
    threshold: float


# Fitted by `python -m evals.answering --fit`, thresholds from its curve: docs/decisions/0006.
_WITH_MEANING: Final = _Logistic(-9.0, 8.9, 3.5, 5.0, 11.7, 0.35)
_KEYWORD_ONLY: Final = _Logistic(-6.5, 15.4, 2.5, 7.2, 0.0, 0.17)
# Below this probability not even a language model need be asked.
_HOPELESS: Final = 0.015

# The model whose cosines the weights are for; those of others have another scale.
FITTED_MODEL: Final = "all-MiniLM-L6-v2-int8"


def signals(
    question: str, contents: Sequence[str], statistics: Statistics, cosine: float | None, language: str | None = None
) -> Signals:
    """The signals for a question and the passages retrieved for it, best first; `cosine` is the first one's."""
    asked = terms(question, language)
    rarity = {term: _rarity(term, statistics) for term in subject(asked)}
    attainable = sum(rarity.values())
    if not contents or not attainable:
        return Signals(0.0, 0.0, 0.0, cosine)
    said = terms(contents[0], language)
    counts = Counter(said)
    norm = K1 * (1 - B + B * counts.total() / (statistics.average or 1.0))
    reached = sum(weight * counts[term] / (counts[term] + norm) for term, weight in rarity.items())
    together = _together(said, rarity) / attainable
    pairs = {pair: rarity.get(pair[0], 0.0) + rarity.get(pair[1], 0.0) for pair in pairwise(asked)}
    # A question of one term has no pairs: to hold the term is to hold them all.
    phrase = sum(pairs.get(pair, 0.0) for pair in set(pairwise(said))) / sum(pairs.values()) if pairs else together
    return Signals(reached / attainable, together, phrase, cosine)


def _rarity(term: str, statistics: Statistics) -> float:
    frequency = statistics.frequencies.get(term, 0)
    rarity = log(1 + 1 / ((frequency + 0.5) / (statistics.total + _IMAGINED) + _RAREST))
    if frequency:
        return rarity
    return rarity * (_UNKNOWN_UNSPACED if _UNSPACED.match(term) else _UNKNOWN)


def _together(said: Iterable[str], rarity: Mapping[str, float]) -> float:
    """The most that neighbouring terms hold of the question's."""
    places = [(at, term) for at, term in enumerate(said) if term in rarity]
    within: Counter[str] = Counter()
    held = most = 0.0
    first = 0
    for at, term in places:
        held += 0.0 if within[term] else rarity[term]
        within[term] += 1
        while places[first][0] <= at - _CLOSE:
            left = places[first][1]
            within[left] -= 1
            held -= 0.0 if within[left] else rarity[left]
            first += 1
        most = max(most, held)
    return most


def probability(signals: Signals) -> float:
    """The probability that the question can be answered from what was retrieved, 0..1."""
    weights = _weights(signals)
    z = (
        weights.intercept
        + weights.keyword_share * signals.keyword_share
        + weights.together * signals.together
        + weights.phrase * signals.phrase
        + weights.cosine * (signals.cosine or 0.0)
    )
    return 1 / (1 + exp(-z))


def answerable(signals: Signals) -> bool:
    """Whether to answer rather than to say that the documents do not."""
    return probability(signals) >= _weights(signals).threshold


def hopeless(signals: Signals) -> bool:
    """Whether not even a language model need be asked; never without a cosine, for words alone may miss paraphrases."""
    return signals.cosine is not None and probability(signals) < _HOPELESS


def _weights(signals: Signals) -> _Logistic:
    return _KEYWORD_ONLY if signals.cosine is None else _WITH_MEANING
