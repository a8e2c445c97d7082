"""Where the sentences of a text are, as spans of code points.

sentencex (Wikimedia, MIT) finds the ends of sentences: abbreviations, initials, decimals, quotes, about 300
languages. Around it, this module knows what a text taken from a document looks like: lines wrapped by a page, blank
lines, bullets, headings, rows of a table.
"""

import re
from collections.abc import Iterator
from typing import Final

import sentencex  # type: ignore[import-untyped]

# sentencex is quadratic in quotation marks (1 MB of `「。」` took it seven minutes), so it never sees more at once.
_STRETCH: Final = 2000
# A line this much shorter than its neighbours was not ended by the margin.
_SHORT: Final = 0.6

_LINE = re.compile(r"[^\n]*\n?")
_BULLET = re.compile(r"[•‣▪◦●○■□·*-]\s|[–—]\s(?=[A-Z])|\(?\d{1,3}[.)]\s|\([a-z]{1,3}\)\s|[a-z]\)\s")
_OWN_LINE = re.compile(r"#{1,6}\s|\|")
_OPENERS: Final = "\"'“‘«(["
_SURROGATE = re.compile("[\ud800-\udfff]")


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans (start, end) of the sentences of `text`, in order, apart, without outer white space.

    A blank line, a bullet, a heading and a table row end a sentence; a single line break inside one does not.
    Whatever is no white space lies in some span. Linear in the length of `text`.
    """
    spans: list[tuple[int, int]] = []
    valid = _SURROGATE.sub("\ufffd", text)  # sentencex wants what UTF-8 can hold
    for start, end in _blocks(valid):
        spans.extend(_split(valid, start, end))
    return spans


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches that no sentence crosses: paragraphs, list items, headings, table rows."""
    paragraph: list[tuple[int, int]] = []
    for match in _LINE.finditer(text):
        if match.group().strip():
            paragraph.append(match.span())
        else:
            yield from _parts(text, paragraph)
            paragraph = []
    yield from _parts(text, paragraph)


def _parts(text: str, lines: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The blocks of one paragraph, given as the spans of its lines."""
    if not lines:
        return
    bodies = [text[start:end].strip() for start, end in lines]
    first = lines[0][0]
    for at, following in enumerate(bodies[1:]):
        width = max(map(len, bodies[max(0, at - 1) : at + 3]))
        if _BULLET.match(following) or _stands_alone(bodies[at], following, width):
            end = lines[at][1]
            yield first, end
            first = end
    yield first, lines[-1][1]


def _stands_alone(line: str, following: str, width: int) -> bool:
    if _OWN_LINE.match(line) or _OWN_LINE.match(following):
        return True
    if len(line) >= _SHORT * width or not line[-1].isalnum():
        return False
    return _opens(line) and _opens(following)


def _opens(line: str) -> bool:
    """Whether a line starts as a heading or a sentence does, not in the middle of one."""
    first = line.lstrip(_OPENERS)[:1]
    return first.isupper() or first.isdigit()


def _split(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of one block. A bullet belongs to the first: "1." ends none."""
    begin = start + len(text[start:end]) - len(text[start:end].lstrip())
    bullet = _BULLET.match(text, begin, end)
    spans = _stretches(text, bullet.end() if bullet else begin, end)
    first = next(spans, None)
    if first is not None or bullet:
        yield begin, first[1] if first else begin + len(text[begin:end].rstrip())
    yield from spans


def _stretches(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stretch = text[start : min(end, start + _STRETCH)]
        found = [(mark["start_index"], mark["end_index"]) for mark in sentencex.get_sentence_boundaries("en", stretch)]
        if start + len(stretch) < end:
            if len(found) > 1:
                found.pop()  # cut off by the stretch: it is read again, whole
            else:
                found = [(0, max(stretch.rfind(" "), stretch.rfind("\n")) + 1 or len(stretch))]
        for low, high in found:
            piece = stretch[low:high]
            if body := piece.strip():
                left = start + low + len(piece) - len(piece.lstrip())
                yield left, left + len(body)
        start += found[-1][1] if found else len(stretch)
