"""Tenants for tests: each an organization with one workspace, one user and one API key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import psycopg

from minirag.tenancy.api_keys import new_key

_ORGANIZATION: Final = """
INSERT INTO organizations (id, name, slug, billing_status, stripe_customer_id)
VALUES (%(organization)s, 'Test', %(organization)s::text, %(billing)s, %(customer)s)
"""
_USER: Final = "INSERT INTO users (id, email) VALUES (%(user)s, %(user)s::text || '@example.com')"
_MEMBER: Final = """
INSERT INTO user_organizations (organization_id, user_id, role)
VALUES (%(organization)s, %(user)s, %(organization_role)s)
"""
_WORKSPACE: Final = (
    "INSERT INTO workspaces (id, organization_id, name) VALUES (%(workspace)s, %(organization)s, 'Test')"
)
_WORKSPACE_MEMBER: Final = """
INSERT INTO workspace_members (organization_id, workspace_id, user_id, role)
VALUES (%(organization)s, %(workspace)s, %(user)s, %(role)s)
"""
_KEY: Final = """
INSERT INTO api_keys (key_hash, prefix, user_id, workspace_id, scopes)
VALUES (%(hash)s, 'mrag_test', %(user)s, %(tied)s, %(scopes)s)
"""


@dataclass(frozen=True, slots=True)
class TestTenant:
    """A tenant and how to call as it."""

    __test__ = False

    organization_id: UUID
    workspace_id: UUID
    user_id: UUID
    key: str
    customer_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key}


def make(
    superuser_url: str,
    *,
    scopes: Sequence[str] = ("read", "write", "admin"),
    role: str = "admin",
    organization_role: str = "owner",
    billing: str = "active",
    tied: bool = False,
) -> TestTenant:
    """Make a tenant with its first key."""
    key = new_key()
    organization, workspace, user = uuid4(), uuid4(), uuid4()
    values = {
        "organization": organization, "workspace": workspace, "user": user, "billing": billing, "role": role,
        "organization_role": organization_role, "customer": f"cus_{organization.hex}", "hash": key.key_hash,
        "tied": workspace if tied else None, "scopes": list(scopes),
    }  # fmt: skip
    with psycopg.connect(superuser_url) as connection:
        for statement in (_ORGANIZATION, _USER, _MEMBER, _WORKSPACE, _WORKSPACE_MEMBER, _KEY):
            connection.execute(statement, values)
    return TestTenant(organization, workspace, user, key.key, f"cus_{organization.hex}")


def add_key(
    superuser_url: str, tenant: TestTenant, *, scopes: Sequence[str], tied: bool = False, expired: bool = False
) -> str:
    """Another key of the tenant's user."""
    key = new_key()
    values = {
        "hash": key.key_hash, "user": tenant.user_id, "tied": tenant.workspace_id if tied else None,
        "scopes": list(scopes),
    }  # fmt: skip
    with psycopg.connect(superuser_url) as connection:
        connection.execute(_KEY, values)
        if expired:
            connection.execute(
                "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE key_hash = %s", (key.key_hash,)
            )
    return key.key


def add_member(superuser_url: str, tenant: TestTenant, *, role: str, scopes: Sequence[str] = ("read", "write")) -> str:
    """The key of somebody else of the tenant's organization, with this role in its workspace."""
    key = new_key()
    values = {
        "organization": tenant.organization_id, "workspace": tenant.workspace_id, "user": uuid4(), "role": role,
        "organization_role": "member", "hash": key.key_hash, "tied": None, "scopes": list(scopes),
    }  # fmt: skip
    with psycopg.connect(superuser_url) as connection:
        for statement in (_USER, _MEMBER, _WORKSPACE_MEMBER, _KEY):
            connection.execute(statement, values)
    return key.key
