"""Chunks: the passages of a source that are searched, shown and cited."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection

# user_id is the source's: null for what came by the drop folder.
_INSERT: Final = """
INSERT INTO chunks (workspace_id, source_id, user_id, id, ordinal, start_offset, end_offset, page, section, content,
                    content_hash, tokens, terms)
SELECT s.workspace_id, s.id, s.user_id, t.id, t.ordinal, t.start_offset, t.end_offset, t.page, t.section, t.content,
       sha256(convert_to(t.content, 'UTF8')), t.tokens, t.terms
FROM sources s,
     unnest(%s::uuid[], %s::int[], %s::int[], %s::int[], %s::int[], %s::text[], %s::text[], %s::int[], %s::int[])
     AS t (id, ordinal, start_offset, end_offset, page, section, content, tokens, terms)
WHERE s.workspace_id = %s AND s.id = %s
"""

_READ: Final = """
SELECT c.id, c.source_id, s.name AS source_name, s.type AS source_type, s.uri AS source_uri,
       c.start_offset, c.end_offset, c.page, c.section, c.content
FROM chunks c
JOIN sources s ON s.workspace_id = c.workspace_id AND s.id = c.source_id
WHERE c.workspace_id = %s AND c.id = ANY(%s) AND s.deleted_at IS NULL
"""

_REMOVE: Final = "DELETE FROM chunks WHERE workspace_id = %s AND source_id = %s"


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to be stored: `content` is text[start_offset:end_offset], `terms` its length in analyzed terms."""

    id: UUID
    ordinal: int
    start_offset: int
    end_offset: int
    page: int | None
    section: str | None
    content: str
    tokens: int
    terms: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk with what is shown of its source."""

    id: UUID
    source_id: UUID
    source_name: str
    source_type: str | None
    source_uri: str
    start_offset: int
    end_offset: int
    page: int | None
    section: str | None
    content: str


def insert(tx: Connection, workspace_id: UUID, source_id: UUID, chunks: Sequence[NewChunk]) -> None:
    """Store the chunks of a source."""
    columns: tuple[list[object], ...] = (
        [chunk.id for chunk in chunks],
        [chunk.ordinal for chunk in chunks],
        [chunk.start_offset for chunk in chunks],
        [chunk.end_offset for chunk in chunks],
        [chunk.page for chunk in chunks],
        [chunk.section for chunk in chunks],
        [chunk.content for chunk in chunks],
        [chunk.tokens for chunk in chunks],
        [chunk.terms for chunk in chunks],
    )
    tx.execute(_INSERT, (*columns, workspace_id, source_id))


def read(tx: Connection, workspace_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Chunk]:
    """The chunks among `ids` that still exist."""
    with tx.cursor(row_factory=class_row(Chunk)) as cursor:
        return {chunk.id: chunk for chunk in cursor.execute(_READ, (workspace_id, list(ids))).fetchall()}


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> int:
    """Remove the chunks of a source, whose postings and vectors must be gone; return how many there were."""
    return tx.execute(_REMOVE, (workspace_id, source_id)).rowcount
