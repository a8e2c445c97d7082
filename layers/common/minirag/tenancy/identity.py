"""Who is calling: from a credential to the caller, where they are and what they may do, in one round trip.

The same statement counts a question against the workspace's quota (migrations/0014_receipts.sql, identify_caller).
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from minirag.runtime import db, telemetry
from minirag.runtime.errors import Forbidden, NotFound, Unauthenticated
from minirag.tenancy import billing, quotas
from minirag.tenancy.roles import ORGANIZATION_ROLES, SCOPES_OF_ROLE, WORKSPACE_ROLES, Access, at_least
from minirag.tenancy.tokens import Session

_FIND: Final = "SELECT * FROM identify_caller(%s, %s, %s, %s, %s, %s, %s, %s, %s)"

_REFUSED: Final = {
    "revoked": "The API key is unknown, expired or revoked.",
    "expired": "The API key is unknown, expired or revoked.",
    "suspended": "This user is suspended. Ask an administrator.",
    "ended": "The session is over. Sign in again.",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, for the audit log."""

    request_id: str
    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated user, wherever they are.

    `scopes` is what the credential allows: a key its own, a session all of them. One of `api_key_id` and `session` is
    there. `tied_to` is the workspace that a key is confined to.
    """

    user_id: UUID
    email: str
    platform_admin: bool
    api_key_id: UUID | None
    session: Session | None
    tied_to: UUID | None
    expires_at: datetime | None
    scopes: frozenset[str]

    @property
    def tenant(self) -> db.Tenant:
        """For whom this caller's transactions run."""
        return db.Tenant(user_id=self.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Principal):
    """A principal in an organization of theirs."""

    organization_id: UUID
    organization_role: str
    billing_status: str

    @property
    def tenant(self) -> db.Tenant:
        """For whom this caller's transactions run."""
        return db.Tenant(None, self.organization_id, self.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller(Member):
    """A member in a workspace.

    `scopes` is what both credential and role allow; `languages` are those that the workspace's documents were analyzed
    in, `embedding_model` the one whose vectors are searched, None before the first. `cost_left` are the dollars that
    the workspace may still spend this month, None without a limit, or where no question was counted.
    """

    workspace_id: UUID
    workspace_role: str
    generation: int
    sources_version: int
    languages: tuple[str, ...]
    embedding_model: str | None
    cost_left: Decimal | None

    @property
    def tenant(self) -> db.Tenant:
        """For whom this caller's transactions run."""
        return db.Tenant(self.workspace_id, self.organization_id, self.user_id, workspace_admin="admin" in self.scopes)


def identify(
    credential: bytes | Session,
    access: Access,
    origin: Origin,
    *,
    workspace_id: UUID | None = None,
    organization_id: UUID | None = None,
    counted: bool = False,
) -> Principal:
    """The caller behind a credential, who has the `access` that is asked for; a question is `counted`.

    In the workspace or organization wanted, else in the first of theirs: a Caller if `access` is within a workspace, a
    Member if within an organization. Raises Unauthenticated (unknown, revoked or expired key, ended session, suspended
    user), NotFound (not their workspace or organization), Forbidden (credential or role lacks what is needed),
    BillingInactive where something is written and the organization does not pay, TooMany where the quota is used up.
    """
    wanted = (workspace_id, organization_id, counted, origin.request_id, origin.ip)
    row = db.look_up(_FIND, (*_presented(credential), *wanted))
    if row is None:
        raise Unauthenticated(_REFUSED["revoked"] if isinstance(credential, bytes) else _REFUSED["ended"])
    telemetry.bind(user_id=str(row["user_id"]), api_key_id=str(row["api_key_id"]) if row["api_key_id"] else None)
    if row["refused"] is not None:
        telemetry.event("auth.refused", reason=row["refused"])
        raise Unauthenticated(_REFUSED[row["refused"]])
    principal = _principal(row, credential, access)
    _check(principal, access)
    if counted:
        quotas.check_question(row["request_limit"], row["requests_today"], row["cost_limit"], row["cost_this_month"])
    return principal


def _presented(credential: bytes | Session) -> tuple[object, ...]:
    if isinstance(credential, bytes):
        return credential, None, None, None
    return None, credential.user_id, credential.epoch, credential.id


def _principal(row: dict[str, Any], credential: bytes | Session, access: Access) -> Principal:
    """What was found, as far as `access` needs it. Raises NotFound."""
    session = None if isinstance(credential, bytes) else credential
    common: dict[str, Any] = {
        "user_id": row["user_id"],
        "email": row["email"],
        "platform_admin": row["platform_admin"],
        "api_key_id": row["api_key_id"],
        "session": session,
        "tied_to": row["key_workspace_id"],
        "expires_at": row["key_expires_at"] if session is None else session.expires_at,
    }
    if access.within == "nothing":
        return Principal(**common, scopes=frozenset(row["scopes"]))
    if row["organization_id"] is None:
        raise NotFound("There is no such workspace or organization.")
    common |= {name: row[name] for name in ("organization_id", "organization_role", "billing_status")}
    telemetry.bind(organization_id=str(row["organization_id"]))
    if access.within == "organization":
        return Member(**common, scopes=frozenset(row["scopes"]))
    if row["workspace_id"] is None:
        raise NotFound("There is no such workspace.")
    telemetry.bind(workspace_id=str(row["workspace_id"]))
    return Caller(
        **common,
        scopes=frozenset(row["scopes"]) & SCOPES_OF_ROLE[row["workspace_role"]],
        workspace_id=row["workspace_id"],
        workspace_role=row["workspace_role"],
        generation=row["generation"],
        sources_version=row["sources_version"],
        languages=tuple(row["languages"]),
        embedding_model=row["embedding_model"],
        cost_left=None if row["cost_limit"] is None else max(Decimal(0), row["cost_limit"] - row["cost_this_month"]),
    )


def _check(principal: Principal, access: Access) -> None:
    """Raise Forbidden, or BillingInactive, unless the principal has the access."""
    if access.scope is not None and access.scope not in principal.scopes:
        raise Forbidden(f"This needs the scope '{access.scope}', which your key or your role in the workspace lacks.")
    if access.within != "workspace" and access.scope is not None and principal.tied_to is not None:
        raise Forbidden("This API key is tied to one workspace, and this reaches beyond it.")
    if access.platform_admin and not principal.platform_admin:
        raise Forbidden("Only administrators of the platform may do this.")
    if access.organization_role is not None and not (
        isinstance(principal, Member)
        and at_least(principal.organization_role, access.organization_role, ORGANIZATION_ROLES)
    ):
        raise Forbidden(f"This needs the role '{access.organization_role}' in the organization, or more.")
    if access.workspace_role is not None and not (
        isinstance(principal, Caller) and at_least(principal.workspace_role, access.workspace_role, WORKSPACE_ROLES)
    ):
        raise Forbidden(f"This needs the role '{access.workspace_role}' in the workspace, or more.")
    if access.scope == "write" and isinstance(principal, Member):
        billing.check_status(principal.billing_status)
