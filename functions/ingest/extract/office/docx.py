"""DOCX: opened by python-docx, its text walked in the order of the body (ECMA-376 part 1, WordprocessingML)."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Final, NamedTuple

import docx
from docx.document import Document as WordDocument
from docx.opc.exceptions import OpcError
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml
from docx.oxml.xmlchemy import BaseOxmlElement as Element
from lxml import etree  # type: ignore[import-untyped]

from functions.ingest.extract.blocks import Block, assemble
from functions.ingest.extract.document import Document, one_line
from functions.ingest.extract.office.packages import check_sizes
from minirag.runtime.errors import ExtractionFailed

_HEADING: Final = re.compile(r"heading ([1-9])", re.IGNORECASE)
_TABLE_OF_CONTENTS: Final = re.compile(r"toc [1-9]", re.IGNORECASE)
# What python-docx calls a document that declares nothing.
_NO_TITLE: Final = "Word Document"
_LONG_CELL: Final = 300

_PARAGRAPH, _TABLE, _ROW, _CELL = map(qn, ("w:p", "w:tbl", "w:tr", "w:tc"))
_TEXT: Final = (qn("w:t"), qn("m:t"))
_CHARACTERS: Final = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_NOTES: Final = {
    qn("w:footnoteReference"): "footnotes",
    qn("w:endnoteReference"): "endnotes",
    qn("w:commentReference"): "comments",
}
_TEXT_BOX: Final = qn("w:txbxContent")
# What was deleted or moved away, properties, and what is there for readers that do not know text boxes.
_SKIPPED: Final = frozenset((qn("w:del"), qn("w:moveFrom"), qn("w:pPr"), qn("w:rPr"))) | {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
}
# Around blocks, rows and cells: content controls and tracked insertions.
_TRANSPARENT: Final = frozenset(map(qn, ("w:sdt", "w:sdtContent", "w:ins", "w:moveTo", "w:customXml", "w:smartTag")))

# What python-docx, which trusts the structure it was promised, raises where that is not there.
_DAMAGE: Final = (
    OpcError, etree.LxmlError, zipfile.BadZipFile, zlib.error, ArithmeticError, AttributeError, EOFError, LookupError,
    OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class _Style(NamedTuple):
    name: str
    level: int | None
    is_list: bool


def extract(data: bytes) -> Document:
    """The text of a Word document: headers, body with tables as rows `a | b | c`, notes and comments below, footers.

    Headings come from styles; text deleted under tracked changes is left out. Raises ExtractionFailed with code
    `broken_docx`, or `too_large_inside` for a decompression bomb.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            check_sizes(archive)
        return _read(docx.Document(BytesIO(data)))
    except _DAMAGE as error:
        raise ExtractionFailed(
            "This Word document is damaged or cut short and cannot be opened. Check that it opens in Word, save it "
            "anew as .docx and upload it again.",
            code="broken_docx",
        ) from error


def _read(word: WordDocument) -> Document:
    reader = _Reader(_styles(word), {kind: _notes(word, kind) for kind in _NOTES.values()})
    blocks = [*_margins(word, reader, "header"), *reader.blocks(word.element.body), *_margins(word, reader, "footer")]
    declared = one_line(word.core_properties.title or "")
    return assemble("docx", blocks, title=(declared if declared != _NO_TITLE else None) or reader.title)


def _related(word: WordDocument, kind: str) -> list[Element]:
    """The parts of one kind that belong to the document: header, footer, footnotes, endnotes."""
    parts = [
        relation.target_part
        for relation in word.part.rels.values()
        if not relation.is_external and relation.reltype.endswith(f"/{kind}")
    ]
    return [parse_xml(part.blob) for part in sorted(parts, key=lambda part: part.partname)]


def _notes(word: WordDocument, kind: str) -> dict[str, Element]:
    return {
        note.get(qn("w:id"), ""): note
        for part in _related(word, kind)
        for note in part
        if note.get(qn("w:type"), "normal") == "normal"
    }


def _margins(word: WordDocument, reader: "_Reader", kind: str) -> list[Block]:
    """What stands in headers or footers, each text once: there is one part per section and kind of page."""
    texts = (block.text for part in _related(word, kind) for block in reader.blocks(part))
    return [Block(text, run=kind) for text in dict.fromkeys(texts)]


