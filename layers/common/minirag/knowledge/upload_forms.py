"""Forms that were given out to send a job's file by, and to whom: that lies on the job until the file has come."""

from typing import Final
from uuid import UUID

from minirag.runtime.db import Connection

_GIVE: Final = "UPDATE jobs SET form_user_id = %s, form_api_key_id = %s WHERE workspace_id = %s AND id = %s"
_HOLDER: Final = """
SELECT form_user_id, form_api_key_id FROM jobs WHERE workspace_id = %s AND id = %s AND form_user_id IS NOT NULL
"""
_FORGET: Final = """
UPDATE jobs SET form_user_id = NULL, form_api_key_id = NULL
WHERE workspace_id = %s AND id = %s AND form_user_id IS NOT NULL
"""


def give(tx: Connection, workspace_id: UUID, job_id: UUID, user_id: UUID, api_key_id: UUID | None) -> None:
    """Remember to whom a form is given to send the job's file by, and the key they asked for it with."""
    tx.execute(_GIVE, (user_id, api_key_id, workspace_id, job_id))


def holder(tx: Connection, workspace_id: UUID, job_id: UUID) -> tuple[UUID, UUID | None] | None:
    """User and key that the job's form was given to; None if there is none out."""
    row = tx.execute(_HOLDER, (workspace_id, job_id)).fetchone()
    return None if row is None else (row[0], row[1])


def forget(tx: Connection, workspace_id: UUID, job_id: UUID) -> None:
    """The file has come, or the job is somebody else's now: who was to send it does not matter any more."""
    tx.execute(_FORGET, (workspace_id, job_id))
