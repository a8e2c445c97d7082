"""Measure the check of citations: `python -m evals.citing`.

True and false sentences are made of SQuAD 2.0's questions and paragraphs, each with the marker of the paragraph that
answers the question, and checked as those of an answer. The rule is chosen on every second article and measured on
the others.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final
from uuid import UUID

from evals import report
from evals.answered import Answered, Question, Read, load
from functions.ask.citing.trace import RULE, Evidence, Rule
from minirag.knowledge.lexical.analyzer import words
from minirag.knowledge.llm import Passage
from minirag.knowledge.sentences import sentences

SET: Final = "squad2_a"

TRUE: Final = ("literal", "shortened", "reordered", "two merged", "restated")
FALSE: Final = (
    "other article", "other paragraph", "number changed", "name changed", "number exchanged", "other answer", "denied",
)  # fmt: skip
# Without those that differ from what is true in meaning only.
SEEN: Final = ("other article", "other paragraph", "number changed", "name changed")

_HOLDS: Final = 0.95
_THRESHOLDS: Final = [n / 20 for n in range(4, 17)]
_RULES: Final = [Rule(1.0, unheard, two) for unheard in (0.25, 0.5, 0.75, 1.0) for two in (0.7, 0.8, 0.9)]
_CHOOSING: Final = 500
_SEED: Final = 20

_ASKING: Final = re.compile(
    r"\b(?:what|which|who|whom|whose|when|where|why|how many|how much|how|did|do|does)\b", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"\b\d\d+\b")
_NAME: Final = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
_VERB: Final = re.compile(r"\b(?:is|are|was|were|has|have|had|can|could|will|would)\b")


@dataclass(frozen=True, slots=True)
class Case:
    """What an answer could say of the first of `passages`; `claims` are pairs of kind and sentence."""

    article: str
    passages: Sequence[Passage]
    claims: Sequence[tuple[str, str]]


def cases(answered: Answered) -> list[Case]:
    """A case for each question with a literal answer, the same each time."""
    chance = random.Random(_SEED)
    by_article: dict[str, list[Read]] = defaultdict(list)
    by_paragraph: dict[str, list[Question]] = defaultdict(list)
    for read in answered.documents:
        by_article[read.title].append(read)
    for question in answered.questions:
        if question.answers:
            by_paragraph[min(question.documents)].append(question)
    made = []
    for read in answered.documents:
        near = [other for other in by_article[read.title] if other is not read]
        far = [other for title, reads in by_article.items() if title != read.title for other in reads]
        for question in by_paragraph[read.id]:
            if not near or not far or question.answers[0] not in read.document.text:
                continue
            shown = [read, *chance.sample(near, min(4, len(near))), *chance.sample(far, min(3, len(far)))]
            passages = [_passage(marker, one) for marker, one in enumerate(shown, 1)]
            others = [other.answers[0] for other in by_paragraph[read.id]]
            claims = [*_true(question, read, chance), *_false(question, read, near, far, others, chance)]
            made.append(Case(read.title, passages, claims))
    return made


def _passage(marker: int, read: Read) -> Passage:
    return Passage(marker, UUID(int=marker), UUID(int=marker), read.title, read.document.text, 1.0)


def _true(question: Question, read: Read, chance: random.Random) -> Iterator[tuple[str, str]]:
    gold = _gold(question, read)
    yield "literal", gold
    tokens = gold.split()
    if len(tokens) >= 8:
        kept = max(5, len(tokens) * 6 // 10)
        first = chance.randrange(len(tokens) - kept + 1)
        yield "shortened", " ".join(tokens[first : first + kept])
        yield "reordered", " ".join(tokens[len(tokens) // 2 :] + tokens[: len(tokens) // 2])
    neighbours = list(pairwise(_sentences(read)))
    if neighbours:
        yield "two merged", " and ".join(_half(sentence) for sentence in chance.choice(neighbours))
    yield "restated", restated(question.text, question.answers[0])


def _false(
    question: Question,
    read: Read,
    near: Sequence[Read],
    far: Sequence[Read],
    answers: Sequence[str],
    chance: random.Random,
) -> Iterator[tuple[str, str]]:
    gold, text = _gold(question, read), read.document.text
    yield "other article", chance.choice(_sentences(chance.choice(far)))
    yield "other paragraph", chance.choice(_sentences(chance.choice(near)))
    if number := _any(_NUMBER, gold, chance):
        digits = len(number.group())
        new = next(
            new for _ in range(1000) if (new := str(chance.randrange(10 ** (digits - 1), 10**digits))) not in text
        )
        yield "number changed", _exchange(gold, number, new)
        if others := [one for one in _NUMBER.findall(text) if one != number.group()]:
            yield "number exchanged", _exchange(gold, number, chance.choice(others))
    name, other = _any(_NAME, gold, chance), _any(_NAME, chance.choice(far).document.text, chance)
    if name and other and other.group() not in text:
        yield "name changed", _exchange(gold, name, other.group())
    said = set(words(question.answers[0]))
    if others := [answer for answer in answers if not said.intersection(words(answer))]:
        yield "other answer", restated(question.text, chance.choice(others))
    if verb := _VERB.search(gold):
        yield "denied", _exchange(gold, verb, f"{verb.group()} not")


def restated(question: str, answer: str) -> str:
    """A question turned into a statement, as far as it can be without grammar."""
    return f"{' '.join(_ASKING.sub(' ', question).replace('?', ' ').split())} {answer}."


def _gold(question: Question, read: Read) -> str:
    """Of the sentences that hold the answer, the one that is most like the question."""
    asked = set(words(question.text))
    return max(
        (sentence for sentence in _sentences(read) if question.answers[0] in sentence),
        key=lambda sentence: len(asked.intersection(words(sentence))),
        default=question.answers[0],
    )


def _sentences(read: Read) -> list[str]:
    return [read.document.text[start:end] for start, end in sentences(read.document.text)]


def _half(sentence: str) -> str:
    tokens = sentence.rstrip(".").split()
    return " ".join(tokens[: max(4, len(tokens) // 2)])


def _any(pattern: re.Pattern[str], text: str, chance: random.Random) -> re.Match[str] | None:
    found = list(pattern.finditer(text))
    return chance.choice(found) if found else None


def _exchange(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def strengths(some: Sequence[Case], rule: Rule) -> dict[str, list[float]]:
    """By kind, how strongly the first passage supports each claim, 0..1; 0 if a number or a name is not its own.

    Two sentences are looked at only below the rule's own threshold: at 1, always.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for case in some:
        evidence = Evidence(case.passages, rule)
        for kind, text in case.claims:
            claim = evidence.claim(text)
            nearest = evidence.nearest(claim, 1)
            found[kind].append(nearest.share if nearest and evidence.vouch(claim, [nearest]) else 0.0)
    return found