def _styles(word: WordDocument) -> dict[str, _Style]:
    """Each paragraph style's name and outline level, its own or that of the style it is based on."""
    elements = {style.get(qn("w:styleId"), ""): style for style in word.styles.element.iter(qn("w:style"))}
    styles = {}
    for style_id in elements:
        ancestors: list[str] = []
        ancestor = style_id
        while ancestor in elements and ancestor not in ancestors:
            ancestors.append(ancestor)
            ancestor = _value(elements[ancestor], "w:basedOn") or ""
        names = [_value(elements[ancestor], "w:name") or "" for ancestor in ancestors]
        levels = [_value(elements[ancestor], "w:pPr/w:outlineLvl") for ancestor in ancestors]
        levels += [str(int(match[1]) - 1) for match in map(_HEADING.fullmatch, names) if match]
        is_list = any(elements[ancestor].find(_path("w:pPr/w:numPr")) is not None for ancestor in ancestors)
        styles[style_id] = _Style(names[0], _level(next((level for level in levels if level), None)), is_list)
    return styles


def _path(path: str) -> str:
    """A path of prefixed names as lxml wants it."""
    return "/".join(map(qn, path.split("/")))


def _value(element: Element, path: str) -> str | None:
    found = element.find(_path(path))
    return None if found is None else found.get(qn("w:val"))


def _level(outline_level: str | None) -> int | None:
    # Word counts from 0; 9 is body text.
    return int(outline_level) + 1 if outline_level and outline_level.isdigit() and int(outline_level) < 9 else None


class _Reader:
    """Walks the XML of one document; numbers its notes as it meets them."""

    def __init__(self, styles: Mapping[str, _Style], notes: Mapping[str, Mapping[str, Element]]) -> None:
        self.title: str | None = None
        self._styles = styles
        self._notes = notes
        self._note_count = 0
        self._met: list[tuple[str, Element]] = []

    def blocks(self, container: Element) -> Iterator[Block]:
        """The blocks of a body, cell, header, text box or note, in their order."""
        for child in container:
            if child.tag == _PARAGRAPH:
                yield from self._paragraph(child)
            elif child.tag == _TABLE:
                yield from self._table(child)
            elif child.tag in _TRANSPARENT:
                yield from self.blocks(child)

    def _paragraph(self, paragraph: Element) -> Iterator[Block]:
        style = self._styles.get(_value(paragraph, "w:pPr/w:pStyle") or "", _Style("", None, False))
        if _TABLE_OF_CONTENTS.fullmatch(style.name):
            return
        text = "".join(self._inline(paragraph))
        if style.name.lower() == "title" and self.title is None:
            self.title = one_line(text)
        level = _level(_value(paragraph, "w:pPr/w:outlineLvl")) or style.level
        is_item = style.is_list or paragraph.find(_path("w:pPr/w:numPr")) is not None
        yield Block(text, run="list" if is_item and level is None else None, level=level)
        for box in paragraph.iter(_TEXT_BOX):
            if not any(ancestor.tag in _SKIPPED for ancestor in box.iterancestors()):
                yield from self.blocks(box)
        met, self._met = self._met, []
        for label, note in met:
            words = " ".join(block.text.strip() for block in self.blocks(note))
            yield Block(f"{label} {words}" if words else "")

    def _inline(self, element: Element) -> Iterator[str]:
        for child in element:
            if child.tag in _TEXT:
                yield child.text or ""
            elif child.tag in _CHARACTERS:
                yield _CHARACTERS[child.tag]
            elif child.tag in _NOTES:
                note = self._notes[_NOTES[child.tag]].get(child.get(qn("w:id"), ""))
                if note is not None and _NOTES[child.tag] == "comments":
                    author = one_line(note.get(qn("w:author"), ""))
                    self._met.append((f"Comment ({author}):" if author else "Comment:", note))
                elif note is not None:
                    self._note_count += 1
                    self._met.append((f"[{self._note_count}]", note))
                    yield f"[{self._note_count}]"
            elif child.tag not in _SKIPPED and child.tag != _TEXT_BOX:
                yield from self._inline(child)

    def _table(self, table: Element) -> Iterator[Block]:
        for row in _children(table, _ROW):
            if row.find(_path("w:trPr/w:del")) is not None:
                continue
            cells = [list(self.blocks(cell)) for cell in _children(row, _CELL)]
            texts = [" ".join(" ".join(block.text for block in cell).split()) for cell in cells]
            if any(len(text) > _LONG_CELL for text in texts):
                # A table that lays out passages: side by side they could not be read.
                for cell in cells:
                    yield from cell
            elif any(texts):
                yield Block(" | ".join(texts), run=table, row=True)


def _children(parent: Element, tag: str) -> Iterator[Element]:
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _TRANSPARENT:
            yield from _children(child, tag)
