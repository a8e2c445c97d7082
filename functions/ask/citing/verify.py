"""Citations: each marker of a draft answer is traced to a sentence of its passage, and checked. Pure.

What a marker stands for must be found in the text as it is stored; a marker that cannot be traced is taken out.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from functions.ask.citing import markers
from functions.ask.citing.foreign import foreign
from functions.ask.citing.markers import Mark
from functions.ask.citing.trace import Evidence, Span
from minirag.knowledge.llm import Passage
from minirag.knowledge.sentences import sentences

# Terms from which a part of a sentence says something by itself.
_PART: Final = 4
# Bullets, headings and rows of tables, which belong to no paragraph.
_ITEM: Final = re.compile(r"[-*+•‣▪◦●○■□·–—]\s|\(?\d{1,3}[.)]\s|#{1,6}\s|\|")


@dataclass(frozen=True, slots=True)
class Verified:
    """An answer with only markers that hold, and their quotes in the order of its sentences.

    `score` is the share of its sentences that a citation supports, 0..1; `unsupported` are the others, without markers.
    Of an answer in another language than its passages only numbers can be compared: its markers stay where those hold,
    and what was not traced does not count as supported.
    """

    text: str
    spans: list[Span]
    score: float
    unsupported: list[str]


@dataclass(slots=True)
class _Sentence:
    """A sentence of the draft, whose text is bare[start:end], with its marks and what was found for them."""

    start: int
    end: int
    text: str
    follows: bool  # another one in the same paragraph
    marks: list[Mark] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    kept: list[Mark] = field(default_factory=list)


def verify(draft: str, passages: Sequence[Passage], stored: Mapping[int, str]) -> Verified:
    """Check a draft's markers against `stored`: the text of each passage, by marker, as read back from the store.

    Work grows with the length of the draft, times that of the passages.
    """
    evidence = Evidence([passage for passage in passages if stored.get(passage.marker) == passage.content])
    bare, marks = markers.parse(draft)
    found = _sentences(bare)
    _assign(found, marks, bare)
    before: list[_Sentence] = []
    for sentence in found:
        before = before if sentence.follows else []
        if sentence.marks:
            _check(sentence, before, evidence)
            before = []
        else:
            before.append(sentence)
    unsupported = [sentence.text for sentence in found if not sentence.spans]
    adrift = any(sentence.marks and not sentence.spans for sentence in found)
    if adrift and foreign(bare, [passage.content for passage in passages]):
        # What cannot be compared is not called supported, nor are its sources taken from it.
        for sentence in found:
            _point(sentence, evidence)
    spans = dict.fromkeys(span for sentence in found for span in sentence.spans)
    return Verified(
        text=markers.put(bare, [mark for sentence in found for mark in sentence.kept]).strip(),
        spans=list(spans),
        score=1 - len(unsupported) / len(found) if found else 0.0,
        unsupported=unsupported,
    )


def _sentences(bare: str) -> list[_Sentence]:
    """The sentences that say something: a rule or a row of dashes claims nothing."""
    found: list[_Sentence] = []
    last = 0
    for start, end in sentences(bare):
        text = bare[start:end]
        if any(map(str.isalnum, text)):
            follows = bool(found) and bare.count("\n", last, start) < 2 and not _ITEM.match(text)
            found.append(_Sentence(start, end, text, follows))
            last = end
    return found


def _assign(found: Sequence[_Sentence], marks: Sequence[Mark], bare: str) -> None:
    """Give each mark to the sentence that it stands behind or in; at the beginning of a line, to the one after it."""
    starts = [sentence.start for sentence in found]
    for mark in marks:
        at = bisect_left(starts, mark.at)
        line_begins = mark.at == 0 or bare[mark.at - 1] == "\n"
        opens = line_begins and bare[mark.at : mark.at + 1] not in ("", "\n") and at < len(found)
        if found:
            found[at if opens or at == 0 else at - 1].marks.append(mark)


def _point(sentence: _Sentence, evidence: Evidence) -> None:
    """Let the marks of a sentence that was traced nowhere stand for what is nearest to it in their passages."""
    if sentence.spans or not sentence.marks:
        return
    numbers = dict.fromkeys(number for mark in sentence.marks for number in mark.numbers)
    sentence.spans = evidence.point(evidence.claim(sentence.text), numbers)
    holding = {span.marker for span in sentence.spans}
    sentence.kept = [kept for mark in sentence.marks if (kept := mark.only(holding)).numbers]


def _check(sentence: _Sentence, before: Sequence[_Sentence], evidence: Evidence) -> None:
    """Trace a sentence to the passages of its marks, and to them those before it that have no mark."""
    numbers = list(dict.fromkeys(number for mark in sentence.marks for number in mark.numbers))
    sentence.spans = evidence.trace(evidence.claim(sentence.text), numbers)
    whole = {span.marker for span in sentence.spans}
    begin = sentence.start
    for at, group in groupby(sentence.marks, key=lambda mark: mark.at):
        marks = list(group)
        # A sentence may be made of parts, each from the passage whose mark stands behind it.
        part = evidence.claim(sentence.text[begin - sentence.start : max(0, at - sentence.start)])
        begin = max(begin, at)
        others = dict.fromkeys(number for mark in marks for number in mark.numbers if number not in whole)
        spans = evidence.trace(part, others) if len(part.terms) >= _PART else []
        sentence.spans += spans
        holding = whole.union(span.marker for span in spans)
        sentence.kept += [kept for mark in marks if (kept := mark.only(holding)).numbers]
    holding = {span.marker for span in sentence.spans}
    for earlier in before:
        earlier.spans = evidence.trace(evidence.claim(earlier.text), numbers)
        if alone := tuple(span.marker for span in earlier.spans if span.marker not in holding):
            earlier.kept = [Mark(alone, earlier.end)]
