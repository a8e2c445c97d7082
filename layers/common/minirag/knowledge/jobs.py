"""Jobs: the ledger of ingestion. Every job ends done or failed, and a failed one says why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from minirag.runtime.db import Connection
from minirag.runtime.page import Cursor

# Jobs of uploads are ordered by the database's clock; those of the drop folder carry S3's own order.
_INSERT: Final = """
INSERT INTO jobs (workspace_id, id, kind, source_id, object_key, sequencer, name, uri, bytes, language, tags)
VALUES (%(workspace_id)s, %(id)s, 'ingest', %(source_id)s, %(object_key)s,
        coalesce(%(sequencer)s, to_char(extract(epoch FROM clock_timestamp()) * 1000000, 'FM00000000000000000000')),
        %(name)s, %(uri)s, %(bytes)s, %(language)s, %(tags)s)
ON CONFLICT (workspace_id, object_key, sequencer) DO NOTHING
RETURNING id, sequencer, true AS new, false AS ended
"""

_FIND_EVENT: Final = """
SELECT id, sequencer, false AS new, status IN ('done', 'failed') AS ended
FROM jobs
WHERE workspace_id = %(workspace_id)s AND object_key = %(object_key)s AND sequencer = %(sequencer)s
"""

_OBJECT_KEYS: Final = "SELECT DISTINCT object_key FROM jobs WHERE workspace_id = %s AND source_id = %s"

_FIND: Final = """
SELECT id, kind, status, stage, progress, source_id, object_key, sequencer, name, uri,
       bytes, language, tags, chunks_added, timings, error_code,
       error_detail, attempts, created_at, started_at, finished_at
FROM jobs
WHERE workspace_id = %s AND id = %s
"""

_LIST: Final = """
SELECT id, kind, status, stage, progress, source_id, object_key, sequencer, name, uri,
       bytes, language, tags, chunks_added, timings, error_code,
       error_detail, attempts, created_at, started_at, finished_at
FROM jobs
WHERE workspace_id = %(workspace_id)s
  AND (%(after)s::timestamptz IS NULL OR (created_at, id) < (%(after)s, %(after_id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
"""

_START: Final = """
UPDATE jobs
SET status = 'running', stage = 'reading', progress = 0, attempts = attempts + 1,
    started_at = coalesce(started_at, now())
WHERE workspace_id = %s AND id = %s AND status IN ('queued', 'running')
RETURNING id, kind, status, stage, progress, source_id, object_key, sequencer, name, uri,
       bytes, language, tags, chunks_added, timings, error_code,
          error_detail, attempts, created_at, started_at, finished_at
"""

_ADVANCE: Final = """
UPDATE jobs SET stage = %s, progress = %s WHERE workspace_id = %s AND id = %s AND status = 'running'
"""

_FINISH: Final = """
UPDATE jobs
SET status = 'done', stage = 'done', progress = 1, chunks_added = %(chunks_added)s, timings = %(timings)s,
    finished_at = clock_timestamp()
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND status IN ('queued', 'running')
"""

_FAIL: Final = """
UPDATE jobs
SET status = 'failed', error_code = %(code)s, error_detail = %(detail)s, finished_at = clock_timestamp()
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND status IN ('queued', 'running')
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A job and how far it is; `progress` 0..1, `timings` in milliseconds by stage."""

    id: UUID
    kind: str
    status: str
    stage: str
    progress: float
    source_id: UUID
    object_key: str
    sequencer: str
    name: str
    uri: str
    bytes: int
    language: str | None
    tags: list[str] | None
    chunks_added: int
    timings: dict[str, Any]
    error_code: str | None
    error_detail: str | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.status in {"done", "failed"}


@dataclass(frozen=True, slots=True)
class Content:
    """What a version of a source is called and how large it is; None leaves the source's language and tags."""

    name: str
    uri: str
    bytes: int
    language: str | None = None
    tags: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """The job of a version: `new`, or made for an earlier delivery of its event, and whether that one has `ended`."""

    id: UUID
    sequencer: str
    new: bool
    ended: bool


def create(
    tx: Connection,
    workspace_id: UUID,
    job_id: UUID,
    *,
    source_id: UUID,
    object_key: str,
    content: Content,
    sequencer: str | None = None,
) -> Created:
    """Make the job for one version of one object, or find it if the event came before.

    Without a `sequencer` the version is ordered by the database's clock.
    """
    values = {
        "workspace_id": workspace_id, "id": job_id, "source_id": source_id, "object_key": object_key,
        "sequencer": sequencer, **asdict(content),
    }  # fmt: skip
    with tx.cursor(row_factory=class_row(Created)) as cursor:
        created = cursor.execute(_INSERT, values).fetchone() or cursor.execute(_FIND_EVENT, values).fetchone()
    assert created is not None
    return created


def object_keys(tx: Connection, workspace_id: UUID, source_id: UUID) -> list[str]:
    """Where the versions of a source lie, or lay."""
    return [key for (key,) in tx.execute(_OBJECT_KEYS, (workspace_id, source_id)).fetchall()]


def find(tx: Connection, workspace_id: UUID, job_id: UUID) -> Job | None:
    with tx.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_FIND, (workspace_id, job_id)).fetchone()


def page(tx: Connection, workspace_id: UUID, *, after: Cursor | None, limit: int) -> list[Job]:
    """Jobs, newest first."""
    values = {
        "workspace_id": workspace_id,
        "after": after.created_at if after else None,
        "after_id": after.id if after else None,
        "limit": limit,
    }
    with tx.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_LIST, values).fetchall()


def start(tx: Connection, workspace_id: UUID, job_id: UUID) -> Job | None:
    """Count an attempt and mark the job running; None if it is unknown or has ended."""
    with tx.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_START, (workspace_id, job_id)).fetchone()


def advance(tx: Connection, workspace_id: UUID, job_id: UUID, *, stage: str, progress: float) -> None:
    """Show how far a running job is."""
    tx.execute(_ADVANCE, (stage, progress, workspace_id, job_id))


def finish(
    tx: Connection, workspace_id: UUID, job_id: UUID, *, chunks_added: int, timings: Mapping[str, float]
) -> None:
    """Done, in the transaction that made the document searchable."""
    values = {
        "workspace_id": workspace_id, "id": job_id, "chunks_added": chunks_added, "timings": Jsonb(dict(timings)),
    }  # fmt: skip
    tx.execute(_FINISH, values)


def fail(tx: Connection, workspace_id: UUID, job_id: UUID, *, code: str, detail: str) -> None:
    """Failed, with a code for programs and a sentence for people."""
    tx.execute(_FAIL, {"workspace_id": workspace_id, "id": job_id, "code": code, "detail": detail})
