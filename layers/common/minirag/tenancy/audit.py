"""The audit log: who did what, to what, from where. The application can only append to it."""

from typing import Final

from minirag.runtime.db import Connection
from minirag.tenancy.identity import Caller

_INSERT: Final = """
INSERT INTO audit_log (organization_id, workspace_id, user_id, api_key_id, action, target, request_id, ip)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""


def record(tx: Connection, caller: Caller, action: str, target: str, *, request_id: str, ip: str | None) -> None:
    """Append what `caller` did, in the transaction that did it."""
    values = (caller.organization_id, caller.workspace_id, caller.user_id, caller.api_key_id)
    tx.execute(_INSERT, (*values, action, target, request_id, ip))
