"""Canonical texts, stored in parts: the reference of every offset, and what citations are checked against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection

# Where a format has no pages: long enough to be few, short enough that a citation reads little.
PART_CHARS: Final = 32_768

_INSERT: Final = """
INSERT INTO source_texts (workspace_id, source_id, part, page, start_offset, end_offset, content)
SELECT %s, %s, part, page, start_offset, end_offset, content
FROM unnest(%s::int[], %s::int[], %s::int[], %s::int[], %s::text[])
     AS t (part, page, start_offset, end_offset, content)
"""
_READ: Final = """
SELECT page, start_offset, end_offset, content
FROM source_texts
WHERE workspace_id = %(workspace_id)s AND source_id = %(source_id)s
  AND end_offset > %(start)s AND start_offset < %(end)s
ORDER BY part
"""
_LENGTH: Final = "SELECT coalesce(max(end_offset), 0) FROM source_texts WHERE workspace_id = %s AND source_id = %s"
_REMOVE: Final = "DELETE FROM source_texts WHERE workspace_id = %s AND source_id = %s"


@dataclass(frozen=True, slots=True)
class Part:
    """A run of the canonical text: `content` is text[start_offset:end_offset]; `page` None where there are none."""

    page: int | None
    start_offset: int
    end_offset: int
    content: str


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice of a stored text, and the parts it lies in."""

    start: int
    end: int
    parts: list[Part]

    @property
    def text(self) -> str:
        return "".join(
            part.content[max(0, self.start - part.start_offset) : max(0, self.end - part.start_offset)]
            for part in self.parts
        )

    def page_at(self, offset: int) -> int | None:
        """The page that holds the code point at `offset`, if the document has pages."""
        return next((part.page for part in self.parts if part.start_offset <= offset < part.end_offset), None)


def put(tx: Connection, workspace_id: UUID, source_id: UUID, parts: Sequence[Part]) -> None:
    """Store the text of a source; the parts follow each other without a gap."""
    columns: tuple[list[object], ...] = (
        list(range(len(parts))),
        [part.page for part in parts],
        [part.start_offset for part in parts],
        [part.end_offset for part in parts],
        [part.content for part in parts],
    )
    tx.execute(_INSERT, (workspace_id, source_id, *columns))


def parts(tx: Connection, workspace_id: UUID, source_id: UUID, start: int, end: int) -> list[Part]:
    """The parts that hold any of text[start:end], in order."""
    values = {"workspace_id": workspace_id, "source_id": source_id, "start": start, "end": end}
    with tx.cursor(row_factory=class_row(Part)) as cursor:
        return cursor.execute(_READ, values).fetchall()


def read(tx: Connection, workspace_id: UUID, source_id: UUID, start: int, end: int) -> Slice:
    """text[start:end] of the stored canonical text; shorter, even empty, if the text is."""
    return Slice(start, end, parts(tx, workspace_id, source_id, start, end))


def length(tx: Connection, workspace_id: UUID, source_id: UUID) -> int:
    """Code points of the stored text."""
    row = tx.execute(_LENGTH, (workspace_id, source_id)).fetchone()
    assert row is not None
    return int(row[0])


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """Remove the text of a source."""
    tx.execute(_REMOVE, (workspace_id, source_id))
