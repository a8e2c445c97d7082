"""Scopes, roles, and what a route asks of its caller: the rules, without any I/O.

A key has scopes, a member has a role in the organization and one in the workspace; a caller may do what all of them
allow. Owners and admins of an organization are admins of every workspace in it.
"""

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["read", "write", "admin"]
WorkspaceRole = Literal["reader", "editor", "admin"]
OrganizationRole = Literal["member", "admin", "owner"]

WORKSPACE_ROLES: Final = ("reader", "editor", "admin")
"""From the least to the most; each may do what those before it may."""

ORGANIZATION_ROLES: Final = ("member", "admin", "owner")
"""From the least to the most."""

SCOPES_OF_ROLE: Final = {
    "reader": frozenset({"read"}),
    "editor": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}
"""What a role in a workspace allows, whatever the scopes of the key."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks of its caller; the least of each kind.

    within: what the caller must be in for the route to have anything to do: nothing, an organization or a workspace.
    scope: of the key; a session has all of them.
    """

    name: str
    within: Literal["nothing", "organization", "workspace"]
    scope: Scope | None
    workspace_role: WorkspaceRole | None = None
    organization_role: OrganizationRole | None = None
    platform_admin: bool = False


OPEN: Final = Access("open", "nothing", None)
"""Anybody: no credential is looked at."""

IDENTIFIED: Final = Access("identified", "nothing", None)
"""Any good credential."""

ACCOUNT: Final = Access("account", "nothing", "admin")
"""The person themselves: a session, or a key of all their workspaces that may administer."""

READ: Final = Access("read", "workspace", "read", workspace_role="reader")
WRITE: Final = Access("write", "workspace", "write", workspace_role="editor")
WORKSPACE_ADMIN: Final = Access("workspace admin", "workspace", "admin", workspace_role="admin")
ORGANIZATION_ADMIN: Final = Access("organization admin", "organization", "admin", organization_role="admin")
PLATFORM: Final = Access("platform admin", "nothing", "admin", platform_admin=True)
"""Operators."""


def at_least(role: str | None, least: str, roles: tuple[str, ...]) -> bool:
    """Whether `role` may do what `least` may, in an order of roles."""
    return role is not None and roles.index(role) >= roles.index(least)
