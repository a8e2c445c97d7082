"""Markers of passages as models write them: [1], [1, 2], [1-3], [[1]], 【1†source】, [^1], [Passage 2]. Pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

_BRACKET: Final = re.compile(r"[\[\]【】]")
# What may stand between the brackets, in any order. Each repetition can be read in one way only.
_WITHIN: Final = re.compile(
    r"(?!\s*[-–—])"
    r"(?:(?<!\d)\d{1,3}(?!\d)|[\s,;&^–—-]|\b(?:and|und|passages?|sources?|documents?|docs?|refs?|references?"
    r"|citations?|chunks?|quellen?|fuentes?|fontes?)\b[.:#]?)*",
    re.IGNORECASE,
)
_RANGE: Final = re.compile(r"(\d{1,3})(?:\s*[-–—]\s*(\d{1,3}))?")
_LONGEST_RANGE: Final = 10
_MOST_NUMBERS: Final = 20
_BLANKS: Final = " \t"
_TRAIL: Final = re.compile(r"[ \t]*(?::[ \t])?[ \t]*")


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker's numbers; `at` is its place in the text without markers, `lead` and `trail` what goes with it."""

    numbers: tuple[int, ...]
    at: int
    lead: str = " "
    trail: str = ""

    def only(self, numbers: Collection[int]) -> "Mark":
        """The mark without other numbers."""
        return Mark(tuple(number for number in self.numbers if number in numbers), self.at, self.lead, self.trail)


@dataclass(slots=True)
class _Open:
    """A bracket that is not closed yet: the text in it, and the numbers of the markers in it."""

    start: int
    text: list[str] = field(default_factory=list)
    numbers: tuple[int, ...] = ()
    plain: bool = True


def parse(text: str) -> tuple[str, list[Mark]]:
    """The text without its markers, and these in order. Linear in the length of `text`.

    Brackets that hold nothing but markers and numbers are one marker, so that none arises from what is left.
    """
    kept: list[str] = []
    marks: list[Mark] = []
    length = at = 0
    new_line = True
    for start, end, numbers in _found(text):
        between = text[at:start]
        body = between.rstrip(_BLANKS)
        if text[end : end + 1].isalnum():
            body = between  # its last blank parts two words
        new_line = body[-1] == "\n" if body else new_line
        at = end
        if new_line and (trail := _TRAIL.match(text, end)):
            at = trail.end()
        kept.append(body)
        length += len(body)
        marks.append(Mark(numbers, length, between[len(body) :], text[end:at]))
    return "".join([*kept, text[at:]]), marks


def put(bare: str, marks: Iterable[Mark]) -> str:
    """A text without markers, with `marks` in it, each number in brackets of its own."""
    parts: list[str] = []
    at = 0
    for mark in sorted(marks, key=lambda mark: mark.at):
        parts += [bare[at : mark.at], mark.lead, *(f"[{number}]" for number in mark.numbers), mark.trail]
        at = mark.at
    return "".join([*parts, bare[at:]])


def without_markers(text: str) -> str:
    """The text without markers."""
    return parse(text)[0]


def _found(text: str) -> list[tuple[int, int, tuple[int, ...]]]:
    """Start, end and numbers of each marker that lies in no other."""
    found: list[tuple[int, int, tuple[int, ...]]] = []
    opened: list[_Open] = []
    last = 0
    for match in _BRACKET.finditer(text):
        if opened:
            opened[-1].text.append(text[last : match.start()])
        last = match.end()
        if match.group() in "[【":
            opened.append(_Open(match.start()))
            continue
        if not opened:
            continue
        closed = opened.pop()
        numbers = _numbers("".join(closed.text), closed.numbers) if closed.plain else ()
        if numbers:
            while found and found[-1][0] > closed.start:
                found.pop()
            found.append((closed.start, match.end(), numbers))
        if opened:
            opened[-1].plain &= bool(numbers)
            opened[-1].numbers = (opened[-1].numbers + numbers)[:_MOST_NUMBERS]
    return found


def _numbers(text: str, within: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of a marker, those of markers `within` it first; none if it is something else."""
    text = text.partition("†")[0]
    if not _WITHIN.fullmatch(text):
        return ()
    numbers = dict.fromkeys(within)
    for match in _RANGE.finditer(text):
        first, last = int(match[1]), int(match[2] or match[1])
        numbers.update(dict.fromkeys(range(first, last + 1) if last - first < _LONGEST_RANGE else (first, last)))
        if len(numbers) >= _MOST_NUMBERS:
            break
    return tuple(numbers)[:_MOST_NUMBERS]
