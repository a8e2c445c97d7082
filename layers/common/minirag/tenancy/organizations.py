"""Organizations: who pays, and the people in it."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection
from minirag.runtime.errors import Conflict
from minirag.runtime.page import Cursor

_INSERT: Final = "INSERT INTO organizations (id, name, slug) VALUES (%s, %s, %s)"
_INSERT_OWNER: Final = "INSERT INTO user_organizations (organization_id, user_id, role) VALUES (%s, %s, 'owner')"
_RENAME: Final = "UPDATE organizations SET name = %s WHERE id = %s"
_PEOPLE: Final = "SELECT user_id, email, name, role, created_at FROM find_people() ORDER BY created_at, user_id"
_LOCK: Final = "SELECT user_id, role FROM user_organizations WHERE organization_id = %s ORDER BY user_id FOR UPDATE"
_SET_ROLE: Final = "UPDATE user_organizations SET role = %s WHERE organization_id = %s AND user_id = %s"
_REMOVE: Final = "SELECT end_membership(%s)"
_FIND: Final = "SELECT * FROM find_organizations(%s, %s, %s, %s)"
_CHANGE: Final = "SELECT change_organization(%s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in an organization, or in a workspace; `role` is the one there."""

    user_id: UUID
    email: str
    name: str
    role: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization, as operators see it."""

    id: UUID
    name: str
    slug: str
    plan: str
    billing_status: str
    stripe_customer_id: str | None
    current_period_end: datetime | None
    created_at: datetime
    members: int
    workspaces: int


def create(tx: Connection, organization_id: UUID, *, name: str, owner: UUID) -> None:
    """Make an organization; the transaction runs for its new id and for `owner`."""
    # The slug says nothing of others' existence: what makes it unique is random.
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    tx.execute(_INSERT, (organization_id, name, f"{words or 'org'}-{secrets.token_hex(4)}"))
    tx.execute(_INSERT_OWNER, (organization_id, owner))


def rename(tx: Connection, organization_id: UUID, name: str) -> None:
    """Call the organization something else."""
    tx.execute(_RENAME, (name, organization_id))


def people(tx: Connection) -> list[Person]:
    """Who is in the organization that the transaction runs for, longest first."""
    with tx.cursor(row_factory=class_row(Person)) as cursor:
        return cursor.execute(_PEOPLE).fetchall()


def role_of(tx: Connection, organization_id: UUID, user_id: UUID) -> str | None:
    """The role of a user in the organization, whose memberships stay as they are until the transaction ends."""
    return next((role for user, role in tx.execute(_LOCK, (organization_id,)).fetchall() if user == user_id), None)


def set_role(tx: Connection, organization_id: UUID, user_id: UUID, role: str) -> None:
    """Give a member another role. Raises Conflict if that would leave no owner."""
    if role != "owner":
        _keep_an_owner(tx, organization_id, user_id)
    tx.execute(_SET_ROLE, (role, organization_id, user_id))


def remove(tx: Connection, organization_id: UUID, user_id: UUID) -> None:
    """Take a member out of the organization, which the transaction runs for, and all its workspaces.

    Their keys that are tied to these are revoked, open invitations to them and by them end. Raises Conflict if that
    would leave no owner.
    """
    _keep_an_owner(tx, organization_id, user_id)
    tx.execute(_REMOVE, (user_id,))


def page(tx: Connection, *, organization_id: UUID | None, after: Cursor[UUID] | None, limit: int) -> list[Organization]:
    """All organizations, newest first, for operators."""
    at, row_id = (after.created_at, after.id) if after else (None, None)
    with tx.cursor(row_factory=class_row(Organization)) as cursor:
        return cursor.execute(_FIND, (organization_id, at, row_id, limit)).fetchall()


def find(tx: Connection, organization_id: UUID) -> Organization | None:
    """An organization, for operators."""
    return next(iter(page(tx, organization_id=organization_id, after=None, limit=1)), None)


def change(
    tx: Connection, organization_id: UUID, *, name: str | None, plan: str | None, billing_status: str | None
) -> bool:
    """Change what is given, for operators; False if there is no such organization."""
    row = tx.execute(_CHANGE, (organization_id, name, plan, billing_status)).fetchone()
    return row is not None and bool(row[0])


def _keep_an_owner(tx: Connection, organization_id: UUID, user_id: UUID) -> None:
    owners = {user for user, role in tx.execute(_LOCK, (organization_id,)).fetchall() if role == "owner"}
    if owners == {user_id}:
        raise Conflict("This is the organization's only owner. Make somebody else an owner first.")
