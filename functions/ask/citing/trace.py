"""Where passages say what a sentence of an answer says. Pure.

Words are compared, not meanings. Lest a sentence about the same be taken for one that says the same, its numbers, names
and denials must be those of its passages, too.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import log
from typing import Final

from functions.ask.citing import figures, names
from minirag.knowledge.lexical.analyzer import words
from minirag.knowledge.llm import Passage
from minirag.knowledge.sentences import sentences

# Passages of which none has enough may have this share together.
_TOGETHER: Final = 0.7
_PART: Final = 0.15  # what another one must add

# A number or a denial must come from the sentence that was found, from beside it, from another that has this share of
# the claim's terms, or from what is no sentence: a heading, a row of a table.
_RELATED: Final = 0.2
_ENDS: Final = (".", "!", "?", "…", "。", "！", "？", "।", "؟")
_CLOSERS: Final = "\"'”’»)]」』）"

_DENIES: Final = re.compile(
    r"\b(?:not(?!\s+only)|never|no|none|nobody|nothing|neither|nor|cannot|without|nicht|nie|niemals|kein\w{0,2}|ohne"
    r"|pas|jamais|aucun\w?|sans|nunca|ning[uú]n\w?)\b|n[’']t\b",
    re.IGNORECASE,
)
_DENIES_IN_OTHER_WORDS: Final = re.compile(
    r"\b(?:prohibit|forbid|forbad|fail|refus|den(?:y|ie)|lack|unable|reject|prevent|ban|except|exclud|illegal"
    r"|impossibl|unlike|absen[tc])\w*",
    re.IGNORECASE,
)

# What Markdown and quoting put around a sentence.
_BEFORE: Final = re.compile(r"\s*(?:(?:[-*+•>]|#{1,6}|\(?\d{1,3}[.)])\s+)*[*_`\"'“”«»|]*\s*")
_BEHIND: Final = "*_`\"'“”«»| \t\n"
_WORD: Final = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Rule:
    """When a passage supports a sentence: from which share of its terms on, weighted by their rarity."""

    support: float
    unheard: float  # factor on terms that no passage has: they may be other words for the same thing
    two: float  # factor on the share that two sentences of the passage have together


# Chosen on one half of SQuAD 2.0's articles, measured on the other: `python -m evals.citing`.
RULE: Final = Rule(support=0.44, unheard=0.5, two=0.8)


@dataclass(frozen=True, slots=True)
class Span:
    """A quote within passage `marker`: its content[start:end]."""

    marker: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, analyzed; `weight` is what its terms weigh together."""

    text: str
    terms: frozenset[str]
    weight: float
    numbers: list[list[figures.Reading]]
    names: list[names.Name]
    denies: bool


@dataclass(frozen=True, slots=True)
class Nearest:
    """What in a passage comes nearest to a claim: the terms they share, and which share of its weight, 0..1."""

    span: Span
    terms: frozenset[str]
    share: float


@dataclass(frozen=True, slots=True)
class _Part:
    """A sentence of a passage, or two in a row."""

    start: int
    end: int
    terms: frozenset[str]


class _Read:
    """A passage, analyzed once."""

    def __init__(self, passage: Passage) -> None:
        self.title = passage.name
        self.content = passage.content
        spans = sentences(passage.content)
        self.sentences = [_Part(start, end, frozenset(words(passage.content[start:end]))) for start, end in spans]
        self._plain = " ".join(passage.content.split())

    # What follows is needed of few passages.
    @cached_property
    def pairs(self) -> list[_Part]:
        return [_Part(one.start, two.end, one.terms | two.terms) for one, two in pairwise(self.sentences)]

    @cached_property
    def _begins(self) -> tuple[list[int], list[int]]:
        """Where each word begins, here and in the same text with one blank between words."""
        here, plain = ([match.start() for match in _WORD.finditer(text)] for text in (self.content, self._plain))
        return here, plain

    @cached_property
    def known(self) -> names.Known:
        return names.known(f"{self.title}\n{self.content}")

    def literal(self, text: str) -> tuple[int, int] | None:
        """Where the passage has `text` word for word, whatever white space is between the words."""
        text = " ".join(text.split())
        at = self._plain.find(text) if text else -1
        while at >= 0:
            end = at + len(text)
            if not _within_word(self._plain, at) and not _within_word(self._plain, end):
                return self._place(at), self._place(end - 1) + 1
            at = self._plain.find(text, at + 1)
        return None

    def _place(self, at: int) -> int:
        here, plain = self._begins
        word = bisect_right(plain, at) - 1
        return here[word] + at - plain[word]


def _within_word(text: str, at: int) -> bool:
    """Whether `at` is in the middle of a word; in scripts without blanks between words, it never is."""
    around = text[max(0, at - 1) : at + 1]
    return len(around) == 2 and around.isascii() and around.isalnum()


