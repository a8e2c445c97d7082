"""XLSX: read from its XML (ECMA-376 part 1, SpreadsheetML), row by row and without formulas."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from functions.ingest.extract.blocks import Block, assemble, headed, joined
from functions.ingest.extract.document import MAX_CHARACTERS, Document, too_much_text
from functions.ingest.extract.office.cell_formats import GENERAL, Format, parse, shown
from functions.ingest.extract.office.drawing import chart, text
from functions.ingest.extract.office.packages import Element, Package, Relation, listed, reading, reference
from minirag.runtime.errors import ExtractionFailed

MAX_CELLS: Final = 1_000_000
"""Cells with a value that are read of one workbook; about 8 s and 200 MB."""

_CELL_NAME: Final = re.compile(r"\$?([A-Za-z]{1,3})\$?[0-9]*")
_ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_TRUE: Final = ("1", "true", "on")


def extract(data: bytes) -> Document:
    """The text of a workbook: each sheet a heading and a table, then its text boxes, charts and comments.

    Values are the ones last calculated, dates in ISO 8601, numbers with the decimals shown. Empty rows and columns
    are dropped. Raises ExtractionFailed with code `broken_xlsx`, `binary_workbook`, or those of `packages`.
    """
    with reading("Excel workbook", "Excel", "broken_xlsx"):
        return _Workbook(Package(data)).document()


class _Workbook:
    def __init__(self, package: Package) -> None:
        self._package = package
        self._missing: list[str] = []
        self._hidden: list[str] = []
        self._cells = 0
        self._uncalculated = 0
        self._part = package.main_part()
        if self._part.endswith(".bin"):
            raise ExtractionFailed(
                "This is a binary Excel workbook (.xlsb). Save it as .xlsx and upload it again.", code="binary_workbook"
            )

    def document(self) -> Document:
        root = self._package.xml(self._part)
        self._since_1904 = any(properties.get("date1904") in _TRUE for properties in root.iterchildren("{*}workbookPr"))
        self._strings = self._shared_strings()
        self._formats = self._cell_formats()
        document = assemble("xlsx", self._sheets(root), title=self._package.declared_title())
        # They are complete only now that the last block was read.
        return replace(document, notes=tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        yield from listed("Sheets missing from the file", self._missing)
        yield from listed("Hidden sheets were left out", self._hidden)
        if self._cells > MAX_CELLS:
            yield f"Only the first {MAX_CELLS:,} cells were read. Split the workbook to have all of it."
        if self._uncalculated:
            yield (
                f"{self._uncalculated:,} cells hold formulas without a stored result and were left out. "
                "Open the workbook in Excel, save it and upload it again to have them."
            )

    def _shared_strings(self) -> list[str]:
        strings: list[str] = []
        characters = 0
        for part in self._package.related(self._part, "sharedStrings"):
            for item in self._package.stream(part, "si"):
                strings.append(_rich(item))
                characters += len(strings[-1])
                if characters > MAX_CHARACTERS:
                    raise too_much_text()
        return strings

    def _cell_formats(self) -> list[Format]:
        for part in self._package.related(self._part, "styles"):
            root = self._package.xml(part)
            codes = {code.get("numFmtId", ""): code.get("formatCode") for code in root.iterfind("{*}numFmts/{*}numFmt")}
            ids = [style.get("numFmtId", "0") for style in root.iterfind("{*}cellXfs/{*}xf")]
            formats = {number: parse(int(number), codes.get(number)) for number in set(ids)}
            return [formats[number] for number in ids]
        return []

    def _sheets(self, root: Element) -> Iterator[Block]:
        relations = self._package.relations(self._part)
        read = set()
        for sheet in root.iterfind("{*}sheets/{*}sheet"):
            name = sheet.get("name", "")
            relation = relations.get(reference(sheet))
            if sheet.get("state", "visible") != "visible":
                self._hidden.append(name)
            elif relation is None or relation.target not in self._package:
                self._missing.append(name)
            elif relation.target not in read:
                read.add(relation.target)
                yield from headed(Block(name, level=1), self._sheet(relation))

    def _sheet(self, relation: Relation) -> Iterator[Block]:
        if relation.kind == "worksheet":  # a sheet of its own for a chart has no cells
            yield from self._table(relation.target)
        yield from self._drawings(relation.target)
        yield from self._comments(relation.target)

    def _table(self, part: str) -> Iterator[Block]:
        rows = [cells for row in self._package.stream(part, "row") if (cells := list(self._row(row)))]
        columns = sorted({column for cells in rows for column, _ in cells})
        run = object()
        for cells in rows:
            values = dict(cells)
            last = max(values)
            yield Block(joined(values.get(column, "") for column in columns if column <= last), run=run, row=True)

    def _row(self, row: Element) -> Iterator[tuple[int, str]]:
        """(column, text) of each cell that shows something."""
        column = -1
        for cell in row.iterchildren("{*}c"):
            match = _CELL_NAME.match(cell.get("r", ""))
            column = _column(match[1]) if match else column + 1
            value = self._value(cell)
            if value:
                self._cells += 1
                if self._cells <= MAX_CELLS:
                    yield column, value

    def _value(self, cell: Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = cell.find("{*}is")
            return "" if inline is None else " ".join(_rich(inline).split())
        value = cell.findtext("{*}v")
        if not value:
            # An empty text may be a result; an empty number is none.
            self._uncalculated += kind != "str" and cell.find("{*}f") is not None
            return ""
        if kind == "s":
            return " ".join(self._strings[int(value)].split())
        if kind == "b":
            return "TRUE" if value.strip() in _TRUE else "FALSE"
        if kind == "n":
            style = int(cell.get("s", "0"))
            form = self._formats[style] if 0 <= style < len(self._formats) else GENERAL
            return shown(value.strip(), form, since_1904=self._since_1904)
        return " ".join(_unescaped(value).split())

    def _drawings(self, part: str) -> Iterator[Block]:
        """Text boxes and charts that lie on a sheet, in no order that the file would tell."""
        for drawing in self._package.related(part, "drawing"):
            root = self._package.xml(drawing)
            for body in root.iter("{*}txBody"):
                if not any(body.iterancestors("{*}Fallback")):
                    yield Block(text(body))
            for target in self._package.related(drawing, "chart"):
                yield from chart(self._package, target)

    def _comments(self, part: str) -> Iterator[Block]:
        for comments in self._package.related(part, "threadedComment"):
            for comment in self._package.xml(comments).iter("{*}threadedComment"):
                yield Block(f"Comment on {comment.get('ref', '')}: {comment.findtext('{*}text') or ''}")
            return  # the old form says the same for older programs
        for comments in self._package.related(part, "comments"):
            for comment in self._package.xml(comments).iter("{*}comment"):
                for body in comment.iterchildren("{*}text"):
                    yield Block(f"Comment on {comment.get('ref', '')}: {' '.join(_rich(body).split())}")


def _column(letters: str) -> int:
    """A → 0, Z → 25, AA → 26."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _rich(item: Element) -> str:
    """A string with or without formatted runs, without its phonetic reading (18.4)."""
    return _unescaped("".join(part.text or "" for part in item.iterfind("{*}t")) + "".join(
        part.text or "" for part in item.iterfind("{*}r/{*}t")
    ))  # fmt: skip


def _unescaped(value: str) -> str:
    # Characters that XML cannot hold are written as _x000D_ (22.9.2.19).
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value) if "_x" in value else value
