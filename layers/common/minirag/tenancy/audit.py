"""The audit log: who did what, to what, from where. The application can only append to it.

Rows are sealed by a chain of hashes some minutes later (migrations/0012_operators.sql), so that no writer waits for
another, and who tampers with one shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from minirag.runtime.db import Connection
from minirag.runtime.page import Cursor
from minirag.tenancy.identity import Caller, Member, Origin, Principal

_INSERT: Final = """
INSERT INTO audit_log (organization_id, workspace_id, user_id, api_key_id, action, target, request_id, ip, user_agent,
                       detail)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_FIND: Final = "SELECT * FROM find_audit(%s, %s, %s, %s, %s, %s, %s, %s)"
_SEAL: Final = "SELECT * FROM seal_audit_log(%s)"
_HEAD: Final = "SELECT * FROM find_audit_head()"
_VERIFY: Final = "SELECT * FROM verify_audit_log()"
_USER_AGENT_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the log; `link` is None until it is sealed."""

    id: int
    organization_id: UUID | None
    workspace_id: UUID | None
    user_id: UUID | None
    api_key_id: UUID | None
    action: str
    target: str
    detail: dict[str, Any]
    request_id: str
    ip: str | None
    user_agent: str | None
    created_at: datetime
    link: bytes | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows: `action` whole or by its family, `since` included, `until` not."""

    organization_id: UUID | None = None
    user_id: UUID | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """The end of the chain after a run that sealed so many rows."""

    sealed: int
    head_position: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends, 0 and nothing before the first seal, and how many rows are newer."""

    position: int
    head: bytes
    unsealed: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that does not fit the chain."""

    audit_id: int
    problem: str


def record(
    tx: Connection, who: Principal, action: str, target: str, origin: Origin, **detail: str | int | bool | None
) -> None:
    """Append what `who` did, in the transaction that did it, which runs for their organization.

    `detail`: what changed, in a few words or numbers; never a secret, never document text.
    """
    organization_id = who.organization_id if isinstance(who, Member) else None
    workspace_id = who.workspace_id if isinstance(who, Caller) else None
    append(tx, organization_id, workspace_id, who.user_id, who.api_key_id, action, target, origin, detail)


def append(
    tx: Connection,
    organization_id: UUID | None,
    workspace_id: UUID | None,
    user_id: UUID | None,
    api_key_id: UUID | None,
    action: str,
    target: str,
    origin: Origin,
    detail: Mapping[str, str | int | bool | None],
) -> None:
    """Append a row as it is, for what nobody did who has been identified here."""
    # What a client says of itself: as much as can be shown on a line.
    agent = "".join(filter(str.isprintable, origin.user_agent or ""))[:_USER_AGENT_MAX] or None
    values = (organization_id, workspace_id, user_id, api_key_id, action, target, origin.request_id, origin.ip, agent)
    tx.execute(_INSERT, (*values, Jsonb(dict(detail))))


def find(tx: Connection, filters: Filters, *, after: Cursor[int] | None, limit: int) -> list[Entry]:
    """Rows of all tenants, newest first, for operators."""
    at, row_id = (after.created_at, after.id) if after else (None, None)
    wanted = (filters.organization_id, filters.user_id, filters.action, filters.since, filters.until)
    with tx.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(_FIND, (*wanted, at, row_id, limit)).fetchall()


def seal(tx: Connection, *, most: int) -> Seal:
    """Add what is not sealed yet to the chain, at most so many rows, oldest first."""
    with tx.cursor(row_factory=class_row(Seal)) as cursor:
        found = cursor.execute(_SEAL, (most,)).fetchone()
    assert found is not None
    return found


def verify(tx: Connection) -> list[Problem]:
    """What does not fit the chain: empty unless somebody tampered with the log. For operators."""
    with tx.cursor(row_factory=class_row(Problem)) as cursor:
        return cursor.execute(_VERIFY).fetchall()


def head(tx: Connection) -> Head:
    """Where the chain ends. For operators."""
    with tx.cursor(row_factory=class_row(Head)) as cursor:
        found = cursor.execute(_HEAD).fetchone()
    assert found is not None
    return found
