"""Lambda entry point of the queue `jobs`: each message is a job of the ledger, or a workspace's indexes to keep.

What can never succeed ends its job at once; what may succeed later is tried again, and ends its job with the reason
after the last attempt. What takes longer than one run goes on in the next.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from functions.ingest import maintain, send
from functions.ingest.complete import complete, rebuild
from functions.ingest.dedupe import dedupe
from functions.ingest.embed import Unfinished
from functions.ingest.hold import held, is_patient, most_attempts
from functions.ingest.index import index, remove_object
from minirag.knowledge import jobs, leases, sources
from minirag.knowledge.vectors import staged
from minirag.runtime import batch, db, settings, telemetry
from minirag.runtime.errors import MiniRagError


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401  AWS's context object
    """Do a batch of jobs."""

    def remaining_seconds() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    def handle(message: batch.Message) -> None:
        workspace_id = UUID(message.body["workspace_id"])
        telemetry.bind(workspace_id=str(workspace_id))
        if message.body.get("task") == maintain.TASK:
            maintain.maintain(workspace_id, remaining_seconds=remaining_seconds)
        else:
            _work(workspace_id, UUID(message.body["job_id"]), message, remaining_seconds)

    return batch.process(event, "ingest-worker", settings.current().jobs_queue_url, handle)


def _work(workspace_id: UUID, job_id: UUID, message: batch.Message, remaining_seconds: Callable[[], float]) -> None:
    """Take a job up, do it, and say how it ended; what is raised brings the message back."""
    telemetry.bind(job_id=str(job_id))
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        job = leases.claim(tx, workspace_id, job_id, seconds=settings.current().lease_seconds)
    if job is None:
        # It has ended, or another worker is at it, whose message comes back should it die.
        telemetry.event("job.not_claimed")
        return
    try:
        with held(workspace_id, job, message):
            _do(workspace_id, job, remaining_seconds)
    except Unfinished:
        _release(workspace_id, job, counted=False)
        send.job(workspace_id, job.id)
        telemetry.event("job.unfinished")
    except MiniRagError as error:
        if error.code == jobs.LOST:
            telemetry.event("job.lost")
        elif error.status < 500 or job.attempts >= most_attempts(job, error):
            _fail(workspace_id, job, error.code, error.detail)
            if error.status >= 500:
                raise  # into the dead-letter queue
        else:
            _release(workspace_id, job, counted=True)
            if not is_patient(job, error):
                raise
            send.job(workspace_id, job.id, delay=batch.pause_seconds(job.attempts))
    except Exception:
        if job.attempts >= most_attempts(job):
            detail = f"The job could not be done, and {job.attempts} attempts ended the same way. Please report it."
            _fail(workspace_id, job, MiniRagError.code, detail)
        else:
            _release(workspace_id, job, counted=True)
        raise


def _do(workspace_id: UUID, job: jobs.Job, remaining_seconds: Callable[[], float]) -> None:
    match job.kind:
        case "embed":
            complete(workspace_id, job, remaining_seconds=remaining_seconds)
        case "rebuild":
            rebuild(workspace_id, job, remaining_seconds=remaining_seconds)
        case "dedupe":
            dedupe(workspace_id, job, remaining_seconds=remaining_seconds)
        case _:
            indexed = index(workspace_id, job, remaining_seconds=remaining_seconds)
            for more in indexed.jobs:
                send.job(workspace_id, more)
            maintain.tidy(workspace_id, indexed.due)


def _release(workspace_id: UUID, job: jobs.Job, *, counted: bool) -> None:
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        leases.release(tx, workspace_id, job, counted=counted)


def _fail(workspace_id: UUID, job: jobs.Job, code: str, detail: str) -> None:
    deleted = False
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        # The source first, as whoever stores or removes it does.
        source = sources.lock(tx, workspace_id, job.source_id) if job.source_id else None
        if not jobs.fail(tx, workspace_id, job.id, code=code, detail=detail, claims=job.claims):
            telemetry.event("job.lost")
            return
        if source is not None:
            staged.clear(tx, workspace_id, source.id)
            deleted = source.deleted
            if job.kind == "ingest":
                sources.fail(tx, workspace_id, source.id, sequencer=job.sequencer, code=code, detail=detail)
    if deleted:
        remove_object(job.object_key)
    telemetry.event("job.failed", kind=job.kind, code=code, attempts=job.attempts)
