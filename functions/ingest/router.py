"""Lambda entry point of the queue `uploads`: an S3 event becomes a job on the queue `jobs`.

Events arrive at least once and in any order; the sequencer of the object decides what is stale.
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus
from uuid import UUID, uuid4

from functions.ingest import keys, send, sender
from functions.ingest.names import safe_name, visible
from functions.ingest.remove import clear
from minirag.knowledge import jobs, sources
from minirag.runtime import batch, blobs, db, settings, telemetry
from minirag.runtime.errors import Forbidden, MiniRagError
from minirag.tenancy import audit, billing, quotas, workspaces
from minirag.tenancy.identity import Origin

# S3's sequencers differ in length and compare as text once padded on the right.
_SEQUENCER_WIDTH: Final = 64


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """What S3 tells of one object."""

    removed: bool
    key: str
    size: int
    sequencer: str


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401, ARG001  AWS's context object
    """Route a batch of S3 notifications."""
    return batch.process(event, "ingest-router", settings.current().uploads_queue_url, _route)


def _route(message: batch.Message) -> None:
    # S3 sends one s3:TestEvent, without records, when the notification is set up.
    for record in message.body.get("Records", []):
        event = _read(record)
        place = keys.parse(event.key)
        if isinstance(place, keys.Upload) and not event.removed:
            _route_upload(place)
        elif isinstance(place, keys.Drop):
            _route_drop(place, event)
        else:
            telemetry.event("object.ignored", removed=event.removed)


def _read(record: dict[str, Any]) -> ObjectEvent:
    stored = record["s3"]["object"]
    # Not every S3 sends a sequencer; then the event's time is the best order there is, and
    # the content tells two of one moment apart.
    sequencer = stored.get("sequencer") or record["eventTime"] + stored.get("eTag", "")
    return ObjectEvent(
        removed=record["eventName"].removeprefix("s3:").startswith("ObjectRemoved"),
        key=unquote_plus(stored["key"]),
        size=int(stored.get("size", 0)),
        sequencer=sequencer.ljust(_SEQUENCER_WIDTH, "0"),
    )


def _route_upload(upload: keys.Upload) -> None:
    with db.transaction(db.Tenant(workspace_id=upload.workspace_id)) as tx:
        job = jobs.find(tx, upload.workspace_id, upload.job_id)
        source = sources.find(tx, upload.workspace_id, upload.source_id)
    if job is not None and job.error_code == jobs.UPLOAD_MISSING and source is not None:
        # It came after all, later than it was waited for.
        if not _sender_may(upload, job):
            return
        with db.transaction(db.Tenant(workspace_id=upload.workspace_id)) as tx:
            sources.queued_again(tx, upload.workspace_id, upload.source_id)
            jobs.retry(tx, upload.workspace_id, upload.job_id)
    elif job is None or job.ended:
        telemetry.event("object.without_job", job_id=str(upload.job_id))
        if source is None:
            # Sent after its source was deleted: it goes as well.
            blobs.delete(upload.key)
        return
    elif not _sender_may(upload, job):
        return
    send.job(upload.workspace_id, upload.job_id)


def _sender_may(upload: keys.Upload, job: jobs.Job) -> bool:
    """Whether the sender still may; else the job fails, and somebody who may can retry it."""
    workspace_id = upload.workspace_id
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        try:
            sender.check(tx, workspace_id, job.id)
        except Forbidden as error:
            jobs.fail(tx, workspace_id, job.id, code=error.code, detail=error.detail)
            sources.fail(
                tx, workspace_id, upload.source_id, sequencer=job.sequencer, code=error.code, detail=error.detail
            )
            telemetry.event("upload.refused", job_id=str(job.id))
            return False
    return True


def _route_drop(drop: keys.Drop, event: ObjectEvent) -> None:
    workspace_id = drop.workspace_id
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        organization_id = workspaces.organization_of(tx, workspace_id)
    if organization_id is None:
        telemetry.event("drop.unknown_workspace", workspace_id=str(workspace_id))
        return
    queued: list[UUID] = []
    with db.transaction(db.Tenant(workspace_id, organization_id)) as tx:
        workspaces.hold(tx, workspace_id)
        source = sources.lock_drop(tx, workspace_id, uuid4(), drop_key=drop.path, object_key=drop.key)
        if event.sequencer < source.seen:
            telemetry.event("drop.stale", source_id=str(source.id))
            return
        if event.removed:
            if not source.deleted:
                queued = clear(tx, workspace_id, source, sequencer=event.sequencer)
                # Whoever took the file away is in the storage's own log.
                origin = Origin(f"s3:{event.sequencer}")
                target = str(source.id)
                audit.append(tx, organization_id, workspace_id, None, None, "source.delete", target, origin, {})
            else:
                # What came before it must not bring the file back.
                sources.bury(tx, workspace_id, source.id, sequencer=event.sequencer)
            telemetry.event("drop.removed", source_id=str(source.id))
        else:
            queued = _expect(tx, drop, event, source)
    # Also if an earlier delivery made the job: it may have ended before it could send it on.
    for job_id in queued:
        send.job(workspace_id, job_id)


def _expect(tx: db.Connection, drop: keys.Drop, event: ObjectEvent, source: sources.Locked) -> list[UUID]:
    """The job of a new version, unless it has ended; it ends at once where the workspace may not take it in."""
    workspace_id = drop.workspace_id
    name = safe_name(drop.path, default="file")
    content = jobs.Content(name=name, uri=f"drop:{visible(drop.path)}", bytes=event.size)
    job = jobs.create(
        tx,
        workspace_id,
        uuid4(),
        source_id=source.id,
        object_key=drop.key,
        content=content,
        sequencer=event.sequencer,
    )
    if job.ended:
        telemetry.event("drop.known", source_id=str(source.id))
        return []
    if not job.new:
        return [job.id]
    sources.expect(tx, workspace_id, source.id, sequencer=job.sequencer, object_key=drop.key, content=content)
    try:
        billing.check(tx)
        quotas.check(
            tx, workspace_id, size=event.size - (source.size if source.counted else 0), chunks=0 if source.chunks else 1
        )
    except MiniRagError as error:
        jobs.fail(tx, workspace_id, job.id, code=error.code, detail=error.detail)
        sources.fail(tx, workspace_id, source.id, sequencer=job.sequencer, code=error.code, detail=error.detail)
        telemetry.event("drop.refused", source_id=str(source.id), code=error.code)
        return []
    return [job.id]
