"""Members of a workspace: people of its organization with a role in it."""

from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection
from minirag.tenancy.organizations import Person

# The organization's owners and admins are admins here without a row of their own.
_PAGE: Final = """
SELECT p.user_id, p.email, p.name, coalesce(CASE WHEN p.role IN ('owner', 'admin') THEN 'admin' END, m.role) AS role,
       coalesce(m.created_at, p.created_at) AS created_at
FROM find_people() p
LEFT JOIN workspace_members m ON m.workspace_id = %s AND m.user_id = p.user_id
WHERE m.user_id IS NOT NULL OR p.role IN ('owner', 'admin')
ORDER BY created_at, p.user_id
"""
_PERSON_BY_EMAIL: Final = "SELECT user_id FROM find_people() WHERE lower(email) = lower(%s)"
_ADD: Final = """
INSERT INTO workspace_members (organization_id, workspace_id, user_id, role) VALUES (%s, %s, %s, %s)
ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role
"""
_SET_ROLE: Final = "UPDATE workspace_members SET role = %s WHERE workspace_id = %s AND user_id = %s RETURNING 1"
_REMOVE: Final = "DELETE FROM workspace_members WHERE workspace_id = %s AND user_id = %s RETURNING 1"


def page(tx: Connection, workspace_id: UUID) -> list[Person]:
    """Who may be in the workspace, longest first; `role` is what they may do there."""
    with tx.cursor(row_factory=class_row(Person)) as cursor:
        return cursor.execute(_PAGE, (workspace_id,)).fetchall()


def person_by_email(tx: Connection, email: str) -> UUID | None:
    """The person with this address in the transaction's organization; who is elsewhere is nobody here."""
    row = tx.execute(_PERSON_BY_EMAIL, (email,)).fetchone()
    return None if row is None else row[0]


def add(tx: Connection, organization_id: UUID, workspace_id: UUID, user_id: UUID, role: str) -> None:
    """Make somebody of the organization a member, or give them this role if they are one."""
    tx.execute(_ADD, (organization_id, workspace_id, user_id, role))


def set_role(tx: Connection, workspace_id: UUID, user_id: UUID, role: str) -> bool:
    """Give a member another role; False if they are none."""
    return tx.execute(_SET_ROLE, (role, workspace_id, user_id)).fetchone() is not None


def remove(tx: Connection, workspace_id: UUID, user_id: UUID) -> bool:
    """Take a member out; False if they are none."""
    return tx.execute(_REMOVE, (workspace_id, user_id)).fetchone() is not None
