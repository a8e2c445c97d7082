"""Lambda entry point of the clock, once a minute: jobs that nobody is at are queued again or end with the reason.

And answers that were kept long enough are deleted.

A worker that dies cannot say so. What it held comes back with its message; should that be lost as well, or have been
delivered too often, the ledger still knows the job, and this finds it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from functions.ingest import keys, maintain, send, sender
from functions.ingest.hold import most_attempts
from minirag.knowledge import answers, jobs, leases, sources
from minirag.knowledge.lexical import merge
from minirag.knowledge.vectors import staged
from minirag.runtime import blobs, db, settings, telemetry
from minirag.runtime.errors import Forbidden

_MOST: Final = 200
_MOST_ANSWERS: Final = 5000

_WORKER_LOST: Final = (
    "The worker stopped {attempts} times while it was at this document, which may be too large or damaged. Split it or "
    "save it anew, and upload it again."
)
_MISSING: Final = "The file never arrived. Upload it again; the address to send it to holds for a quarter of an hour."


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ANN401, ARG001  AWS's event and context
    """Look after the jobs of all tenants, and the indexes that hold what was deleted yesterday."""
    telemetry.begin("sweep", function="ingest-sweeper")
    with db.transaction(db.NOBODY) as tx:
        lost = leases.lost(tx, most=_MOST)
        garbage = merge.workspaces_with_garbage(tx, most=_MOST)
    for workspace_id, job_id in lost:
        try:
            _look_after(workspace_id, job_id)
        except Exception as error:  # noqa: BLE001  the sweeper's boundary: whatever it was, the other jobs are looked after
            telemetry.failure("sweep.postponed", error, job_id=str(job_id))
            # Not the first again next time.
            with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
                leases.postpone(tx, workspace_id, job_id)
    for workspace_id in garbage:
        maintain.request(workspace_id)
    before = datetime.now(UTC) - timedelta(days=settings.current().answers_kept_days)
    with db.transaction(db.NOBODY) as tx:
        forgotten = answers.forget(tx, before=before, most=_MOST_ANSWERS)
    if forgotten:
        telemetry.event("answers.forgotten", count=forgotten)


def _look_after(workspace_id: UUID, job_id: UUID) -> None:
    tenant = db.Tenant(workspace_id=workspace_id)
    with db.snapshot(tenant) as tx:
        known = jobs.find(tx, workspace_id, job_id)
    if known is None:
        return
    arrived = known.object_key is None or keys.is_fetched(known.object_key) or blobs.exists(known.object_key)
    with db.transaction(tenant) as tx:
        if known.source_id is not None:
            # First, as whoever stores or removes it does.
            sources.lock(tx, workspace_id, known.source_id)
        job = leases.lock_lost(tx, workspace_id, job_id)
        if job is None:
            return
        if job.status == "running" and job.attempts >= most_attempts(job):
            _fail(tx, workspace_id, job, "worker_lost", _WORKER_LOST.format(attempts=job.attempts))
            return
        if not arrived:
            _fail(tx, workspace_id, job, jobs.UPLOAD_MISSING, _MISSING)
            return
        try:
            sender.check(tx, workspace_id, job_id)
        except Forbidden as error:
            _fail(tx, workspace_id, job, error.code, error.detail)
            return
        leases.queue(tx, workspace_id, job_id)
    send.job(workspace_id, job_id)


def _fail(tx: db.Connection, workspace_id: UUID, job: jobs.Job, code: str, detail: str) -> None:
    jobs.fail(tx, workspace_id, job.id, code=code, detail=detail)
    if job.source_id is not None:
        staged.clear(tx, workspace_id, job.source_id)
        sources.fail(tx, workspace_id, job.source_id, sequencer=job.sequencer, code=code, detail=detail)
    telemetry.event("job.failed", workspace_id=str(workspace_id), job_id=str(job.id), kind=job.kind, code=code)
