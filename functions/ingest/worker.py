"""Lambda entry point of the queue `jobs`: each message is one document to index, or a workspace's indexes to keep.

What can never succeed ends its job at once; what may succeed later is delivered again, and ends its job with the
reason on the last delivery.
"""

from typing import Any
from uuid import UUID

from functions.ingest import maintain
from functions.ingest.index import index
from minirag.knowledge import jobs, sources
from minirag.runtime import batch, db, settings, telemetry
from minirag.runtime.errors import MiniRagError


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401  AWS's context object
    """Index a batch of documents."""

    def remaining_seconds() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    def handle(message: batch.Message) -> None:
        workspace_id = UUID(message.body["workspace_id"])
        if message.body.get("task") == maintain.TASK:
            telemetry.bind(workspace_id=str(workspace_id))
            maintain.maintain(workspace_id, remaining_seconds=remaining_seconds)
            return
        job_id = UUID(message.body["job_id"])
        telemetry.bind(workspace_id=str(workspace_id), job_id=str(job_id))
        try:
            wanted = index(workspace_id, job_id, remaining_seconds=remaining_seconds)
        except MiniRagError as error:
            permanent = error.status < 500
            if permanent or message.receives >= settings.current().max_receives:
                _fail(workspace_id, job_id, error.code, error.detail)
            if not permanent:
                raise
            return
        except Exception:
            if message.receives >= settings.current().max_receives:
                detail = f"The document could not be processed, and {message.receives} attempts ended the same way."
                _fail(workspace_id, job_id, MiniRagError.code, detail)
            raise
        maintain.tidy(workspace_id, wanted)

    return batch.process(event, "ingest-worker", settings.current().jobs_queue_url, handle)


def _fail(workspace_id: UUID, job_id: UUID, code: str, detail: str) -> None:
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        job = jobs.find(tx, workspace_id, job_id)
        if job is None or job.ended:
            return
        jobs.fail(tx, workspace_id, job_id, code=code, detail=detail)
        sources.fail(tx, workspace_id, job.source_id, sequencer=job.sequencer, code=code, detail=detail)
    telemetry.event("ingest.failed", code=code, attempts=job.attempts)
