"""Where the text of an RTF file goes: paragraphs, cells and rows of the body, or of what runs beside it."""

import re
from typing import Final, NamedTuple

from functions.ingest.extract.blocks import Block, joined
from functions.ingest.extract.rtf.codes import ANSI

# Where Word puts the characters of symbol fonts; without the font they stand for nothing.
_SYMBOLS: Final = re.compile("[\uf000-\uf0ff]")
_LONG_CELL: Final = 300


class State(NamedTuple):
    """What holds until the end of the group."""

    encoding: str = ANSI
    silent: bool = False
    hidden: bool = False
    deleted: bool = False
    fallback: int = 1
    destination: str = ""
    style: int = 0
    level: int | None = None
    in_table: bool = False
    in_list: bool = False


class Flow:
    """Text that runs on its own: the body, a note, a text box, a header."""

    def __init__(self, kind: str, depth: int) -> None:
        self.kind = kind
        self.depth = depth
        self.parts: list[str] = []
        self.blocks: list[Block] = []
        self.after: list[Block] = []
        self._cell: list[str] = []
        self._cells: list[str] = []
        self._table: object = None

    def text(self) -> str:
        """What has been said since the last end of a paragraph, with characters beyond U+FFFF made whole."""
        text = "".join(self.parts)
        self.parts.clear()
        return _SYMBOLS.sub("", text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))

    def end_paragraph(self, state: State, level: int | None) -> None:
        text = self.text()
        if state.in_table:
            self._cell.append(text)
            return
        self.end_row()
        if text.strip():
            self._table = None
        self.blocks.append(Block(text, run="list" if state.in_list and level is None else None, level=level))
        self._flush()

    def end_cell(self) -> None:
        self._cells.append(" ".join((*self._cell, self.text())).strip())
        self._cell.clear()

    def end_row(self) -> None:
        if self._cell or (self._cells and "".join(self.parts).strip()):
            self.end_cell()
        if not self._cells:
            return
        if any(len(cell) > _LONG_CELL for cell in self._cells):
            # A table that lays out passages: side by side they could not be read.
            self.blocks += map(Block, self._cells)
        else:
            self._table = self._table or object()
            self.blocks.append(Block(joined(self._cells), run=self._table, row=True))
        self._cells.clear()
        self._flush()

    def _flush(self) -> None:
        self.blocks += self.after
        self.after.clear()
