"""Jobs: the ledger of ingestion. Every job ends done or failed, and a failed one says why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from minirag.runtime.db import Connection
from minirag.runtime.errors import Conflict
from minirag.runtime.page import Cursor

# The code of the error of a worker that lost its job.
LOST: Final = "job_lost"

# The code of the error of a job whose file never came; should it come, the job goes on.
UPLOAD_MISSING: Final = "upload_missing"

# Jobs of uploads are ordered by the database's clock; those of the drop folder carry S3's own order.
_INSERT: Final = """
INSERT INTO jobs (workspace_id, id, kind, source_id, object_key, sequencer, name, uri, bytes, language, tags,
                  held_until)
VALUES (%(workspace_id)s, %(id)s, 'ingest', %(source_id)s, %(object_key)s,
        coalesce(%(sequencer)s, to_char(extract(epoch FROM clock_timestamp()) * 1000000, 'FM00000000000000000000')),
        %(name)s, %(uri)s, %(bytes)s, %(language)s, %(tags)s, now() + make_interval(secs => %(patience)s))
ON CONFLICT (workspace_id, object_key, sequencer) DO NOTHING
RETURNING id, sequencer, true AS new, false AS ended
"""

_FIND_EVENT: Final = """
SELECT id, sequencer, false AS new, status IN ('done', 'failed') AS ended
FROM jobs
WHERE workspace_id = %(workspace_id)s AND object_key = %(object_key)s AND sequencer = %(sequencer)s
"""

_OBJECT_KEYS: Final = """
SELECT DISTINCT object_key FROM jobs WHERE workspace_id = %s AND source_id = %s AND object_key IS NOT NULL
"""

_OBJECT_OF: Final = """
SELECT object_key
FROM jobs
WHERE workspace_id = %s AND source_id = %s AND sequencer = %s AND kind = 'ingest'
LIMIT 1
"""

_FIND: Final = """
SELECT id, kind, status, stage, progress, source_id, object_key, sequencer, name, uri, bytes, language, tags,
       chunks_added, timings, notes, error_code, error_detail, attempts, claims, created_at, started_at, finished_at
FROM jobs
WHERE workspace_id = %s AND id = %s
"""

_LIST: Final = """
SELECT id, kind, status, stage, progress, source_id, object_key, sequencer, name, uri, bytes, language, tags,
       chunks_added, timings, notes, error_code, error_detail, attempts, claims, created_at, started_at, finished_at
