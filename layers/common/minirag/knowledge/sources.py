"""Sources: the documents of a workspace, from their first mention to their tombstone."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.knowledge.jobs import Content
from minirag.runtime.db import Connection
from minirag.runtime.page import Cursor

_INSERT: Final = """
INSERT INTO sources (workspace_id, id, user_id, name, uri) VALUES (%s, %s, %s, '', '')
"""

_FIND: Final = """
SELECT id, name, type, uri, status, bytes, pages, chunks, language, tags, duplicate_of, created_at, error_code,
       error_detail
FROM sources
WHERE workspace_id = %s AND id = %s AND deleted_at IS NULL
"""

_LIST: Final = """
SELECT id, name, type, uri, status, bytes, pages, chunks, language, tags, duplicate_of, created_at, error_code,
       error_detail
FROM sources
WHERE workspace_id = %(workspace_id)s AND deleted_at IS NULL
  AND (%(after)s::timestamptz IS NULL OR (created_at, id) < (%(after)s, %(after_id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
"""

_LOCK: Final = """
SELECT id, sequencer, seen, drop_key, url, object_key, chunks, bytes AS size, language, made_from, duplicate_of,
       chunks > 0 OR duplicate_of IS NOT NULL AS counted, deleted_at IS NOT NULL AS deleted
FROM sources
WHERE workspace_id = %s AND id = %s
FOR UPDATE
"""

_LOCK_DROP: Final = """
SELECT id, sequencer, seen, drop_key, url, object_key, chunks, bytes AS size, language, made_from, duplicate_of,
       chunks > 0 OR duplicate_of IS NOT NULL AS counted, deleted_at IS NOT NULL AS deleted
FROM sources
WHERE workspace_id = %s AND drop_key = %s
FOR UPDATE
"""

_CLAIM_URL: Final = """
INSERT INTO sources (workspace_id, id, user_id, name, uri, url, deleted_at)
VALUES (%(workspace_id)s, %(id)s, %(user_id)s, '', '', %(url)s, now())
ON CONFLICT (workspace_id, url) WHERE url IS NOT NULL DO NOTHING
"""

_LOCK_URL: Final = """
SELECT id, sequencer, seen, drop_key, url, object_key, chunks, bytes AS size, language, made_from, duplicate_of,
       chunks > 0 OR duplicate_of IS NOT NULL AS counted, deleted_at IS NOT NULL AS deleted
FROM sources
WHERE workspace_id = %s AND url = %s
FOR UPDATE
"""

_CLAIM_DROP: Final = """
INSERT INTO sources (workspace_id, id, name, uri, drop_key, object_key, deleted_at)
VALUES (%(workspace_id)s, %(id)s, '', '', %(drop_key)s, %(object_key)s, now())
ON CONFLICT (workspace_id, drop_key) WHERE drop_key IS NOT NULL DO NOTHING
"""

# What is readable stays as it is, name and all, until the new version is in.
_EXPECT: Final = """
UPDATE sources
SET object_key = %(object_key)s, seen = greatest(seen, %(sequencer)s), deleted_at = NULL,
    error_code = NULL, error_detail = NULL,
    status   = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN status ELSE 'queued' END,
    name     = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN name ELSE %(name)s END,
    uri      = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN uri ELSE %(uri)s END,
    bytes    = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN bytes ELSE %(bytes)s END,
    language = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN language ELSE coalesce(%(language)s, language) END,
    tags     = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN tags ELSE coalesce(%(tags)s::text[], tags) END
WHERE workspace_id = %(workspace_id)s AND id = %(id)s
"""

_READY: Final = """
UPDATE sources
SET status = 'ready', type = %(type)s, pages = %(pages)s, chunks = %(chunks)s, sequencer = %(sequencer)s,
    name = %(name)s, uri = %(uri)s, bytes = %(bytes)s, made_from = %(made_from)s, text_hash = %(text_hash)s,
    duplicate_of = NULL,
    language = coalesce(%(language)s, language), tags = coalesce(%(tags)s::text[], tags),
    error_code = NULL, error_detail = NULL
WHERE workspace_id = %(workspace_id)s AND id = %(id)s
"""

# The same content again, as a newer version.
_UNCHANGED: Final = """
UPDATE sources
SET status = 'ready', sequencer = %(sequencer)s, uri = %(uri)s, tags = coalesce(%(tags)s::text[], tags),
    error_code = NULL, error_detail = NULL
WHERE workspace_id = %(workspace_id)s AND id = %(id)s
"""

# What was ready stays ready: a failed replacement leaves the document as it was, with the reason beside it. The
# failure of an old version says nothing of the newer one.
_FAIL: Final = """
UPDATE sources
SET status = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN 'ready' ELSE 'failed' END,
    error_code = %(code)s, error_detail = %(detail)s
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND seen = %(sequencer)s AND deleted_at IS NULL
"""

_QUEUED_AGAIN: Final = """
UPDATE sources
SET status = CASE WHEN chunks > 0 OR duplicate_of IS NOT NULL THEN status ELSE 'queued' END,
    error_code = NULL, error_detail = NULL
WHERE workspace_id = %s AND id = %s
"""

_BURY: Final = """
UPDATE sources
SET deleted_at = now(), chunks = 0, pages = NULL, bytes = 0, status = 'queued', error_code = NULL, error_detail = NULL,
    made_from = NULL, text_hash = NULL, duplicate_of = NULL,
    seen = greatest(seen, coalesce(%(sequencer)s, seen))
WHERE workspace_id = %(workspace_id)s AND id = %(id)s
"""

_LACKING: Final = """
SELECT s.id
FROM sources s
WHERE s.workspace_id = %(workspace_id)s AND s.deleted_at IS NULL AND s.chunks > 0
  AND s.chunks > (
      SELECT count(DISTINCT v.ordinal)
      FROM chunk_vectors v
      WHERE v.workspace_id = %(workspace_id)s AND v.model = %(model)s AND v.source_id = s.id
  )
ORDER BY s.id
"""

_FORGET_OBJECT: Final = "UPDATE sources SET object_key = NULL WHERE workspace_id = %s AND id = %s AND object_key = %s"


@dataclass(frozen=True, slots=True)
class Source:
    """A live document as the API shows it."""

    id: UUID
    name: str
    type: str | None
    uri: str
    status: str
    bytes: int
    pages: int | None
    chunks: int
    language: str | None
    tags: list[str]
    duplicate_of: UUID | None
    created_at: datetime
    error_code: str | None
    error_detail: str | None


@dataclass(frozen=True, slots=True)
class Locked:
    """What a transaction that holds the row needs to decide.

    `deleted` rows are tombstones; the bytes of those that are not `counted` are no part of the workspace's total.
    """

    id: UUID
    sequencer: str
    seen: str
    drop_key: str | None
    url: str | None
    object_key: str | None
    chunks: int
    size: int
    language: str | None
    made_from: bytes | None
    duplicate_of: UUID | None
    counted: bool
    deleted: bool


def create(tx: Connection, workspace_id: UUID, source_id: UUID, *, user_id: UUID | None) -> None:
    """Make an uploaded source; `expect` says of what."""
    tx.execute(_INSERT, (workspace_id, source_id, user_id))


def find(tx: Connection, workspace_id: UUID, source_id: UUID) -> Source | None:
    """A live source."""
    with tx.cursor(row_factory=class_row(Source)) as cursor:
        return cursor.execute(_FIND, (workspace_id, source_id)).fetchone()


def page(tx: Connection, workspace_id: UUID, *, after: Cursor[UUID] | None, limit: int) -> list[Source]:
    """Live sources, newest first."""
    values = {
        "workspace_id": workspace_id,
        "after": after.created_at if after else None,
        "after_id": after.id if after else None,
        "limit": limit,
    }
    with tx.cursor(row_factory=class_row(Source)) as cursor:
        return cursor.execute(_LIST, values).fetchall()


def lock(tx: Connection, workspace_id: UUID, source_id: UUID) -> Locked | None:
    """The source, tombstone or not, held until the transaction ends."""
    with tx.cursor(row_factory=class_row(Locked)) as cursor:
        return cursor.execute(_LOCK, (workspace_id, source_id)).fetchone()


def lock_drop(tx: Connection, workspace_id: UUID, new_id: UUID, *, drop_key: str, object_key: str) -> Locked:
    """The source of a path in the drop folder, held; made as a tombstone under `new_id` if there was none."""
    values = {
        "workspace_id": workspace_id, "id": new_id, "drop_key": drop_key, "object_key": object_key,
    }  # fmt: skip
    tx.execute(_CLAIM_DROP, values)
    with tx.cursor(row_factory=class_row(Locked)) as cursor:
        locked = cursor.execute(_LOCK_DROP, (workspace_id, drop_key)).fetchone()
    assert locked is not None
    return locked


def lock_url(tx: Connection, workspace_id: UUID, new_id: UUID, *, url: str, user_id: UUID | None) -> Locked:
    """The source of an address, held; made as a tombstone under `new_id` if there was none."""
    values = {"workspace_id": workspace_id, "id": new_id, "url": url, "user_id": user_id}
    tx.execute(_CLAIM_URL, values)
    with tx.cursor(row_factory=class_row(Locked)) as cursor:
        locked = cursor.execute(_LOCK_URL, (workspace_id, url)).fetchone()
    assert locked is not None
    return locked


def expect(
    tx: Connection, workspace_id: UUID, source_id: UUID, *, sequencer: str, object_key: str, content: Content
) -> None:
    """A new version is on its way: bring a tombstone back, keep what is ready as it is until it is replaced."""
    values = {
        "workspace_id": workspace_id, "id": source_id, "sequencer": sequencer, "object_key": object_key,
        **asdict(content),
    }  # fmt: skip
    tx.execute(_EXPECT, values)


def ready(
    tx: Connection,
    workspace_id: UUID,
    source_id: UUID,
    *,
    sequencer: str,
    content: Content,
    kind: str,
    pages: int | None,
    chunks: int,
    made_from: bytes,
    text_hash: bytes,
) -> None:
    """Version `sequencer` is in, under the name it came with: made from what, and of which text, as SHA-256."""
    values = {
        "workspace_id": workspace_id, "id": source_id, "sequencer": sequencer, "type": kind, "pages": pages,
        "chunks": chunks, "made_from": made_from, "text_hash": text_hash, **asdict(content),
    }  # fmt: skip
    tx.execute(_READY, values)


def unchanged(tx: Connection, workspace_id: UUID, source_id: UUID, *, sequencer: str, content: Content) -> None:
    """Version `sequencer` holds what the one before held."""
    values = {"workspace_id": workspace_id, "id": source_id, "sequencer": sequencer, **asdict(content)}
    tx.execute(_UNCHANGED, values)


def fail(tx: Connection, workspace_id: UUID, source_id: UUID, *, sequencer: str, code: str, detail: str) -> None:
    """Version `sequencer` could not be read, and why; nothing changes if a newer one is known."""
    values = {"workspace_id": workspace_id, "id": source_id, "sequencer": sequencer, "code": code, "detail": detail}
    tx.execute(_FAIL, values)


def queued_again(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """What failed is tried again."""
    tx.execute(_QUEUED_AGAIN, (workspace_id, source_id))


def bury(tx: Connection, workspace_id: UUID, source_id: UUID, *, sequencer: str | None = None) -> None:
    """Leave a tombstone; an event not newer than `sequencer` will not bring the source back."""
    tx.execute(_BURY, {"workspace_id": workspace_id, "id": source_id, "sequencer": sequencer})


def forget_object(tx: Connection, workspace_id: UUID, source_id: UUID, object_key: str) -> None:
    """The object of a buried source has been removed from the storage."""
    tx.execute(_FORGET_OBJECT, (workspace_id, source_id, object_key))


def lacking(tx: Connection, workspace_id: UUID, model: str) -> list[UUID]:
    """Sources of whose chunks some have no vector of a model."""
    return [row[0] for row in tx.execute(_LACKING, {"workspace_id": workspace_id, "model": model}).fetchall()]
