"""Messages to the queue `jobs`: what makes a worker come."""

from uuid import UUID

from minirag.runtime import queue, settings, telemetry


def job(workspace_id: UUID, job_id: UUID, *, delay: int = 0) -> None:
    """Have a job done, after `delay` seconds; the sweeper does it later should this be lost. Raises Unavailable."""
    message = {"workspace_id": str(workspace_id), "job_id": str(job_id)}
    queue.send(settings.current().jobs_queue_url, message, group=str(workspace_id), delay=delay)
    telemetry.event("job.queued", workspace_id=str(workspace_id), job_id=str(job_id))
