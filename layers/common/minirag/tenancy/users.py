"""Users: who signs in, what they belong to, and what operators do with them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection
from minirag.runtime.errors import Conflict, NotFound
from minirag.runtime.page import Cursor
from minirag.tenancy.tokens import Session

_USE_STATE: Final = "SELECT use_login_state(%s)"
_SIGN_IN: Final = "SELECT * FROM sign_in(%s, %s, %s, %s, %s)"
_END_SESSION: Final = """
INSERT INTO ended_sessions (id, user_id, ends_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_FORGET_SESSIONS: Final = "DELETE FROM ended_sessions WHERE user_id = %s AND ends_at < now()"
_END_ALL: Final = "UPDATE users SET session_epoch = session_epoch + 1 WHERE id = %s"
_NAME: Final = "SELECT name FROM users WHERE id = %s"
_MEMBERSHIPS: Final = "SELECT * FROM find_memberships()"
_MAY_WRITE: Final = "SELECT may_write(%s, %s)"
_FIND: Final = "SELECT * FROM find_users(%s, %s, %s, %s, %s, %s)"
_CREATE: Final = "SELECT create_user(%s, %s)"
_CHANGE: Final = "SELECT change_user(%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What became of a sign-in: `outcome` known or new, or why not: suspended, uninvited, taken."""

    outcome: str
    user_id: UUID | None
    email: str | None
    name: str | None
    role: str | None
    session_epoch: int | None
    invited: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """An organization of a user, and a workspace in it that is open to them, if there is one."""

    organization_id: UUID
    organization_name: str
    organization_role: str
    organization_created_at: datetime
    billing_status: str
    workspace_id: UUID | None
    workspace_name: str | None
    workspace_role: str | None
    workspace_created_at: datetime | None


@dataclass(frozen=True, slots=True)
class User:
    """A user, as operators see them."""

    id: UUID
    email: str
    name: str
    role: str
    status: str
    created_at: datetime
    last_sign_in_at: datetime | None


def use_login_state(tx: Connection, state_hash: bytes) -> bool:
    """Use the state of a sign-in up; False if it was used before."""
    row = tx.execute(_USE_STATE, (state_hash,)).fetchone()
    return row is not None and bool(row[0])


def sign_in(tx: Connection, *, issuer: str, subject: str, email: str, name: str, may_join: bool) -> SignedIn:
    """Find or make the user of an identity that the provider has vouched for, its address too."""
    with tx.cursor(row_factory=class_row(SignedIn)) as cursor:
        found = cursor.execute(_SIGN_IN, (issuer, subject, email, name, may_join)).fetchone()
    assert found is not None
    return found


def end_session(tx: Connection, session: Session) -> None:
    """Log out of one session: its token is good for nothing from now on."""
    tx.execute(_FORGET_SESSIONS, (session.user_id,))
    tx.execute(_END_SESSION, (session.id, session.user_id, session.expires_at))


def end_all_sessions(tx: Connection, user_id: UUID) -> None:
    """Log the user of the transaction out everywhere."""
    tx.execute(_END_ALL, (user_id,))


def name_of(tx: Connection, user_id: UUID) -> str:
    """What the user of the transaction is called."""
    row = tx.execute(_NAME, (user_id,)).fetchone()
    return row[0] if row else ""


def memberships(tx: Connection) -> list[Membership]:
    """All that the user of the transaction belongs to, oldest first."""
    with tx.cursor(row_factory=class_row(Membership)) as cursor:
        return cursor.execute(_MEMBERSHIPS).fetchall()


def may_write(tx: Connection, user_id: UUID, api_key_id: UUID | None) -> bool:
    """Whether a user may write in the transaction's workspace now, by this key if one is named."""
    row = tx.execute(_MAY_WRITE, (user_id, api_key_id)).fetchone()
    return row is not None and bool(row[0])


def page(
    tx: Connection,
    *,
    user_id: UUID | None,
    email: str | None,
    status: str | None,
    after: Cursor[UUID] | None,
    limit: int,
) -> list[User]:
    """Users of all tenants, newest first, for operators."""
    at, row_id = (after.created_at, after.id) if after else (None, None)
    with tx.cursor(row_factory=class_row(User)) as cursor:
        return cursor.execute(_FIND, (user_id, email, status, at, row_id, limit)).fetchall()


def find(tx: Connection, user_id: UUID) -> User | None:
    """A user, for operators."""
    return next(iter(page(tx, user_id=user_id, email=None, status=None, after=None, limit=1)), None)


def create(tx: Connection, *, email: str, name: str) -> UUID | None:
    """Make a user who has not signed in yet, for operators; None if the address is taken."""
    row = tx.execute(_CREATE, (email, name)).fetchone()
    return None if row is None else row[0]


def change(tx: Connection, user_id: UUID, *, role: str | None, status: str | None) -> None:
    """Change what is given, and end all the user's sessions, for operators.

    Raises NotFound if there is no such user, Conflict if nobody would be left to operate the platform.
    """
    row = tx.execute(_CHANGE, (user_id, role, status)).fetchone()
    if row is None or row[0] == "unknown":
        raise NotFound("There is no such user.")
    if row[0] == "last":
        raise Conflict("This is the platform's only active operator. Make somebody else one first.")
