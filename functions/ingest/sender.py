"""Who was given a form to send a file by must still be somebody who may, when the file comes."""

from typing import Final
from uuid import UUID

from minirag.knowledge import upload_forms
from minirag.runtime.db import Connection
from minirag.runtime.errors import Forbidden
from minirag.tenancy import users

_CODE: Final = "sender_refused"
_DETAIL: Final = (
    "Whoever was to send this file has been suspended or taken out, or their key was revoked, before it came. Somebody "
    "else may retry the job, or send the file again."
)


def check(tx: Connection, workspace_id: UUID, job_id: UUID) -> None:
    """Raise Forbidden if the file of this job comes by a form of somebody who may not write here any more.

    Once it has come in time, what becomes of them later does not matter.
    """
    holder = upload_forms.holder(tx, workspace_id, job_id)
    if holder is not None and not users.may_write(tx, *holder):
        raise Forbidden(_DETAIL, code=_CODE)
    upload_forms.forget(tx, workspace_id, job_id)
