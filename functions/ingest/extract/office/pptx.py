"""PPTX: read from its XML (ECMA-376 part 1, PresentationML), slide by slide."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from functions.ingest.extract.blocks import Block, assemble, joined
from functions.ingest.extract.document import Document
from functions.ingest.extract.office.drawing import chart, diagram, paragraphs, text
from functions.ingest.extract.office.packages import Element, Package, listed, local, reading, reference

_TITLES: Final = ("title", "ctrTitle")
# What every slide repeats.
_MARGINS: Final = ("sldNum", "dt", "ftr", "hdr")


def extract(data: bytes) -> Document:
    """The text of a presentation: each slide a page, its title a heading, its speaker notes after it.

    Shapes come in the order they are stacked in, which is how they are read aloud. Hidden slides are left out with a
    note. Raises ExtractionFailed with code `broken_pptx`, or those of `packages`.
    """
    with reading("PowerPoint presentation", "PowerPoint", "broken_pptx"):
        return _Presentation(Package(data)).document()


class _Presentation:
    def __init__(self, package: Package) -> None:
        self._package = package
        self._missing: list[str] = []
        self._hidden: list[str] = []

    def document(self) -> Document:
        part = self._package.main_part()
        relations = self._package.relations(part)
        root = self._package.xml(part)
        slides = [relations[reference(slide)].target for slide in root.iterfind("{*}sldIdLst/{*}sldId")]
        # A presentation may list a slide once only; more is an attempt to make much of little.
        slides = list(dict.fromkeys(slides))
        blocks = [block for number, slide in enumerate(slides, start=1) for block in self._slide(slide, number)]
        notes = [
            *listed("Slides missing from the file", self._missing),
            *listed("Hidden slides were left out", self._hidden),
        ]
        document = assemble("pptx", blocks, title=self._package.declared_title(), notes=notes, pages=len(slides))
        # PowerPoint calls a presentation "PowerPoint Presentation", in any language, until somebody does better.
        if document.headings and (document.title is None or "PowerPoint" in document.title):
            return replace(document, title=document.headings[0].title)
        return document

    def _slide(self, part: str, number: int) -> Iterator[Block]:
        if part not in self._package:
            self._missing.append(str(number))
            return
        root = self._package.xml(part)
        if root.get("show") in ("0", "false"):
            self._hidden.append(str(number))
            return
        for block in self._content(part, root):
            yield block._replace(page=number)

    def _content(self, part: str, slide: Element) -> Iterator[Block]:
        tree = slide.find("{*}cSld/{*}spTree")
        shapes = [] if tree is None else list(_shapes(tree))
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
        for shape in titles:
            for body in shape.iterchildren("{*}txBody"):
                yield Block(" ".join(text(body).split()), level=1)
        for shape in shapes:
            if shape not in titles and _placeholder(shape) not in _MARGINS:
                yield from self._shape(part, shape)
        for comments in self._package.related(part, "comments"):
            for body in self._package.xml(comments).iter("{*}text", "{*}txBody"):
                comment = (body.text if local(body) == "text" else text(body)) or ""
                yield Block(f"Comment: {comment}" if comment.strip() else "")
        for notes in self._package.related(part, "notesSlide"):
            for shape in _shapes(self._package.xml(notes)):
                if _placeholder(shape) == "body":
                    spoken = "\n".join(text(body) for body in shape.iterchildren("{*}txBody"))
                    yield Block(f"Notes: {spoken}" if spoken.strip() else "")

    def _shape(self, part: str, shape: Element) -> Iterator[Block]:
        for body in shape.iterchildren("{*}txBody"):
            for paragraph in paragraphs(body):
                yield Block(paragraph, run=body)
        for table in shape.iterfind("{*}graphic/{*}graphicData/{*}tbl"):
            for row in table.iterchildren("{*}tr"):
                # A cell that another one covers is empty, or says what it said before it was covered.
                cells = ["" if _covered(cell) else _cell(cell) for cell in row.iterchildren("{*}tc")]
                yield Block(joined(cells), run=table, row=True)
        for data in shape.iterfind("{*}graphic/{*}graphicData/*"):
            target = self._package.relations(part).get(reference(data, "dm" if local(data) == "relIds" else "id"))
            if target is not None and target.target in self._package:
                if local(data) == "chart":
                    yield from chart(self._package, target.target)
                elif local(data) == "relIds":
                    yield from diagram(self._package, target.target)


def _shapes(parent: Element) -> Iterator[Element]:
    """Shapes, pictures and frames of charts and tables, those of groups and of newer forms among them."""
    for child in parent:
        name = local(child)
        if name in ("sp", "graphicFrame"):
            yield child
        elif name in ("grpSp", "AlternateContent", "Choice", "cSld", "spTree"):
            yield from _shapes(child)


def _placeholder(shape: Element) -> str | None:
    """What a shape stands for on the slide's layout; None if it is the slide's own."""
    found = shape.find("{*}nvSpPr/{*}nvPr/{*}ph")
    return None if found is None else found.get("type", "obj")


def _covered(cell: Element) -> bool:
    return any(cell.get(name) in ("1", "true") for name in ("hMerge", "vMerge"))


def _cell(cell: Element) -> str:
    return " ".join(text(body) for body in cell.iterchildren("{*}txBody"))
