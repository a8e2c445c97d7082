"""What the places of a PDF page's characters say: which lines are rows of a table, which are headings.

A PDF says where glyphs stand, not what they form. So a table is what a reader would see as one: at least three lines,
nearly one after the other, that are parted by the same white corridors. A heading is a short line in clearly larger
type than most of the document's text.
"""

import ctypes
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from statistics import mean, median_low
from typing import Final

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

_WORD: Final = re.compile(r"\S+")
# What stands at a distance before its text, at the beginning of a line, without being a cell of its own.
_ENUMERATOR: Final = re.compile(
    r"[•●▪■◦○‣∙·*\-–—\uf0b7]|\(?(?:[0-9]{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]+|[0-9]{1,2}(?:\.[0-9]{1,2})+"
)
_CURRENCY: Final = re.compile(r"\(?[$€£¥]")
_UNIT: Final = re.compile(r"[%)]+")

# More characters than the densest page has, and 1.4 km.
_MAX_PAGE: Final = 50_000
_MAX_POINTS: Final = 4e6

# In heights of a line. Between words stands a quarter, in justified lines up to three quarters.
_GAP: Final = 0.9
# An average line of prose is less than half its height wide for each character; wider ones may hold gaps.
_PROSE_WIDTH: Final = 0.46
_ALIGNED: Final = 0.3
_MIN_ROWS: Final = 3
_MAX_WORDS: Final = 5  # of a cell, on average
_MIN_PROSE_ROWS: Final = 5
_MAX_COLUMNS: Final = 3
_MAX_PLAIN_LINES: Final = 2

