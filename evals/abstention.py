"""What observations come to: the weights of a decision to answer, its tables and its curve. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

import numpy as np

from evals import logistic
from evals.leftout import HALF, WHOLE, Observation
from functions.ask.support import Signals, answerable, hopeless, probability

MEANING: Final = "with MiniLM"
WORDS: Final = "keyword only"

FEATURES: Final = ("keyword_share", "together", "phrase", "cosine")
# Of the answerable questions of a corpus, on the mean of the corpora: refused where the threshold is set, and called
# hopeless. Little more is refused falsely from there on for a while, and much more of what was left out.
FALSELY: Final = {MEANING: 0.022, WORDS: 0.018}
HOPELESS: Final = 0.0005
_PROBABILITIES: Final = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9)

Seen = Sequence[Observation]
Rows = list[list[str]]
Decide = Callable[[Signals], bool]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The intercept and a weight for each of FEATURES, and the probabilities at which to answer, and to hope."""

    intercept: float
    weights: Sequence[float]
    threshold: float
    hopeless: float


def by(mode: str, seen: Iterable[Observation]) -> list[Observation]:
    """Those that had a cosine, or those that had none."""
    return [one for one in seen if (one.signals.cosine is not None) == (mode == MEANING)]


def fit(seen: Seen, falsely: float) -> Fitted:
    """Fit the decision to answer, which refuses a share of the answerable falsely.

    Each corpus counts the same, and so do questions whose article is there or is not.
    Adversarial questions are left out: what they ask is about an article that is there.
    """
    seen = [one for one in seen if one.answerable]
    groups = {(one.corpus, one.inside) for one in seen}
    shares = {group: 1 / sum((one.corpus, one.inside) == group for one in seen) for group in groups}
    features = np.array([[getattr(one.signals, name) or 0.0 for name in FEATURES] for one in seen])
    labels = np.array([one.inside for one in seen])
    weights = np.array([shares[one.corpus, one.inside] for one in seen])
    intercept, *slopes = logistic.fit(features, labels, weights)
    probabilities = 1 / (1 + np.exp(-(intercept + features @ np.array(slopes))))
    order = np.argsort(probabilities[labels])
    cumulated = np.cumsum(weights[labels][order]) / weights[labels].sum()
    threshold, least = (
        float(probabilities[labels][order][np.searchsorted(cumulated, share)]) for share in (falsely, HOPELESS)
    )
    return Fitted(float(intercept), [float(slope) for slope in slopes], threshold, least)


def answers(seen: Seen) -> Rows:
    """How good extracted answers are, by corpus and mode, without abstention and with it."""
    rows = [
        ["corpus", "mode", "abstention", "questions", "answered", "in the first sentence", "in the answer",
         "first from the passage", "sentences", "ms"]
    ]  # fmt: skip
    for corpus in _corpora(seen):
        for mode in (MEANING, WORDS):
            quoted = [one for one in by(mode, seen) if one.corpus == corpus and one.quoted]
            if not quoted:
                continue
            for abstains in (False, True):
                given = [one for one in quoted if not abstains or answerable(one.signals)]
                extracts = [one.quoted for one in given if one.quoted]
                spans = [one for one in extracts if one.first is not None]
                cells = [corpus, mode, "on" if abstains else "off", str(len(quoted)), percent(len(given), len(quoted))]
                if spans:
                    cells += [percent(sum(bool(one.first) for one in spans), len(quoted))]
                    cells += [percent(sum(bool(one.within) for one in spans), len(quoted))]
                else:
                    cells += ["–", "–"]
                cells += [percent(sum(one.passage for one in extracts), len(quoted))]
                cells += [f"{fmean(one.sentences for one in extracts):.2f}"]
                cells += [f"{median(one.milliseconds for one in extracts):.1f}"]
                rows.append(cells)
    return rows


def corpora(seen: Seen) -> Rows:
    """What is refused in each corpus, and what is called hopeless."""
    rows = [
        ["corpus", "mode", "chunks", "answerable", "refused", "left out", "refused", "adversarial", "refused",
         "answerable called hopeless", "left out called hopeless"]
    ]  # fmt: skip
    for corpus in _corpora(seen):
        for mode in (MEANING, WORDS):
            here = [one for one in by(mode, seen) if one.corpus == corpus]
            if not here:
                continue
            kinds = _kinds(here)
            cells = [corpus, mode, f"{median(one.chunks for one in here):,.0f}"]
            for kind in kinds:
                cells += [str(len(kind)), _share(kind, lambda signals: not answerable(signals))]
            cells += [_share(kind, hopeless) for kind in kinds[:2]]
            rows.append(cells)
    return rows


def curve(seen: Seen) -> Rows:
    """What each threshold comes to, in halves of the articles, and for answers from everything.

    Of all answerable questions, how many answers have the gold span.
    """
    rows = [
        ["probability", "answerable refused", "left out refused", "adversarial refused", "in the first sentence",
         "in the answer"]
    ]  # fmt: skip
    inside, outside, adversarial = _kinds([one for one in seen if one.corpus == HALF])
    quoted = [one for one in seen if one.corpus == WHOLE and one.quoted and one.quoted.first is not None]

    def row(label: str, refuse: Decide) -> list[str]:
        given = [one.quoted for one in quoted if one.quoted and not refuse(one.signals)]
        return [
            label,
            *(_share(kind, refuse) for kind in (inside, outside, adversarial)),
            percent(sum(bool(one.first) for one in given), len(quoted)),
            percent(sum(bool(one.within) for one in given), len(quoted)),
        ]

    rows += [row(f"{least:.2f}", _below(least)) for least in _PROBABILITIES]
    return [*rows, row("chosen", lambda signals: not answerable(signals))]


def percent(part: int, whole: int) -> str:
    """A share as it is shown."""
    return f"{100 * part / whole:.1f}" if whole else "–"


def _corpora(seen: Seen) -> list[str]:
    return list(dict.fromkeys(one.corpus for one in seen))


def _kinds(seen: Seen) -> tuple[Seen, Seen, Seen]:
    """Questions whose article is there, those whose article was left out, and the adversarial ones of the former."""
    return (
        [one for one in seen if one.inside and one.answerable],
        [one for one in seen if not one.inside],
        [one for one in seen if one.inside and not one.answerable],
    )


def _below(least: float) -> Decide:
    return lambda signals: probability(signals) < least


def _share(seen: Seen, holds: Decide) -> str:
    return percent(sum(holds(one.signals) for one in seen), len(seen))
