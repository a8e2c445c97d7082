"""Where passages say what a sentence of an answer says, and whether its numbers and names are theirs. Pure.

Words are compared, not meanings: a denial looks like what it denies. The figures are in docs/answers.md.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Final

from functions.ask import figures, names
from minirag.knowledge.lexical.analyzer import words
from minirag.knowledge.llm import Passage
from minirag.knowledge.sentences import sentences

# A passage supports a sentence if one of its own has this share of its terms, weighted by their rarity. Chosen, as
# are the factors, on one half of SQuAD 2.0's articles and measured on the other by evals/citing.py.
SUPPORT: Final = 0.45
_UNHEARD: Final = 0.5  # factor on terms that no passage has: they may be other words for the same thing
_TWO: Final = 0.8  # factor on the share of two sentences in a row

# Passages of which none has enough may have this together, if each has a part.
_TOGETHER: Final = 0.7
_PART: Final = 0.2

# What Markdown and quoting put around a sentence.
_BEFORE: Final = re.compile(r"\s*(?:(?:[-*+•>]|#{1,6}|\(?\d{1,3}[.)])\s+)*[*_`\"'“”«»|]*\s*")
_BEHIND: Final = "*_`\"'“”«»| \t\n"
_WORD: Final = re.compile(r"\S+")


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
    factor: float = 1.0


class _Read:
    """A passage, analyzed once."""

    def __init__(self, passage: Passage) -> None:
        self.content = passage.content
        spans = sentences(passage.content)
        self.sentences = [_Part(start, end, frozenset(words(passage.content[start:end]))) for start, end in spans]
        self.pairs = [_Part(one.start, two.end, one.terms | two.terms, _TWO) for one, two in pairwise(self.sentences)]
        said = f"{passage.name}\n{passage.content}"
        self.values = figures.values(said)
        self.known = names.known(said)
        # Where each word begins, here and in the same text with one blank between words.
        self._plain = " ".join(passage.content.split())
        self._begins = [match.start() for match in _WORD.finditer(passage.content)]
        self._begins_plain = [match.start() for match in _WORD.finditer(self._plain)]

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
        word = bisect_right(self._begins_plain, at) - 1
        return self._begins[word] + at - self._begins_plain[word]


def _within_word(text: str, at: int) -> bool:
    """Whether `at` is in the middle of a word; in scripts without blanks between words, it never is."""
    around = text[max(0, at - 1) : at + 1]
    return len(around) == 2 and around.isascii() and around.isalnum()


class Evidence:
    """The passages that sentences can rest on."""

    def __init__(self, passages: Sequence[Passage]) -> None:
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
        return Claim(bare, terms, self._weigh(terms), figures.numbers(bare), found)

    def trace(self, claim: Claim, markers: Iterable[int]) -> list[Span]:
        """Where the passages of `markers` say `claim`, one span each of those that do; none if they do not."""
        near = [nearest for marker in markers if (nearest := self.nearest(claim, marker)) is not None]
        held = [nearest for nearest in near if nearest.share >= SUPPORT]
        if not held and len(near) > 1:
            parts = [nearest for nearest in near if nearest.share >= _PART]
            terms = frozenset[str]().union(*(nearest.terms for nearest in parts))
            held = parts if self._weigh(terms) >= _TOGETHER * claim.weight else []
        spans = [nearest.span for nearest in held]
        return spans if self.vouch(claim, [span.marker for span in spans]) else []

    def nearest(self, claim: Claim, marker: int) -> Nearest | None:
        """What passage `marker` says word for word, else the most similar part of it; None if nothing is alike."""
        read = self._read.get(marker)
        if read is None or not claim.weight:
            return None
        if place := read.literal(claim.text):
            return Nearest(_span(marker, read.content, *place), claim.terms, 1.0)
        # Two sentences are quoted only where one alone would not do.
        best, share = self._most_like(claim, read.sentences)
        if share < SUPPORT:
            best, share = max((best, share), self._most_like(claim, read.pairs), key=lambda found: found[1])
        if best is None:
            return None
        return Nearest(_span(marker, read.content, best.start, best.end), claim.terms & best.terms, share)

    def _most_like(self, claim: Claim, parts: Iterable[_Part]) -> tuple[_Part | None, float]:
        best: _Part | None = None
        most = 0.0
        for part in parts:
            weight = part.factor * self._weigh(claim.terms & part.terms)
            if weight > most:
                best, most = part, weight
        return best, most / claim.weight

    def vouch(self, claim: Claim, markers: Collection[int]) -> bool:
        """Whether passages, or their titles, have each number and each name of a claim."""
        read = [self._read[marker] for marker in markers]
        values = frozenset[str]().union(*(one.values for one in read))
        named = all(any(name.among(one.known) for one in read) for name in claim.names)
        return named and figures.told(claim.numbers, values)

    def _weigh(self, terms: Iterable[str]) -> float:
        """Rarity of terms among all sentences shown: what every sentence says supports nothing."""
        return sum(map(self._rarity, terms))

    def _rarity(self, term: str) -> float:
        holding = self._holding[term]
        rarity = log(1 + (self._sentences - holding + 0.5) / (holding + 0.5))
        return rarity if holding else rarity * _UNHEARD


def _span(marker: int, content: str, start: int, end: int) -> Span:
    return Span(marker, start, end, content[start:end])
