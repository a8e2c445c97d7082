"""Submission: what a caller sends becomes a source, a job and an object; the object's event does the rest."""

import unicodedata
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from functions.ingest.keys import Upload
from minirag.knowledge import jobs, sources
from minirag.runtime import blobs, db
from minirag.runtime.errors import Conflict, NotFound, Unavailable
from minirag.tenancy.identity import Caller

_NAME_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Submission:
    """One document as it came in: `pasted` text has a title for a name, a file its own."""

    name: str
    data: bytes
    pasted: bool
    language: str | None
    tags: list[str]
    replaces: UUID | None


def safe_name(name: str, *, default: str) -> str:
    """A name to show: no path, no control, bidirectional or other invisible characters, at most 255 long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return visible(last)[:_NAME_CHARS] or default


def visible(text: str) -> str:
    """Text on one line, without control, bidirectional or other invisible characters."""
    shown = "".join(" " if char.isspace() else char for char in text)
    return " ".join("".join(char for char in shown if unicodedata.category(char)[0] != "C").split())


def submit(caller: Caller, submission: Submission) -> UUID:
    """Store a document for the worker and return its job's id.

    Raises NotFound or Conflict if it should replace a source that cannot be replaced; Unavailable if the storage does
    not take it, and then the job says so.
    """
    upload = Upload(caller.workspace_id, submission.replaces or uuid4(), uuid4())
    workspace_id, source_id, job_id = upload.workspace_id, upload.source_id, upload.job_id
    content = jobs.Content(
        name=submission.name,
        uri=f"{'text' if submission.pasted else 'upload'}:{submission.name}",
        bytes=len(submission.data),
        language=submission.language,
        tags=submission.tags or None,
    )
    with db.transaction(caller.tenant) as tx:
        if submission.replaces is None:
            sources.create(tx, workspace_id, source_id, user_id=caller.user_id)
        else:
            _check_replaceable(sources.lock(tx, workspace_id, source_id))
        job = jobs.create(tx, workspace_id, job_id, source_id=source_id, object_key=upload.key, content=content)
        sources.expect(tx, workspace_id, source_id, sequencer=job.sequencer, object_key=upload.key, content=content)
    try:
        blobs.put(upload.key, submission.data)
    except Unavailable as error:
        with db.transaction(caller.tenant) as tx:
            jobs.fail(tx, workspace_id, job_id, code="storage_unavailable", detail=error.detail)
            sources.fail(
                tx,
                workspace_id,
                source_id,
                sequencer=job.sequencer,
                code="storage_unavailable",
                detail=error.detail,
            )
        raise
    return job_id


def _check_replaceable(source: sources.Locked | None) -> None:
    if source is None or source.deleted:
        raise NotFound("There is no such source to replace.")
    if source.drop_key is not None:
        raise Conflict("This source belongs to the drop folder: put the new file there, under the same path.")
