"""Tables of OpenDocument, in texts, slides and spreadsheets alike (ODF 1.3 part 3, 9)."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from typing import Final

from functions.ingest.extract.blocks import Block, joined
from functions.ingest.extract.office.packages import Element, local

MAX_CELLS: Final = 1_000_000
"""Cells with a value that are read of one document."""

# A row or cell says how often it is repeated. Styles fill a sheet to its last row with empty ones; what is not empty
# and comes more often than this tells nothing new.
_MAX_REPEATED: Final = 100
_LONG_CELL: Final = 300
_GROUPS: Final = ("table-row-group", "table-header-rows", "table-rows")


class Tables:
    """Reads tables, and counts what it read and left out; `text` gives the text inside a cell."""

    def __init__(self, text: Callable[[Element], str]) -> None:
        self._text = text
        self._cells = 0
        self._repeated = False

    def notes(self) -> Iterator[str]:
        """What is missing from the tables read so far."""
        if self._cells > MAX_CELLS:
            yield f"Only the first {MAX_CELLS:,} cells were read. Split the document to have all of it."
        if self._repeated:
            yield f"Rows or cells repeated more than {_MAX_REPEATED} times in a row were read {_MAX_REPEATED} times."

    def rows(self, table: Element, *, sheet: bool = False) -> Iterator[Block]:
        """The rows of a table; empty ones, and columns empty throughout, are dropped.

        Outside a `sheet`, a row with whole passages in it is laid out, not tabulated: its cells become blocks.
        """
        rows = list(self._rows(table))
        columns = sorted({column for cells in rows for column in cells})
        for cells in rows:
            if not sheet and any(len(text) > _LONG_CELL for text in cells.values()):
                yield from map(Block, cells.values())
                continue
            last = max(cells)
            texts = (cells.get(column, "") for column in columns if column <= last)
            yield Block(joined(texts), run=table, row=True)

    def _rows(self, table: Element) -> Iterator[dict[int, str]]:
        for row in _elements(table, "table-row", _GROUPS):
            cells = dict(self._row(row))
            if cells:
                times = self._times(row, "number-rows-repeated")
                room = max(0, MAX_CELLS - self._cells) // len(cells) + 1
                self._cells += (times - 1) * len(cells)
                yield from islice(repeat(cells, times), room)

    def _row(self, row: Element) -> Iterator[tuple[int, str]]:
        column = 0
        for cell in row:
            # A covered cell may still hold what it said before its neighbour was merged over it.
            value = self._value(cell) if local(cell) == "table-cell" and self._cells < MAX_CELLS else ""
            if value:
                times = self._times(cell, "number-columns-repeated")
                self._cells += times
                yield from ((column + offset, value) for offset in range(times))
            if local(cell) in ("table-cell", "covered-table-cell"):
                column += _number(cell, "number-columns-repeated")

    def _times(self, element: Element, name: str) -> int:
        times = _number(element, name)
        self._repeated |= times > _MAX_REPEATED
        return min(times, _MAX_REPEATED)

    def _value(self, cell: Element) -> str:
        """What a cell shows; a date in ISO 8601, however it is shown."""
        text = " ".join(self._text(cell).split())
        kind = attribute(cell, "value-type")
        if kind == "date" and text:
            return attribute(cell, "date-value").replace("T", " ").removesuffix(" 00:00:00") or text
        return text or (attribute(cell, "value") if kind in ("float", "percentage", "currency") else "")


def attribute(element: Element, name: str) -> str:
    """An attribute by its local name; empty if it is not there."""
    return next((value for key, value in element.items() if key.rpartition("}")[2] == name), "")


def _number(element: Element, name: str) -> int:
    return max(1, int(attribute(element, name) or 1))


def _elements(parent: Element, name: str, groups: Iterable[str]) -> Iterator[Element]:
    for child in parent:
        if local(child) == name:
            yield child
        elif local(child) in groups:
            yield from _elements(child, name, groups)
