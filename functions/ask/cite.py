"""Citations: each marker of a draft answer is traced to a sentence of its passage, and checked. Pure.

What a marker stands for must be found in the text as it is stored; a marker that cannot be traced is taken out.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

from minirag.knowledge.lexical.analyzer import words
from minirag.knowledge.llm import Passage
from minirag.knowledge.sentences import sentences

# Markers as models write them: [1], [2, 3].
_MARKERS: Final = re.compile(r"\s*\[\s*(\d{1,3}(?:[\s,]+\d{1,3})*)[\s,]*\]")
_NUMBER: Final = re.compile(r"\d+")

# A sentence supports a claim if it holds at least this share of the claim's terms, weighted by their rarity.
_SUPPORT: Final = 0.3


@dataclass(frozen=True, slots=True)
class Span:
    """A quote within passage `marker`: its content[start:end]."""

    marker: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Verified:
    """An answer with only markers that hold, their quotes in order, and the supported share of its claims, 0..1."""

    text: str
    spans: list[Span]
    score: float


def without_markers(text: str, *, keep: Collection[int] = ()) -> str:
    """The text without markers, but for those of `keep`; taking one out may make another of what stood around it."""

    def kept(match: re.Match[str]) -> str:
        return match.group() if set(map(int, _NUMBER.findall(match.group(1)))) <= set(keep) else ""

    while (shorter := _MARKERS.sub(kept, text)) != text:
        text = shorter
    return text


class _Shown:
    """The passages a claim can rest on, split into sentences once."""

    def __init__(self, contents: Mapping[int, str]) -> None:
        self._contents = contents
        self._sentences = {
            marker: [(start, end, frozenset(words(content[start:end]))) for start, end in sentences(content)]
            for marker, content in contents.items()
        }
        self._count = sum(len(found) for found in self._sentences.values())
        self._holding = Counter(term for found in self._sentences.values() for *_, held in found for term in held)

    def _weight(self, wanted: Iterable[str]) -> float:
        """Rarity of terms among all sentences shown: what every sentence says supports nothing.

        A term that none of them holds counts half: it may be another word for the same thing.
        """
        return sum(self._rarity(term) for term in wanted)

    def _rarity(self, term: str) -> float:
        holding = self._holding[term]
        rarity = log(1 + (self._count - holding + 0.5) / (holding + 0.5))
        return rarity if holding else rarity / 2

    def trace(self, claim: str, marker: int) -> Span | None:
        """Where passage `marker` says `claim`: word for word if it does, else its most similar sentence."""
        content = self._contents.get(marker)
        if content is None or not claim.strip():
            return None
        literal = r"\s+".join(re.escape(word) for word in claim.split())
        if exact := re.search(literal, content):
            return Span(marker, exact.start(), exact.end(), exact.group())
        wanted = frozenset(words(claim))
        total = self._weight(wanted)
        best, best_weight = None, 0.0
        for start, end, held in self._sentences[marker]:
            weight = self._weight(wanted & held)
            if weight > best_weight and weight >= _SUPPORT * total:
                best, best_weight = Span(marker, start, end, content[start:end]), weight
        return best


def verify(draft: str, passages: Sequence[Passage], stored: Mapping[int, str]) -> Verified:
    """Check a draft's markers against `stored`: the text of each passage, by marker, as read back from the store."""
    shown = _Shown({p.marker: p.content for p in passages if stored.get(p.marker) == p.content})
    kept: list[str] = []
    spans: list[Span] = []
    claims = supported = at = 0
    for match in _MARKERS.finditer(draft):
        claim = draft[at : match.start()]
        at = match.end()
        markers = dict.fromkeys(map(int, _NUMBER.findall(match.group(1))))
        # Markers in a row belong to the same claim.
        repeated = not claim.strip()
        claim = claim if not repeated else (kept[-1] if kept else "")
        found = [span for marker in markers if (span := shown.trace(claim, marker)) is not None]
        if not repeated:
            kept.append(claim)
            claims += 1
            supported += bool(found)
        spans.extend(span for span in found if span not in spans)
        kept.extend(f" [{span.marker}]" for span in found)
    rest = draft[at:]
    if any(char.isalnum() for char in rest):
        claims += 1
    text = without_markers(("".join(kept) + rest).strip(), keep={span.marker for span in spans})
    return Verified(text, spans, supported / claims if claims else 0.0)
