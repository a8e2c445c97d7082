"""Who is calling: from a credential to the caller, their workspace and what they may do, in one round trip."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import dict_row

from minirag.runtime import db, telemetry
from minirag.runtime.errors import Forbidden, NotFound, Unauthenticated
from minirag.tenancy import api_keys, billing

_FIND: Final = "SELECT * FROM find_caller_by_api_key(%s, %s)"

# What a role in a workspace allows, whatever the scopes of the key.
_SCOPES_OF_ROLE: Final = {
    "reader": frozenset({"read"}),
    "editor": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller in one workspace.

    `scopes` is what both key and role allow; `languages` are those that the workspace's documents were analyzed in,
    `embedding_model` the one whose vectors are searched, None before the first.
    """

    user_id: UUID
    api_key_id: UUID
    tied_to_workspace: bool
    expires_at: datetime | None
    platform_admin: bool
    scopes: frozenset[str]
    workspace_id: UUID
    workspace_role: str
    organization_id: UUID
    organization_role: str
    billing_status: str
    generation: int
    languages: tuple[str, ...]
    embedding_model: str | None

    @property
    def tenant(self) -> db.Tenant:
        """For whom this caller's transactions run."""
        return db.Tenant(self.workspace_id, self.organization_id, self.user_id)


def credential(headers: Mapping[str, str]) -> str:
    """The API key of a request (X-API-Key, or Authorization: Bearer); raises Unauthenticated.

    `headers` are looked up in lower case.
    """
    key = headers.get("x-api-key", "").strip()
    if not key:
        kind, _, value = headers.get("authorization", "").partition(" ")
        key = value.strip() if kind.lower() == "bearer" else ""
    if not key:
        raise Unauthenticated("No API key was sent. Send it as the header X-API-Key.")
    if not api_keys.well_formed(key):
        raise Unauthenticated("The API key is not valid. Check that it was copied whole.")
    return key


def identify(key: str, wanted_workspace: UUID | None, *, scope: str) -> Caller:
    """The caller behind `key` in the workspace wanted, or in their first one.

    Raises Unauthenticated (unknown, revoked or expired key, suspended user), NotFound (not their workspace) and
    Forbidden (key or role lacks `scope`); BillingInactive where `scope` is write and the organization does not pay.
    """
    with db.snapshot(db.NOBODY) as tx, tx.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_FIND, (api_keys.hash_key(key), wanted_workspace)).fetchone()
    if row is None:
        raise Unauthenticated("The API key is unknown, expired or revoked.")
    telemetry.bind(user_id=str(row["user_id"]), api_key_id=str(row["api_key_id"]))
    if row["workspace_id"] is None:
        raise NotFound("There is no such workspace.")
    allowed = frozenset(row["scopes"]) & _SCOPES_OF_ROLE[row["workspace_role"]]
    caller = Caller(
        user_id=row["user_id"],
        api_key_id=row["api_key_id"],
        tied_to_workspace=row["key_workspace_id"] is not None,
        expires_at=row["key_expires_at"],
        platform_admin=row["platform_admin"],
        scopes=allowed,
        workspace_id=row["workspace_id"],
        workspace_role=row["workspace_role"],
        organization_id=row["organization_id"],
        organization_role=row["organization_role"],
        billing_status=row["billing_status"],
        generation=row["generation"],
        languages=tuple(row["languages"]),
        embedding_model=row["embedding_model"],
    )
    telemetry.bind(workspace_id=str(caller.workspace_id), organization_id=str(caller.organization_id))
    if scope not in caller.scopes:
        raise Forbidden(f"This needs the scope '{scope}', which your key or your role in the workspace lacks.")
    if scope == "write":
        billing.check_status(caller.billing_status)
    return caller
