"""Invitations: how somebody comes into an organization. They are for an address, which the provider vouches for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection
from minirag.tenancy.identity import Origin

DAYS: Final = 14

# Inviting again renews the one that is open.
_INVITE: Final = """
INSERT INTO invitations (workspace_id, organization_id, email, role, organization_role, invited_by, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, now() + make_interval(days => %s))
ON CONFLICT (workspace_id, lower(email)) WHERE ended_at IS NULL
DO UPDATE SET role = excluded.role, organization_role = excluded.organization_role,
              invited_by = excluded.invited_by, expires_at = excluded.expires_at
RETURNING id, email, role, organization_role, created_at, expires_at
"""
_OPEN: Final = """
SELECT id, email, role, organization_role, created_at, expires_at FROM invitations
WHERE workspace_id = %s AND ended_at IS NULL AND expires_at > now()
ORDER BY created_at, id
"""
_WITHDRAW: Final = """
UPDATE invitations SET ended_at = now()
WHERE workspace_id = %s AND id = %s AND ended_at IS NULL AND expires_at > now()
RETURNING email
"""
_MINE: Final = "SELECT * FROM find_invitations()"
_ACCEPT: Final = "SELECT workspace_id, organization_id, role FROM accept_invitation(%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open invitation, as the inviting workspace sees it."""

    id: UUID
    email: str
    role: str
    organization_role: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Received:
    """An open invitation, as the invited see it."""

    id: UUID
    workspace_id: UUID
    workspace_name: str
    organization_name: str
    role: str
    invited_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where somebody is a member from now on, and as what."""

    workspace_id: UUID
    organization_id: UUID
    role: str


def invite(
    tx: Connection,
    workspace_id: UUID,
    organization_id: UUID,
    *,
    email: str,
    role: str,
    organization_role: str,
    invited_by: UUID,
) -> Invitation:
    """Invite an address, for 14 days; an open invitation of it is renewed and changed."""
    values = (workspace_id, organization_id, email, role, organization_role, invited_by, DAYS)
    with tx.cursor(row_factory=class_row(Invitation)) as cursor:
        made = cursor.execute(_INVITE, values).fetchone()
    assert made is not None
    return made


def page(tx: Connection, workspace_id: UUID) -> list[Invitation]:
    """The open invitations of the workspace, oldest first."""
    with tx.cursor(row_factory=class_row(Invitation)) as cursor:
        return cursor.execute(_OPEN, (workspace_id,)).fetchall()


def withdraw(tx: Connection, workspace_id: UUID, invitation_id: UUID) -> bool:
    """Take an open invitation back; False if there is no such one."""
    return tx.execute(_WITHDRAW, (workspace_id, invitation_id)).fetchone() is not None


def received(tx: Connection) -> list[Received]:
    """The open invitations to the user of the transaction, oldest first."""
    with tx.cursor(row_factory=class_row(Received)) as cursor:
        return cursor.execute(_MINE).fetchall()


def accept(tx: Connection, invitation_id: UUID, origin: Origin) -> Accepted | None:
    """Make the user of the transaction a member as invited, and write it down.

    None if there is no such open invitation to them, or who invited them may not any more.
    """
    with tx.cursor(row_factory=class_row(Accepted)) as cursor:
        return cursor.execute(_ACCEPT, (invitation_id, origin.request_id, origin.ip)).fetchone()
