"""Chunks: the passages of a source that are searched, shown and cited."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection

# user_id is the source's: null for what came by the drop folder.
_INSERT: Final = """
INSERT INTO chunks (workspace_id, source_id, user_id, id, ordinal, start_offset, end_offset, page, section, content,
                    content_hash, tokens)
SELECT s.workspace_id, s.id, s.user_id, t.id, t.ordinal, t.start_offset, t.end_offset, t.page, t.section, t.content,
       sha256(convert_to(t.content, 'UTF8')), t.tokens
FROM sources s,
     unnest(%s::uuid[], %s::int[], %s::int[], %s::int[], %s::int[], %s::text[], %s::text[], %s::int[])
     AS t (id, ordinal, start_offset, end_offset, page, section, content, tokens)
WHERE s.workspace_id = %s AND s.id = %s
"""

_READ: Final = """
SELECT c.id, c.source_id, c.ordinal, s.name AS source_name, s.type AS source_type, s.uri AS source_uri, s.language,
       c.start_offset, c.end_offset, c.page, c.section, c.content
FROM unnest(%(sources)s::uuid[], %(ordinals)s::int[]) AS place (source_id, ordinal)
JOIN chunks c
    ON c.workspace_id = %(workspace_id)s AND c.source_id = place.source_id AND c.ordinal = place.ordinal
JOIN sources s ON s.workspace_id = c.workspace_id AND s.id = c.source_id
WHERE s.deleted_at IS NULL
"""

# The place of a chunk in the list of its source is its number. Of several windows' vectors the mean stands for them.
_LIST: Final = """
SELECT c.id, c.user_id, c.ordinal, c.start_offset, c.end_offset, c.page, c.section, c.content, c.tokens,
       CASE WHEN %(model)s::text IS NULL THEN NULL ELSE (
           SELECT l2_normalize(avg(v.embedding))::vector::real[]
           FROM chunk_vectors v
           WHERE v.workspace_id = c.workspace_id AND v.model = %(model)s AND v.source_id = c.source_id
             AND v.ordinal = c.ordinal
       ) END AS embedding
FROM chunks c
WHERE c.workspace_id = %(workspace_id)s AND c.source_id = %(source_id)s AND c.ordinal >= %(first)s
ORDER BY c.ordinal
LIMIT %(limit)s
"""

_EXISTING: Final = "SELECT id FROM chunks WHERE workspace_id = %s AND id = ANY(%s)"

_CONTENTS: Final = "SELECT content FROM chunks WHERE workspace_id = %s AND source_id = %s ORDER BY ordinal"

_REMOVE: Final = "DELETE FROM chunks WHERE workspace_id = %s AND source_id = %s"


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to be stored: `content` is text[start_offset:end_offset]."""

    id: UUID
    ordinal: int
    start_offset: int
    end_offset: int
    page: int | None
    section: str | None
    content: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk with what is shown of its source."""

    id: UUID
    source_id: UUID
    ordinal: int
    source_name: str
    source_type: str | None
    source_uri: str
    language: str | None
    start_offset: int
    end_offset: int
    page: int | None
    section: str | None
    content: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A chunk in the list of its source's, with the mean of its vectors if they were asked for and there are any."""

    id: UUID
    user_id: UUID | None
    ordinal: int
    start_offset: int
    end_offset: int
    page: int | None
    section: str | None
    content: str
    tokens: int
    embedding: list[float] | None


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
    )
    tx.execute(_INSERT, (*columns, workspace_id, source_id))


def read(tx: Connection, workspace_id: UUID, places: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], Chunk]:
    """The chunks that still exist at `places`, each a source and the chunk's number in it."""
    values = {
        "workspace_id": workspace_id,
        "sources": [source_id for source_id, _ in places],
        "ordinals": [ordinal for _, ordinal in places],
    }
    with tx.cursor(row_factory=class_row(Chunk)) as cursor:
        return {(chunk.source_id, chunk.ordinal): chunk for chunk in cursor.execute(_READ, values).fetchall()}


def page(
    tx: Connection, workspace_id: UUID, source_id: UUID, *, first: int, limit: int, model: str | None
) -> list[Listed]:
    """The chunks of a source from number `first` on, in order; with their vectors of `model` unless it is None."""
    values = {
        "workspace_id": workspace_id, "source_id": source_id, "first": first, "limit": limit, "model": model,
    }  # fmt: skip
    with tx.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(_LIST, values).fetchall()


def existing(tx: Connection, workspace_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of these chunks that are still there."""
    return {row[0] for row in tx.execute(_EXISTING, (workspace_id, list(ids))).fetchall()}


def contents(tx: Connection, workspace_id: UUID, source_id: UUID) -> list[str]:
    """The texts of all chunks of a source, in order."""
    return [row[0] for row in tx.execute(_CONTENTS, (workspace_id, source_id)).fetchall()]


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> int:
    """Remove the chunks of a source, whose postings and vectors must be gone; return how many there were."""
    return tx.execute(_REMOVE, (workspace_id, source_id)).rowcount
