"""DrawingML, the part of Office's XML that slides and sheets share: paragraphs, charts, diagrams (ECMA-376 part 1)."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from functions.ingest.extract.blocks import Block, joined
from functions.ingest.extract.office.packages import Element, Package, local

# What stands for readers that do not know the newer form beside it.
_FALLBACK: Final = "Fallback"
# The number of the slide, which belongs to no sentence.
_SLIDE_NUMBER: Final = "slidenum"
# A chart repeats the values of cells; beyond this many points it draws, it does not tell.
_MAX_POINTS: Final = 200


def paragraphs(body: Element) -> Iterator[str]:
    """The text of each paragraph of a text body."""
    for paragraph in body.iterchildren("{*}p"):
        yield "".join(_inline(paragraph))


def text(body: Element) -> str:
    """The paragraphs of a text body on lines of their own."""
    return "\n".join(filter(str.strip, paragraphs(body)))


def _inline(element: Element) -> Iterator[str]:
    for child in element:
        name = local(child)
        if name == "t":
            yield child.text or ""
        elif name == "br":
            yield "\n"
        elif name != _FALLBACK and not (name == "fld" and child.get("type") == _SLIDE_NUMBER):
            yield from _inline(child)


def chart(package: Package, part: str) -> Iterator[Block]:
    """A chart's title and axis titles, then its series as a table: categories down, series across."""
    root = package.xml(part)
    for title in root.iter("{*}title"):
        for rich in title.iter("{*}rich"):
            yield Block(text(rich), run=root)
    series = list(root.iter("{*}ser"))
    names = [" ".join(_points(one.find("{*}tx")).values()) for one in series]
    categories = _first(_points(one.find("{*}cat")) or _points(one.find("{*}xVal")) for one in series)
    values = [_points(one.find("{*}val")) or _points(one.find("{*}yVal")) for one in series]
    yield Block(joined(["", *names]), run=series, row=True)
    for index in sorted({*categories, *(index for one in values for index in one)})[:_MAX_POINTS]:
        cells = [categories.get(index, ""), *(one.get(index, "") for one in values)]
        yield Block(joined(cells), run=series, row=True)


def _first(points: Iterator[dict[int, str]]) -> dict[int, str]:
    return next(filter(None, points), {})


def _points(data: Element) -> dict[int, str]:
    """Index → what a chart keeps of the cells it was drawn from."""
    if data is None:
        return {}
    return {
        int(point.get("idx", "0")): point.findtext("{*}v") or ""
        for point in islice(data.iter("{*}pt"), _MAX_POINTS)
    }  # fmt: skip


def diagram(package: Package, part: str) -> Iterator[Block]:
    """The texts of a diagram (SmartArt), each a line."""
    root = package.xml(part)
    for body in root.iter("{*}t"):
        if local(body.getparent()) == "pt":
            yield Block(text(body), run=root)
