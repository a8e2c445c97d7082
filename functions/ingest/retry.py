"""Trying again what failed."""

from uuid import UUID

from functions.ingest import keys, send
from minirag.knowledge import jobs, sources, upload_forms
from minirag.runtime import blobs, db
from minirag.runtime.errors import Conflict, NotFound
from minirag.tenancy.identity import Caller


def retry(caller: Caller, job_id: UUID) -> jobs.Job:
    """Queue a failed job of the caller's workspace again, as if it were new.

    Raises NotFound, or Conflict if it has not failed, its document was deleted or replaced, or its file is gone.
    """
    workspace_id = caller.workspace_id
    with db.transaction(caller.tenant) as tx:
        job = jobs.find(tx, workspace_id, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    if job.status != "failed":
        raise _not_failed(job)
    if job.object_key is not None and not keys.is_fetched(job.object_key) and not blobs.exists(job.object_key):
        raise Conflict("The file of this job is no longer stored. Upload it again.", code="object_gone")
    if job.object_key is not None and keys.is_fetched(job.object_key):
        # What was fetched may be what failed.
        blobs.delete(job.object_key)
    with db.transaction(caller.tenant) as tx:
        if job.kind == "ingest" and job.source_id is not None:
            source = sources.lock(tx, workspace_id, job.source_id)
            if source is None or source.deleted:
                raise Conflict("The document of this job was deleted. Upload it again.", code="source_deleted")
            if source.seen != job.sequencer:
                raise Conflict("A newer version of this document was sent since.", code="superseded")
            sources.queued_again(tx, workspace_id, job.source_id)
        if not jobs.retry(tx, workspace_id, job_id):
            raise _not_failed(job)
        upload_forms.forget(tx, workspace_id, job_id)
        again = jobs.find(tx, workspace_id, job_id)
    assert again is not None
    send.job(workspace_id, job_id)
    return again


def _not_failed(job: jobs.Job) -> Conflict:
    return Conflict(
        f"This job is {job.status}, or another like it is under way: only a failed one can be tried again.",
        code="not_failed",
    )
