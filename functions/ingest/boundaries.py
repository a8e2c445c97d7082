"""Where a text may be cut: between graphemes, words and sentences, around headings and the rows of tables. Pure.

Positions are code point offsets; to cut at a position is to cut before its character.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import regex  # type: ignore[import-untyped]

from functions.ingest.extract.document import Document, Heading, Table

# A full stop after an initial or a title ends no sentence, nor does one before a small letter.
_SENTENCE_END: Final = re.compile(
    r"(?:[!?…]|(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St|No|cf|vs))(?<!\b(?:Mrs|Fig))\.)[\"'”’»)\]]*(?=\s+[^\sa-z])"
    r"|[。！？｡][”’」』）】]*"
)
# Scripts without spaces between words: Han, Kana, Bopomofo and their punctuation. A line may break between any two
# characters but before closing and after opening ones (JIS X 4051).
_IDEOGRAPHIC: Final = re.compile(
    "[\u3001-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40"
    "\uff5b-\uff9d\U00020000-\U0003134f]"
)
_NO_START: Final = frozenset("、。，．！？：；）」』】〉》〕］｝｡｣､”’…ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ")
_NO_END: Final = frozenset("（「『【〈《〔［｛｢“‘")
_CLUSTER: Final = regex.compile(r"\X")  # extended grapheme clusters, UAX #29

_WORDS: Final = re.compile(r"[^\W_]+")
# What Markdown may have behind the words of a heading: closing marks, and the rule below a setext heading.
_AFTER_TITLE: Final = re.compile(r"[^\w\n]*(?:\n[ \t]*(?:=+|-+)[ \t]*(?=\n|$))?")
_LINE: Final = re.compile(r"[^\n]*")


class Span(NamedTuple):
    """text[start:end]."""

    start: int
    end: int


class Structure:
    """The headings of a document and the rows of its tables, as places where it should not be cut.

    `openings` should not stand without what follows: headings, those with only blanks between them as one. In
    `openings_with_rows` the first row of a table that has more is one, too.
    """

    def __init__(self, document: Document) -> None:
        self.text = document.text
        self.headings = [heading.start for heading in document.headings]
        self._tables = [table for table in document.tables if table.start < table.end]
        self._table_starts = [table.start for table in self._tables]
        headings = [_heading(self.text, heading) for heading in document.headings]
        rows = [self._first_row(table) for table in self._tables]
        self.openings = tuple(_joined(self.text, headings))
        self.openings_with_rows = tuple(_joined(self.text, sorted(headings + rows)))
        self._last_row = Span(0, 0)  # one without line ends may be long, and is asked for many times

    def row(self, position: int) -> Span | None:
        """The row of a table that a cut at `position` would go through."""
        if not self._last_row.start < position < self._last_row.end:
            at = bisect_right(self._table_starts, position) - 1
            if at < 0 or position >= self._tables[at].end:
                return None
            self._last_row = self._row(self._tables[at], position)
        return self._last_row if self._last_row.start < position < self._last_row.end else None

    def section_starts(self, low: int, high: int) -> Iterator[int]:
        """Where the last headings in text[low:high] begin, with those directly above them."""
        last = bisect_right(self.headings, high) - 1
        if last >= 0:
            above = around(self.openings, self.headings[last] + 1)
            start = min(above.start, self.headings[last]) if above else self.headings[last]
            if start >= low:
                yield start

    def last_section(self, start: int, end: int) -> Span | None:
        """The last opening with a heading in text(start:end)."""
        last = bisect_left(self.headings, end) - 1
        if last < 0 or self.headings[last] <= start:
            return None
        return around(self.openings, self.headings[last] + 1) or Span(self.headings[last], self.headings[last])

    def _first_row(self, table: Table) -> Span:
        row = self._row(table, table.start)
        return row if self.text[row.end : table.end].strip() else Span(table.start, table.start)

    def _row(self, table: Table, position: int) -> Span:
        start = max(table.start, self.text.rfind("\n", table.start, position) + 1)
        end = self.text.find("\n", position, table.end)
        end = table.end if end < 0 else end
        return Span(min(skip_blanks(self.text, start), end), trimmed(self.text, start, end))


def around(openings: Sequence[Span], position: int) -> Span | None:
    """The opening that a chunk would end with, or in, if it ended at `position`."""
    at = bisect_left(openings, (position, position)) - 1
    return openings[at] if at >= 0 and openings[at].start < position <= openings[at].end else None


def _heading(text: str, heading: Heading) -> Span:
    """The text of a heading; empty where the document has none, as for the bookmarks of some PDFs."""
    words = _WORDS.findall(heading.title)
    there = list(islice(_WORDS.finditer(text, heading.start), len(words)))
    match = None
    if text.startswith(heading.title, heading.start):
        match = _AFTER_TITLE.match(text, heading.start + len(heading.title))
    elif words and len(there) == len(words) and all(a.group().startswith(b) for a, b in zip(there, words, strict=True)):
        # The same words between other marks; the last one of a long title may have been cut.
        match = _AFTER_TITLE.match(text, there[-1].end())
    elif text.startswith("#", heading.start):  # Markdown with more than its words, as a link has
        match = _LINE.match(text, heading.start)
    return Span(heading.start, trimmed(text, heading.start, match.end()) if match else heading.start)


def _joined(text: str, spans: list[Span]) -> Iterator[Span]:
    """Spans that overlap, or have only blanks between them, as one; without those that are empty."""
    last: Span | None = None
    for span in spans:
        if span.start == span.end:
            continue
        if last is not None and (span.start <= last.end or text[last.end : span.start].isspace()):
            last = Span(last.start, max(last.end, span.end))
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last


def sentence_ends(text: str, low: int, high: int) -> Iterator[int]:
    """Where sentences end, as far as text[low:high] shows."""
    return (match.end() for match in _SENTENCE_END.finditer(text, low, high))


def is_word_end(text: str, position: int) -> bool:
    """Whether a cut at `position`, which lies inside the text, goes through no word."""
    before, after = text[position - 1], text[position]
    if before.isspace() or after.isspace():
        return True
    ideographic = _IDEOGRAPHIC.match(before) or _IDEOGRAPHIC.match(after)
    return bool(ideographic) and after not in _NO_START and before not in _NO_END


def last_cluster_end(text: str, start: int, limit: int) -> int | None:
    """The end of the last whole grapheme of those from `start` on that end by `limit`."""
    ends = [match.end() for match in _CLUSTER.finditer(text, start, limit + 1) if start < match.end() <= limit]
    return ends[-1] if ends else None


def splits_cluster(text: str, start: int, position: int) -> bool:
    """Whether a cut would tear a grapheme apart; `start` is a place where it certainly does not."""
    if not start < position < len(text):
        return False
    # Only after a mark, a joiner or a flag's letter does it matter what stands further back (UAX #29, GB9c to GB13).
    anchor = position - 1
    while anchor > start and unicodedata.category(text[anchor])[0] not in "LNPZ":
        anchor -= 1
    end = anchor
    while end < position:
        end = _CLUSTER.match(text, end).end()
    return bool(end > position)


def skip_blanks(text: str, position: int) -> int:
    """The first place from `position` on that is not blank."""
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def begin(text: str, position: int) -> int:
    """The first place from `position` on where a chunk may begin: not blank, unless a mark sits on the blank."""
    start = skip_blanks(text, position)
    while start < len(text) and splits_cluster(text, position, start):
        start -= 1
    return start


def trimmed(text: str, start: int, position: int) -> int:
    """`position` moved back over blanks, not beyond `start`."""
    while position > start and text[position - 1].isspace():
        position -= 1
    return position
