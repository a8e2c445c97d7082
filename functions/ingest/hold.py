"""Holding a job: while a worker is at it, a thread shows that the worker lives, to the queue and to the ledger.

A worker that dies stops showing it, so that its message comes back, and its job can be taken up, a minute later. A
worker that hangs in a call is ended by its function's time limit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final
from uuid import UUID

from minirag.knowledge import jobs, leases
from minirag.runtime import batch, db, queue, settings, telemetry
from minirag.runtime.errors import MiniRagError, Unavailable

# The message comes back only when the job can be taken up again.
MARGIN_SECONDS: Final = 5


# What waits for a provider, or for a part of ours that is down, is tried less and less often, at last four times an
# hour: for a day, or for some hours.
_PATIENT: Final = frozenset({"embed", "rebuild"})
_PATIENT_ATTEMPTS: Final = 100
_ATTEMPTS_WHILE_DOWN: Final = 20


def is_patient(job: jobs.Job, error: MiniRagError | None = None) -> bool:
    """Whether what went wrong is nothing of the job's own, and is waited for."""
    return job.kind in _PATIENT or isinstance(error, Unavailable)


def most_attempts(job: jobs.Job, error: MiniRagError | None = None) -> int:
    """How often a job is tried before it fails."""
    if job.kind in _PATIENT:
        return _PATIENT_ATTEMPTS
    return _ATTEMPTS_WHILE_DOWN if is_patient(job, error) else settings.current().max_receives


@contextmanager
def held(workspace_id: UUID, job: jobs.Job, message: batch.Message) -> Iterator[None]:
    """Hold a job that was claimed, and hide its message, until the block ends."""
    lease = settings.current().lease_seconds
    ended = Event()

    def beat() -> None:
        while True:
            # Each by itself: that one cannot be reached is no reason to let go of the other.
            try:
                with db.aside(db.Tenant(workspace_id=workspace_id)) as tx:
                    if not leases.hold(tx, workspace_id, job, seconds=lease):
                        return
            except Unavailable as error:
                telemetry.event("job.not_held", code=error.code)
            try:
                queue.show_again(
                    settings.current().jobs_queue_url, message.receipt_handle, seconds=lease + MARGIN_SECONDS
                )
            except Unavailable as error:
                telemetry.event("job.message_not_hidden", code=error.code)
            if ended.wait(lease / 3):
                return

    thread = Thread(target=beat, name="hold", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