def held(strengths: Mapping[str, Sequence[float]], threshold: float, kinds: Sequence[str]) -> float:
    """The share of the claims of some kinds that are called supported."""
    values = [value for kind in kinds for value in strengths.get(kind, ())]
    return sum(value >= threshold for value in values) / len(values) if values else 0.0


def chosen(some: Sequence[Case], rules: Sequence[Rule]) -> tuple[Rule, float]:
    """The rule that calls fewest false claims supported, on the mean of their kinds, and that share.

    Each threshold is the largest one at which 95 % of every kind of true claims hold.
    """
    tried = []
    for rule in rules:
        found = strengths(some, rule)
        threshold = min(_quantile(found[kind], 1 - _HOLDS) for kind in TRUE if found[kind])
        wrong = sum(held(found, threshold, [kind]) for kind in FALSE) / len(FALSE)
        tried.append((wrong, replace(rule, support=threshold)))
    wrong, best = min(tried, key=lambda one: one[0])
    return best, wrong


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * len(values))]


def by_kind(found: Mapping[str, Sequence[float]], threshold: float) -> str:
    """A table: how many claims of each kind there are, and how many of them are called supported, in percent."""
    rows = [["claim", "number", "supported", "right"]]
    for kind in (*TRUE, *FALSE):
        share = held(found, threshold, [kind])
        right = share if kind in TRUE else 1 - share
        rows.append([kind, str(len(found.get(kind, ()))), f"{share:.1%}", f"{right:.1%}"])
    return report.table(rows)


def curve(found: Mapping[str, Sequence[float]], thresholds: Sequence[float]) -> str:
    """A table: precision, recall and accuracy by threshold, without the kinds that words cannot show, and with them."""
    rows = [["threshold", "recall", *(f"{name} {of}" for of in ("seen", "all") for name in ("precision", "accuracy"))]]
    for threshold in thresholds:
        cells = [f"{threshold:.2f}", f"{held(found, threshold, TRUE):.1%}"]
        for kinds in (SEEN, FALSE):
            right, wrong = _supported(found, threshold, TRUE), _supported(found, threshold, kinds)
            true, false = (_supported(found, 0.0, some) for some in (TRUE, kinds))
            precision = right / (right + wrong) if right + wrong else 0.0
            cells += [f"{precision:.1%}", f"{(right + false - wrong) / (true + false):.1%}"]
        rows.append(cells)
    return report.table(rows)


def _supported(found: Mapping[str, Sequence[float]], threshold: float, kinds: Sequence[str]) -> int:
    return sum(value >= threshold for kind in kinds for value in found.get(kind, ()))


def main() -> None:
    """Choose on every second article, measure on the others, print both."""
    made = cases(load(SET, characters=None, questions=None))
    articles = sorted({case.article for case in made})
    fitting = set(articles[::2])
    fit = [case for case in made if case.article in fitting]
    measure = [case for case in made if case.article not in fitting]
    some = random.Random(_SEED).sample(fit, min(_CHOOSING, len(fit)))
    best, wrong = chosen(some, _RULES)
    print(f"Chosen on {len(some)} questions to {len(fitting)} articles: {best}, {wrong:.1%} of false claims supported")
    found, freely = strengths(measure, RULE), strengths(measure, replace(RULE, support=1.0))
    print(f"In use: {RULE}, on {len(measure)} questions to {len(articles) - len(fitting)} other articles:\n")
    print(by_kind(found, RULE.support))
    print(curve(freely, _THRESHOLDS))


if __name__ == "__main__":
    main()
