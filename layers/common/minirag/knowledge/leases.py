"""Leases of jobs: who is at one, for how long without a sign of life, and what nobody is at.

A job belongs to one worker at a time: one that is delivered again while its worker lives is left alone. `claims` tells
a worker that hung, and lost its job to another one, that it has.
"""

from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.knowledge.jobs import Job
from minirag.runtime.db import Connection

_CLAIM: Final = """
UPDATE jobs
SET status = 'running', stage = 'reading', attempts = attempts + 1, claims = claims + 1,
    held_until = now() + make_interval(secs => %(seconds)s), started_at = coalesce(started_at, now())
WHERE workspace_id = %(workspace_id)s AND id = %(id)s
  AND (status = 'queued' OR (status = 'running' AND held_until < now()))
RETURNING id, kind, status, stage, progress, source_id, object_key, sequencer, name, uri, bytes, language, tags,
          chunks_added, timings, notes, error_code, error_detail, attempts, claims, created_at, started_at, finished_at
"""

_HOLD: Final = """
UPDATE jobs
SET held_until = now() + make_interval(secs => %(seconds)s)
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND claims = %(claims)s AND status = 'running'
"""

_RELEASE: Final = """
UPDATE jobs
SET status = 'queued', held_until = now() + interval '15 minutes',
    attempts = attempts - CASE WHEN %(uncounted)s THEN 1 ELSE 0 END
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND claims = %(claims)s AND status = 'running'
"""

_FIND_LOST: Final = "SELECT workspace_id, job_id FROM find_lost_jobs(%s)"

_LOCK_LOST: Final = """
SELECT id, kind, status, stage, progress, source_id, object_key, sequencer, name, uri, bytes, language, tags,
       chunks_added, timings, notes, error_code, error_detail, attempts, claims, created_at, started_at, finished_at
FROM jobs
WHERE workspace_id = %s AND id = %s AND status IN ('queued', 'running') AND held_until < now()
FOR UPDATE SKIP LOCKED
"""

_POSTPONE: Final = """
UPDATE jobs
SET held_until = now() + interval '5 minutes'
WHERE workspace_id = %s AND id = %s AND status IN ('queued', 'running') AND held_until < now()
"""

_QUEUE: Final = """
UPDATE jobs SET status = 'queued', held_until = now() + interval '15 minutes' WHERE workspace_id = %s AND id = %s
"""


def claim(tx: Connection, workspace_id: UUID, job_id: UUID, *, seconds: float) -> Job | None:
    """Take a job up for so many seconds and count the attempt; None if it is unknown, has ended, or is another's."""
    values = {"workspace_id": workspace_id, "id": job_id, "seconds": seconds}
    with tx.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_CLAIM, values).fetchone()


def hold(tx: Connection, workspace_id: UUID, job: Job, *, seconds: float) -> bool:
    """Keep a job that was taken up for so many seconds from now; False if it is not ours any more."""
    values = {"workspace_id": workspace_id, "id": job.id, "claims": job.claims, "seconds": seconds}
    return tx.execute(_HOLD, values).rowcount == 1


def release(tx: Connection, workspace_id: UUID, job: Job, *, counted: bool) -> None:
    """Give a job back for somebody to take up; `counted` if this was an attempt that failed."""
    values = {"workspace_id": workspace_id, "id": job.id, "claims": job.claims, "uncounted": not counted}
    tx.execute(_RELEASE, values)


def lost(tx: Connection, *, most: int) -> list[tuple[UUID, UUID]]:
    """Jobs of all tenants that nobody is at, as (workspace, job), the longest lost first."""
    return [(row[0], row[1]) for row in tx.execute(_FIND_LOST, (most,)).fetchall()]


def lock_lost(tx: Connection, workspace_id: UUID, job_id: UUID) -> Job | None:
    """A job that nobody is at, held until the transaction ends; None if somebody is by now."""
    with tx.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_LOCK_LOST, (workspace_id, job_id)).fetchone()


def queue(tx: Connection, workspace_id: UUID, job_id: UUID) -> None:
    """Wait for a worker again; a message must be sent to make one come."""
    tx.execute(_QUEUE, (workspace_id, job_id))


def postpone(tx: Connection, workspace_id: UUID, job_id: UUID) -> None:
    """Look at a job that nobody is at some minutes later, not now."""
    tx.execute(_POSTPONE, (workspace_id, job_id))
