"""From blocks in reading order to a document: the canonical text, with what stands where in it. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from functions.ingest.extract.document import (
    MAX_CHARACTERS,
    Document,
    DocumentType,
    Heading,
    Page,
    Table,
    normalise,
    one_line,
    too_much_text,
)


class Block(NamedTuple):
    """A paragraph, a heading of `level` 1 to 9, or a row of a table.

    Blocks of the same `run` (a list, a table) stand on adjacent lines, others have a blank line between them. A `row`
    is one line, and its run is its table. `page` is the number of the page it stands on, where the format has pages.
    """

    text: str
    run: object = None
    level: int | None = None
    row: bool = False
    page: int | None = None


def assemble(
    kind: DocumentType,
    blocks: Iterable[Block],
    *,
    title: str | None = None,
    notes: Iterable[str] = (),
    pages: int = 0,
) -> Document:
    """Join blocks, each normalised on its own so that its offset is final at once; blank ones are left out.

    `pages`: how many there are, at least, for those at the end that have no block. Raises ExtractionFailed with code
    `too_much_text`.
    """
    parts: list[str] = []
    headings: list[Heading] = []
    tables: list[Table] = []
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    end = 0
    run: object = None
    for block in blocks:
        text = one_line(block.text, limit=MAX_CHARACTERS) if block.row else normalise(block.text).strip()
        if not text:
            continue
        adjacent = run is not None and run == block.run and block.page in (None, *list(ends)[-1:])
        separator = "" if not parts else "\n" if adjacent else "\n\n"
        start = end + len(separator)
        parts += (separator, text)
        end = start + len(text)
        if end > MAX_CHARACTERS:
            raise too_much_text()
        heading = one_line(text)
        if block.level is not None and heading:
            headings.append(Heading(start, block.level, heading))
        if block.row and adjacent and tables and tables[-1].end == start - len(separator):
            tables[-1] = Table(tables[-1].start, end)
        elif block.row:
            tables.append(Table(start, end))
        if block.page is not None:
            starts.setdefault(block.page, start)
            ends[block.page] = end
        run = block.run
    return Document(
        kind,
        "".join(parts),
        pages=tuple(_pages(starts, ends, max([pages, *starts]))),
        headings=tuple(headings),
        tables=tuple(tables),
        title=title,
        notes=tuple(notes),
    )


def joined(cells: Iterable[str]) -> str:
    """The text of a row: its cells as `a | b | c`, without the empty ones at its end."""
    texts = [" ".join(cell.split()) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return " | ".join(texts)


def headed(heading: Block, blocks: Iterable[Block]) -> Iterator[Block]:
    """A heading and what stands under it; nothing if that is nothing."""
    speaking = (block for block in blocks if block.text.strip())
    for first in speaking:
        yield heading
        yield first
        yield from speaking


def _pages(starts: dict[int, int], ends: dict[int, int], count: int) -> Iterable[Page]:
    """Pages 1 to `count`; one without text lies where the one before it ends."""
    end = 0
    for number in range(1, count + 1):
        start, end = starts.get(number, end), ends.get(number, end)
        yield Page(number, start, end)