class Evidence:
    """The passages that sentences can rest on."""

    def __init__(self, passages: Sequence[Passage], rule: Rule = RULE) -> None:
        self._rule = rule
        self._read = {passage.marker: _Read(passage) for passage in passages}
        held = [part.terms for read in self._read.values() for part in read.sentences]
        self._sentences = len(held)
        self._holding = Counter(term for terms in held for term in terms)
        self._with_names = not names.nouns_are_capitalised(passage.content for passage in passages)

    def claim(self, text: str) -> Claim:
        """A sentence made ready to be traced."""
        before = _BEFORE.match(text)
        bare = text[before.end() if before else 0 :].rstrip(_BEHIND)
        terms = frozenset(words(bare))
        found = names.names(bare) if self._with_names else []
        denies = _DENIES.search(bare) is not None
        return Claim(bare, terms, self._weigh(terms), figures.numbers(bare), found, denies)

    def trace(self, claim: Claim, markers: Iterable[int]) -> list[Span]:
        """Where the passages of `markers` say `claim`, one span each of those that do; none if they do not.

        Beside one that says it, or where several do so together only, a passage counts if it adds a part.
        """
        near = [nearest for marker in markers if (nearest := self.nearest(claim, marker)) is not None]
        held: list[Nearest] = []
        terms = frozenset[str]()
        for nearest in sorted(near, key=lambda nearest: -nearest.share):
            if nearest.share >= self._rule.support or self._weigh(nearest.terms - terms) >= _PART * claim.weight:
                held.append(nearest)
                terms |= nearest.terms
        said = max((nearest.share for nearest in held), default=0.0) >= self._rule.support
        if not said and (not held or self._weigh(terms) < _TOGETHER * claim.weight):
            return []
        return [nearest.span for nearest in near if nearest in held] if self.vouch(claim, held) else []

    def point(self, claim: Claim, markers: Iterable[int]) -> list[Span]:
        """What of the passages of `markers` is nearest to a claim in another language, if they have its numbers.

        The whole passage where not even a name is common to both.
        """
        spans = []
        for marker in markers:
            read = self._read.get(marker)
            if read is not None and figures.told(claim.numbers, figures.values(f"{read.title}\n{read.content}")):
                near = self.nearest(claim, marker)
                spans.append(near.span if near else _span(marker, read.content, 0, len(read.content)))
        return spans

    def nearest(self, claim: Claim, marker: int) -> Nearest | None:
        """What passage `marker` says word for word, else the most similar part of it; None if nothing is alike."""
        read = self._read.get(marker)
        if read is None or not claim.weight:
            return None
        if place := read.literal(claim.text):
            return Nearest(_span(marker, read.content, *place), claim.terms, 1.0)
        # Two sentences are quoted only where one alone would not do.
        best, share = self._most_like(claim, read.sentences)
        if share < self._rule.support:
            pair, together = self._most_like(claim, read.pairs)
            if self._rule.two * together > share:
                best, share = pair, self._rule.two * together
        if best is None:
            return None
        return Nearest(_span(marker, read.content, best.start, best.end), claim.terms & best.terms, share)

    def _most_like(self, claim: Claim, parts: Iterable[_Part]) -> tuple[_Part | None, float]:
        best: _Part | None = None
        most = 0.0
        for part in parts:
            weight = self._weigh(claim.terms & part.terms)
            if weight > most:
                best, most = part, weight
        return best, most / claim.weight

    def vouch(self, claim: Claim, held: Sequence[Nearest]) -> bool:
        """Whether each number, each name and a denial of a claim come from what was found for it, or from titles."""
        read = [self._read[nearest.span.marker] for nearest in held]
        if not all(any(name.among(one.known) for one in read) for name in claim.names):
            return False
        if not claim.numbers and not claim.denies:
            return True
        around = "\n".join(self._around(claim, nearest) for nearest in held)
        if claim.denies and not (_DENIES.search(around) or _DENIES_IN_OTHER_WORDS.search(around)):
            return False
        titles = "\n".join(one.title for one in read)
        return figures.told(claim.numbers, figures.values(f"{titles}\n{around}"))

    def _around(self, claim: Claim, nearest: Nearest) -> str:
        """What of a passage a claim may take its numbers from."""
        read, span = self._read[nearest.span.marker], nearest.span
        at = [n for n, part in enumerate(read.sentences) if part.start < span.end and span.start < part.end]
        beside = range(at[0] - 1, at[-1] + 2)
        numbers = frozenset(value for readings in claim.numbers for reading in readings for value in reading)
        texts = [(n, part, read.content[part.start : part.end]) for n, part in enumerate(read.sentences)]
        return "\n".join(
            text
            for n, part, text in texts
            if n in beside
            or not text.rstrip(_CLOSERS).endswith(_ENDS)
            or self._weigh((claim.terms & part.terms) - numbers) >= _RELATED * claim.weight
        )

    def _weigh(self, terms: Iterable[str]) -> float:
        """Rarity of terms among all sentences shown: what every sentence says supports nothing."""
        return sum(map(self._rarity, terms))

    def _rarity(self, term: str) -> float:
        holding = self._holding[term]
        rarity = log(1 + (self._sentences - holding + 0.5) / (holding + 0.5))
        return rarity if holding else rarity * self._rule.unheard


def _span(marker: int, content: str, start: int, end: int) -> Span:
    return Span(marker, start, end, content[start:end])
