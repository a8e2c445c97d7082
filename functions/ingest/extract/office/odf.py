"""OpenDocument texts, spreadsheets and presentations: read from their XML (ODF 1.3 part 3)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from functions.ingest.extract.blocks import Block, assemble, headed
from functions.ingest.extract.document import Document, DocumentType, one_line
from functions.ingest.extract.office.odf_tables import Tables, attribute
from functions.ingest.extract.office.packages import Element, Package, encrypted, listed, local, reading

_KINDS: Final[Mapping[str, DocumentType]] = {"text": "odt", "spreadsheet": "ods", "presentation": "odp"}
# Deleted text under tracked changes, declarations, directories made of the headings, phonetic readings, formulas'
# markup, and what is drawn rather than written.
_SKIPPED: Final = frozenset((
    "tracked-changes", "table-of-content", "alphabetical-index", "illustration-index", "table-index", "object-index",
    "variable-decls", "sequence-decls", "user-field-decls", "forms", "ruby-text", "event-listeners",
    "calculation-settings", "content-validations", "label-ranges", "named-expressions", "database-ranges",
    "page-number", "object", "binary-data", "settings", "bibliography-mark",
))  # fmt: skip
_CHARACTERS: Final = {"tab": "\t", "line-break": "\n"}
_BLANKS: Final = re.compile("[ \t\r\n]+")
_MAX_SPACES: Final = 100
_MARGINS: Final = ("header", "footer", "page-number", "date-time")


def extract(data: bytes) -> Document:
    """The text of an OpenDocument file, with headings, tables as rows, notes and comments below their paragraphs.

    A sheet's name is a heading, a slide is a page. Tracked changes count as accepted. Raises ExtractionFailed with
    code `broken_odf`, `encrypted`, or those of `packages`.
    """
    with reading("OpenDocument file", "LibreOffice", "broken_odf"):
        package = Package(data)
        manifest = package.xml("META-INF/manifest.xml") if "META-INF/manifest.xml" in package else None
        if manifest is not None and next(manifest.iter("{*}encryption-data", "{*}EncryptedKey"), None) is not None:
            raise encrypted()
        return _Reader(package).document()


class _Reader:
    """Walks one document; numbers its notes as it meets them."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._content = package.xml("content.xml")
        self._styles = package.xml("styles.xml") if "styles.xml" in package else None
        self._properties = {style: element for style, element in self._all_styles() if style}
        self._tables = Tables(self._cell)
        self._hidden: list[str] = []
        self._note_count = 0
        self._met: list[tuple[str, Element]] = []
        self._title: str | None = None

    def document(self) -> Document:
        body = self._content.find("{*}body")
        contents = [child for child in body if local(child) in _KINDS] if body is not None else []
        content = contents[0]  # a package without any is damaged
        kind = _KINDS[local(content)]
        pages = 0
        if kind == "odt":
            blocks = [*self._margins("header"), *self.blocks(content), *self._margins("footer")]
        elif kind == "ods":
            blocks = list(self._sheets(content))
        else:
            slides = list(content.iterchildren("{*}page"))
            pages = len(slides)
            blocks = [block for number, slide in enumerate(slides, 1) for block in self._slide(slide, number)]
        what = "Hidden sheets were left out" if kind == "ods" else "Hidden slides were left out"
        notes = (*listed(what, self._hidden), *self._tables.notes())
        return assemble(kind, blocks, title=self._declared_title() or self._title, notes=notes, pages=pages)

    def _declared_title(self) -> str | None:
        if "meta.xml" not in self._package:
            return None
        return one_line(self._package.xml("meta.xml").findtext(".//{http://purl.org/dc/elements/1.1/}title") or "")

    def _all_styles(self) -> Iterator[tuple[str, Element]]:
        for root in (self._styles, self._content):
            if root is not None:
                for style in root.iter("{*}style"):
                    yield attribute(style, "name"), style

    def _margins(self, kind: str) -> Iterator[Block]:
        """What stands in the headers or footers of the kinds of pages, each text once."""
        if self._styles is not None:
            parts = [
                part for master in self._styles.iter("{*}master-page") for part in master.iterchildren(f"{{*}}{kind}")
            ]
            texts = dict.fromkeys(block.text for part in parts for block in self.blocks(part))
            yield from (Block(text, run=kind) for text in texts)

    def _is_title(self, paragraph: Element) -> bool:
        """Whether a paragraph's style is Title, or an unnamed one made of it."""
        name = attribute(paragraph, "style-name")
        style = self._properties.get(name)
        return "Title" in (name, "" if style is None else attribute(style, "parent-style-name"))

    def _is_hidden(self, element: Element) -> bool:
        style = self._properties.get(attribute(element, "style-name"))
        properties = () if style is None else style.iter("{*}table-properties", "{*}drawing-page-properties")
        return any(
            attribute(one, "display") == "false" or attribute(one, "visibility") == "hidden" for one in properties
        )

    def blocks(self, container: Iterable[Element], run: object = None) -> Iterator[Block]:
        """The blocks of a body, cell, section, list, text box, note or group, in their order."""
        for child in container:
            name = local(child)
            if name == "h":
                level = min(9, max(1, int(attribute(child, "outline-level") or 1)))
                yield from self._paragraph(child, Block("", level=level))
            elif name == "p":
                yield from self._paragraph(child, Block("", run=run))
            elif name == "table":
                yield from self._tables.rows(child)
            elif name in ("list", "list-item", "list-header", "numbered-paragraph"):
                yield from self.blocks(child, child if run is None else run)
            elif name == "annotation":
                words = " ".join(block.text for block in self.blocks(child))
                yield Block(f"{_commented(child)} {words}" if words.strip() else "")
            elif name not in _SKIPPED and attribute(child, "display") != "none":
                yield from self.blocks(child, run)

    def _paragraph(self, paragraph: Element, block: Block) -> Iterator[Block]:
        text = "".join(self._inline(paragraph))
        if self._title is None and block.level is None and self._is_title(paragraph):
            self._title = one_line(text)
        met, self._met = self._met, []
        yield block._replace(text=text)
        for mark, element in met:
            if mark:
                noted = " ".join(inner.text.strip() for inner in self.blocks(element) if inner.text.strip())
                yield Block(f"{mark} {noted}" if noted else "")
            else:
                yield from self.blocks(element)

    def _inline(self, element: Element) -> Iterator[str]:
        yield _BLANKS.sub(" ", element.text or "")
        for child in element:
            name = local(child)
            if name == "s":
                yield " " * min(_MAX_SPACES, max(1, int(attribute(child, "c") or 1)))
            elif name in _CHARACTERS:
                yield _CHARACTERS[name]
            elif name == "note":
                self._note_count += 1
                self._met += [(f"[{self._note_count}]", body) for body in child.iterchildren("{*}note-body")]
                yield f"[{self._note_count}]"
            elif name == "annotation":
                self._met.append((_commented(child), child))
            elif name in ("frame", "text-box", "custom-shape", "rect", "ellipse", "g"):
                self._met.append(("", child))
            elif name not in _SKIPPED and attribute(child, "display") != "none":
                yield from self._inline(child)
            yield _BLANKS.sub(" ", child.tail or "")

    def _cell(self, cell: Element) -> str:
        # A comment stands before the value it comments on.
        children = sorted(cell, key=lambda child: local(child) == "annotation")
        return " ".join(block.text for block in self.blocks(children))

    def _sheets(self, spreadsheet: Element) -> Iterator[Block]:
        for sheet in spreadsheet.iterchildren("{*}table"):
            name = attribute(sheet, "name")
            if self._is_hidden(sheet):
                self._hidden.append(name)
                continue
            shapes = (block for part in sheet.iterchildren("{*}shapes") for block in self.blocks(part))
            yield from headed(Block(name, level=1), chain(self._tables.rows(sheet, sheet=True), shapes))

    def _slide(self, slide: Element, number: int) -> Iterator[Block]:
        if self._is_hidden(slide):
            self._hidden.append(str(number))
            return
        frames = [child for child in slide if local(child) != "notes" and attribute(child, "class") not in _MARGINS]
        titles = [frame for frame in frames if attribute(frame, "class") == "title"]
        for frame in titles:
            text = " ".join(" ".join(block.text for block in self.blocks(frame)).split())
            yield Block(text, level=1, page=number)
        for frame in frames:
            if frame not in titles:
                for block in self.blocks([frame], run=frame):
                    yield block._replace(page=number)
        for notes in slide.iterchildren("{*}notes"):
            for frame in notes.iter("{*}frame"):
                spoken = "\n".join(block.text for block in self.blocks(frame)) if _is_notes(frame) else ""
                yield Block(f"Notes: {spoken}" if spoken.strip() else "", page=number)


def _is_notes(frame: Element) -> bool:
    return attribute(frame, "class") == "notes"


def _commented(annotation: Element) -> str:
    """What introduces a comment: who made it, if it tells."""
    creator = one_line(annotation.findtext("{*}creator") or "")
    return f"Comment ({creator}):" if creator else "Comment:"