FROM jobs
WHERE workspace_id = %(workspace_id)s
  AND (%(after)s::timestamptz IS NULL OR (created_at, id) < (%(after)s, %(after_id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
"""

_ADVANCE: Final = """
UPDATE jobs SET stage = %(stage)s, progress = %(progress)s
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND claims = %(claims)s AND status = 'running'
"""

_FINISH: Final = """
UPDATE jobs
SET status = 'done', stage = 'done', progress = 1, chunks_added = %(chunks_added)s, timings = %(timings)s,
    notes = %(notes)s, finished_at = clock_timestamp()
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND claims = %(claims)s AND status = 'running'
RETURNING id
"""

_FAIL: Final = """
UPDATE jobs
SET status = 'failed', error_code = %(code)s, error_detail = %(detail)s, finished_at = clock_timestamp()
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND status IN ('queued', 'running')
  AND (%(claims)s::int IS NULL OR (claims = %(claims)s AND status = 'running'))
RETURNING id
"""

_RETRY: Final = """
UPDATE jobs
SET status = 'queued', stage = 'queued', progress = 0, attempts = 0, error_code = NULL, error_detail = NULL,
    finished_at = NULL, held_until = now() + interval '15 minutes'
WHERE workspace_id = %s AND id = %s AND status = 'failed'
  AND NOT EXISTS (
      SELECT FROM jobs o
      WHERE o.workspace_id = jobs.workspace_id AND o.kind = jobs.kind AND o.kind <> 'ingest'
        AND o.source_id IS NOT DISTINCT FROM jobs.source_id AND o.status IN ('queued', 'running')
  )
"""

# A document that was in is to be indexed once more, by the job that did it.
_AGAIN: Final = """
UPDATE jobs
SET status = 'queued', stage = 'queued', progress = 0, attempts = 0, error_code = NULL, error_detail = NULL,
    finished_at = NULL, held_until = now() + interval '15 minutes'
WHERE workspace_id = %s AND source_id = %s AND sequencer = %s AND kind = 'ingest' AND status IN ('done', 'failed')
RETURNING id
"""

_DESCRIBE: Final = "UPDATE jobs SET name = %s, bytes = %s WHERE workspace_id = %s AND id = %s"

_OPEN: Final = """
INSERT INTO jobs (workspace_id, id, kind, source_id, sequencer, name, uri, bytes)
VALUES (%(workspace_id)s, %(id)s, %(kind)s, %(source_id)s, '', '', '', 0)
ON CONFLICT DO NOTHING
RETURNING id
"""

_FIND_OPEN: Final = """
SELECT id
FROM jobs
WHERE workspace_id = %(workspace_id)s AND kind = %(kind)s AND source_id IS NOT DISTINCT FROM %(source_id)s
  AND status IN ('queued', 'running')
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A job and how far it is; `progress` 0..1, `timings` in milliseconds by stage."""

    id: UUID
    kind: str
    status: str
    stage: str
    progress: float
    source_id: UUID | None
    object_key: str | None
    sequencer: str
    name: str
    uri: str
    bytes: int
    language: str | None
    tags: list[str] | None
    chunks_added: int
    timings: dict[str, Any]
    notes: list[str]
    error_code: str | None
    error_detail: str | None
    attempts: int
    claims: int
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
    patience: int = 900,
) -> Created:
    """Make the job for one version of one object, or find it if the event came before.

    Without a `sequencer` the version is ordered by the database's clock. `patience`: seconds until the sweeper asks
    after it.
    """
    values = {
        "workspace_id": workspace_id, "id": job_id, "source_id": source_id, "object_key": object_key,
        "sequencer": sequencer, "patience": patience, **asdict(content),
    }  # fmt: skip
    with tx.cursor(row_factory=class_row(Created)) as cursor:
        created = cursor.execute(_INSERT, values).fetchone() or cursor.execute(_FIND_EVENT, values).fetchone()
    assert created is not None
    return created


def object_keys(tx: Connection, workspace_id: UUID, source_id: UUID) -> list[str]:
    """Where the versions of a source lie, or lay."""
    return [key for (key,) in tx.execute(_OBJECT_KEYS, (workspace_id, source_id)).fetchall()]


def object_of(tx: Connection, workspace_id: UUID, source_id: UUID, sequencer: str) -> str | None:
    """Where a version of a source lies."""
    row = tx.execute(_OBJECT_OF, (workspace_id, source_id, sequencer)).fetchone()
    return None if row is None else row[0]


def find(tx: Connection, workspace_id: UUID, job_id: UUID) -> Job | None:
    with tx.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_FIND, (workspace_id, job_id)).fetchone()


def page(tx: Connection, workspace_id: UUID, *, after: Cursor[UUID] | None, limit: int) -> list[Job]:
    """Jobs, newest first."""
    values = {
        "workspace_id": workspace_id,
        "after": after.created_at if after else None,
        "after_id": after.id if after else None,
        "limit": limit,
    }
    with tx.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_LIST, values).fetchall()


def advance(tx: Connection, workspace_id: UUID, job: Job, *, stage: str, progress: float) -> None:
    """Show how far a running job is."""
    values = {
        "workspace_id": workspace_id, "id": job.id, "claims": job.claims, "stage": stage, "progress": progress,
    }  # fmt: skip
    tx.execute(_ADVANCE, values)


def finish(
    tx: Connection,
    workspace_id: UUID,
    job: Job,
    *,
    chunks_added: int,
    timings: Mapping[str, float],
    notes: Sequence[str] = (),
) -> None:
    """Done, in the transaction that made the document searchable. Raises Conflict if the job is not ours any more."""
    values = {
        "workspace_id": workspace_id, "id": job.id, "claims": job.claims, "chunks_added": chunks_added,
        "timings": Jsonb(dict(timings)), "notes": list(notes),
    }  # fmt: skip
    if tx.execute(_FINISH, values).fetchone() is None:
        raise Conflict("Another worker has taken this job up, or it has ended.", code=LOST)


def fail(
    tx: Connection, workspace_id: UUID, job_id: UUID, *, code: str, detail: str, claims: int | None = None
) -> bool:
    """Failed, with a code for programs and a sentence for people; False if it has ended, or is another's.

    `claims` is that of the worker that says so; None for whoever may say so of any job that has not ended.
    """
    values = {"workspace_id": workspace_id, "id": job_id, "code": code, "detail": detail, "claims": claims}
    return tx.execute(_FAIL, values).fetchone() is not None


def retry(tx: Connection, workspace_id: UUID, job_id: UUID) -> bool:
    """Queue a failed job again, as if it were new; False if it has not failed, or another like it is under way."""
    return tx.execute(_RETRY, (workspace_id, job_id)).rowcount == 1


def again(tx: Connection, workspace_id: UUID, source_id: UUID, sequencer: str) -> UUID | None:
    """Queue once more the job that brought a version of a source in, and say which; None if there is none."""
    row = tx.execute(_AGAIN, (workspace_id, source_id, sequencer)).fetchone()
    return None if row is None else row[0]


def describe(tx: Connection, workspace_id: UUID, job_id: UUID, *, name: str, size: int) -> None:
    """Say what a document turned out to be called, and its bytes, once it was fetched."""
    tx.execute(_DESCRIBE, (name, size, workspace_id, job_id))


def open_task(tx: Connection, workspace_id: UUID, kind: str, *, source_id: UUID | None = None) -> tuple[UUID, bool]:
    """A job of the workspace, or of a source, that is no document's; and whether it is new, or was under way."""
    values = {"workspace_id": workspace_id, "id": uuid4(), "kind": kind, "source_id": source_id}
    row = tx.execute(_OPEN, values).fetchone()
    if row is not None:
        return row[0], True
    row = tx.execute(_FIND_OPEN, values).fetchone()
    if row is None:  # it ended this moment
        return open_task(tx, workspace_id, kind, source_id=source_id)
    return row[0], False
