"""The demo tenant: one organization with one user, one workspace and one API key."""

from typing import Final, NamedTuple
from uuid import UUID

import psycopg

from minirag.tenancy.api_keys import hash_key

# Fixed ids, so that making them again changes nothing.
_ORGANIZATION: Final = UUID("0d3a0000-0000-4000-8000-000000000001")
_WORKSPACE: Final = UUID("0d3a0000-0000-4000-8000-000000000002")
_USER: Final = UUID("0d3a0000-0000-4000-8000-000000000003")
_KEY: Final = UUID("0d3a0000-0000-4000-8000-000000000004")

_STATEMENTS: Final = (
    """
    INSERT INTO users (id, email, name, role) VALUES (%(user)s, 'demo@example.com', 'Demo', 'admin')
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO organizations (id, name, slug, billing_status) VALUES (%(organization)s, 'Demo', 'demo', 'active')
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO user_organizations (organization_id, user_id, role) VALUES (%(organization)s, %(user)s, 'owner')
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO workspaces (id, organization_id, name) VALUES (%(workspace)s, %(organization)s, 'Demo')
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO workspace_members (organization_id, workspace_id, user_id, role)
    VALUES (%(organization)s, %(workspace)s, %(user)s, 'admin')
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO api_keys (id, key_hash, prefix, user_id, scopes, description)
    VALUES (%(key)s, %(key_hash)s, %(prefix)s, %(user)s, '{read,write,admin}', 'Demo')
    ON CONFLICT (id) DO UPDATE SET key_hash = excluded.key_hash, prefix = excluded.prefix
    """,
)


class DemoTenant(NamedTuple):
    """What was made, or was there already."""

    workspace_id: UUID
    organization_id: UUID
    user_id: UUID


def seed(superuser_url: str, api_key: str) -> DemoTenant:
    """Make the demo tenant, whose key is `api_key`, unless it is there."""
    values = {
        "organization": _ORGANIZATION, "workspace": _WORKSPACE, "user": _USER, "key": _KEY,
        "key_hash": hash_key(api_key), "prefix": api_key[:12],
    }  # fmt: skip
    with psycopg.connect(superuser_url) as connection:
        for statement in _STATEMENTS:
            connection.execute(statement, values)
    return DemoTenant(_WORKSPACE, _ORGANIZATION, _USER)