_LARGER: Final = 1.2
_MAX_HEADING: Final = 120
_MAX_HEADING_SHARE: Final = 0.15
_NO_TITLE: Final = re.compile(r".*[.,;:]|\W*(?:page\s+)?\d+(?:\s*(?:of|/)\s*\d+)?\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a line between two gaps, and where it stands, in points."""

    text: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Line:
    """What stands side by side, with line ends where PDFium has them; a height of 0 points is not known."""

    text: str
    height: float = 0
    cells: tuple[Cell, ...] = ()


def lines_of(text_page: pypdfium2.PdfTextPage, text: str, rotation: int) -> list[Line]:
    """The lines of a page's text, those with gaps in cells; the page is turned by `rotation` degrees to be shown."""
    raw = text_page.raw
    # The text leaves out characters that the page counts; PDFium maps one to the other. UTF-16 would shift it again.
    if len(text) > _MAX_PAGE or max(text, default="") > "\uffff":
        return [Line(line.strip()) for line in text.splitlines()]
    identical = text_page.count_chars() == len(text)
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    box = (ctypes.byref(left), ctypes.byref(right), ctypes.byref(bottom), ctypes.byref(top))
    # The edges that a line begins and ends at, and whether it runs against the axis.
    begin, end, sign = {0: (left, right, 1), 90: (bottom, top, 1), 180: (right, left, -1)}.get(
        rotation, (top, bottom, -1)
    )
    loose = pdfium.FS_RECTF()
    loosely = ctypes.byref(loose)

    def span(start: int, after: int) -> tuple[float, float]:
        """Where the characters from `start` to before `after` begin and end."""
        if not identical:
            start = pdfium.FPDFText_GetCharIndexFromTextIndex(raw, start)
            after = pdfium.FPDFText_GetCharIndexFromTextIndex(raw, after - 1) + 1
        pdfium.FPDFText_GetCharBox(raw, start, *box)
        began = _sane(sign * begin.value)
        pdfium.FPDFText_GetCharBox(raw, after - 1, *box)
        return began, _sane(sign * end.value)

    lines: list[Line] = []
    start = 0
    before = (0.0, 0.0)  # where the line before ends, and its foot
    for part in text.split("\n"):
        content = part.strip()
        if content:
            first = start + part.index(content)
            at = first if identical else pdfium.FPDFText_GetCharIndexFromTextIndex(raw, first)
            pdfium.FPDFText_GetLooseCharBox(raw, at, loosely)
            turned = rotation in (90, 270)
            height = _sane(loose.right - loose.left if turned else loose.top - loose.bottom)
            foot = _sane(loose.left if turned else loose.bottom)
            begins, ends = span(first, first + len(content))
            cells: tuple[Cell, ...] = (Cell(content, begins, ends),)
            if height > 0 and " " in content and ends - begins > len(content) * height * _PROSE_WIDTH:
                cells = _cells(content, first, height, span)
            # PDFium may begin a line where the same one only goes on at a distance.
            if lines and begins - before[0] > _GAP * height and abs(foot - before[1]) < 0.1 * height:
                lines[-1] = replace(lines[-1], text=f"{lines[-1].text}\n{content}", cells=lines[-1].cells + cells)
            else:
                lines.append(Line(content, height, cells))
            before = (ends, foot)
        start += len(part) + 1
    return lines


def _sane(points: float) -> float:
    """The length within what any page has: files may say infinity, or what is no number."""
    return max(-_MAX_POINTS, min(_MAX_POINTS, points))


def _cells(
    content: str, first: int, height: float, span: Callable[[int, int], tuple[float, float]]
) -> tuple[Cell, ...]:
    words = [(word.group(), *span(first + word.start(), first + word.end())) for word in _WORD.finditer(content)]
    cells: list[list[tuple[str, float, float]]] = [[words[0]]]
    for before, word in pairwise(words):
        belongs = (
            _CURRENCY.fullmatch(before[0])
            or _UNIT.fullmatch(word[0])
            or (before is words[0] and _ENUMERATOR.fullmatch(before[0]))
        )
        if word[1] - before[2] > _GAP * height and not belongs:
            cells.append([word])
        else:
            cells[-1].append(word)
    return tuple(Cell(" ".join(word[0] for word in cell), cell[0][1], cell[-1][2]) for cell in cells)


def blocks_of(lines: Sequence[Line]) -> Iterator[tuple[str, bool]]:
    """The text of these lines in blocks, and of each whether it is a table; columns of prose come one by one."""
    start = done = 0
    while start < len(lines):
        rows = _rows_from(lines, start) if len(lines[start].cells) > 1 else []
        table = len(rows) >= _MIN_ROWS and _is_table([lines[row] for row in rows])
        part = lines[start : rows[-1] + 1] if rows else []
        text = "\n".join(map(_row, part)) if table else _columns(part) if len(rows) >= _MIN_PROSE_ROWS else None
        if text is not None:
            yield "\n".join(line.text for line in lines[done:start]), False
            yield text, table
            start = done = rows[-1] + 1
        else:
            start += 1
    yield "\n".join(line.text for line in lines[done:]), False


def _columns(lines: Sequence[Line]) -> str | None:
    """The text of lines across two or three columns of prose, column by column; None if they are not that."""
    count = max(len(line.cells) for line in lines)
    full = [line for line in lines if len(line.cells) == count]
    # Where each column begins: at the same place in nearly every line.
    edges = [Counter(round(line.cells[column].left) for line in full).most_common(1)[0] for column in range(count)]
    if count > _MAX_COLUMNS or len(full) < _MIN_PROSE_ROWS or any(times < 0.8 * len(full) for _, times in edges):
        return None
    if mean(len(cell.text.split()) for line in full for cell in line.cells) <= _MAX_WORDS:
        return None
    columns: list[list[str]] = [[] for _ in range(count)]
    for line in lines:
        for cell in line.cells:
            at = max(bisect_right([edge - line.height for edge, _ in edges], cell.left) - 1, 0)
            if at + 1 < count and cell.right > edges[at + 1][0]:
                return None  # a line over both columns: their parts above and below belong together
            columns[at].append(cell.text)
    return "\n".join(chain.from_iterable(columns))


def _rows_from(lines: Sequence[Line], start: int) -> list[int]:
    rows = [start]
    for at in range(start + 1, len(lines)):
        if at - rows[-1] > _MAX_PLAIN_LINES + 1:
            break
        if lines[at].height > _LARGER * lines[start].height:  # a heading
            break
        if len(lines[at].cells) > 1 and any(_share_a_corridor(lines[row], lines[at]) for row in rows[-2:]):
            rows.append(at)
    return rows


def _share_a_corridor(one: Line, other: Line) -> bool:
    return any(
        min(end, other_end) - max(begin, other_begin) > 0.5 * one.height
        for begin, end in _gaps(one)
        for other_begin, other_end in _gaps(other)
    )


def _gaps(line: Line) -> Iterable[tuple[float, float]]:
    return ((before.right, after.left) for before, after in pairwise(line.cells))


def _is_table(rows: Sequence[Line]) -> bool:
    """Whether most cells stand in columns, aligned left, right or centred, and hold no running text."""
    cells = [cell for row in rows for cell in row.cells[1:]]
    if mean(len(cell.text.split()) for row in rows for cell in row.cells) > _MAX_WORDS:
        return False
    unit = _ALIGNED * rows[0].height
    aligned = [False] * len(cells)
    for place in (_left, _right, _centre):
        columns = Counter(round(place(cell) / unit) for cell in cells)
        aligned = [
            before or columns[round(place(cell) / unit)] >= _MIN_ROWS
            for before, cell in zip(aligned, cells, strict=True)
        ]
    return sum(aligned) >= 0.5 * len(cells)


def _left(cell: Cell) -> float:
    return cell.left


def _right(cell: Cell) -> float:
    return cell.right


def _centre(cell: Cell) -> float:
    return (cell.left + cell.right) / 2


def _row(line: Line) -> str:
    """A line of a table, as the product writes rows."""
    return " | ".join(cell.text for cell in line.cells) if line.cells else line.text


def headings(pages: Sequence[Sequence[Line]]) -> list[tuple[int, int, str]]:
    """(page index, level from 1, title) of each heading that the size of its type shows; none where that is unclear."""
    sizes = Counter[float]()
    for line in (line for lines in pages for line in lines):
        sizes[_size(line)] += len(line.text)
    del sizes[0.0]
    if not sizes:
        return []
    body = median_low(list(sizes.elements()))
    found: list[tuple[int, float, str]] = []
    for index, lines in enumerate(pages):
        before = None
        for line in lines:
            size = _size(line)
            title = len(line.text) <= _MAX_HEADING and len(line.cells) < 2 and sum(map(str.isalpha, line.text)) > 2
            if size < _LARGER * body or not title or _NO_TITLE.fullmatch(line.text):
                before = None
            elif before == size:  # a title over several lines
                found[-1] = (index, size, f"{found[-1][2]} {line.text}")
            else:
                found.append((index, size, line.text))
                before = size
    # What stands on page after page is a header of pages.
    often = {title for title, times in Counter(title for _, _, title in found).items() if times > 2}
    found = [one for one in found if one[2] not in often and len(one[2]) <= 2 * _MAX_HEADING]
    if len(found) > _MAX_HEADING_SHARE * sum(map(len, pages)):
        return []
    levels = {size: level for level, size in enumerate(sorted({size for _, size, _ in found}, reverse=True), start=1)}
    return [(index, min(levels[size], 3), title) for index, size, title in found]


def _size(line: Line) -> float:
    return round(line.height * 2) / 2
