"""Workspaces, API keys and health."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from local.postgres import Postgres
from minirag.tenancy.api_keys import hash_key, well_formed
from tests import tenants
from tests.tenants import TestTenant


def test_a_new_workspace_belongs_to_the_callers_organization_and_can_be_used(
    api: httpx.Client, tenant: TestTenant
) -> None:
    made = api.post("/api/v1/workspaces", headers=tenant.headers, json={"name": "Contracts"})
    assert made.status_code == 201
    assert made.json()["organization_id"] == str(tenant.organization_id)
    listed = api.get("/api/v1/sources", headers=tenant.headers, params={"workspace_id": made.json()["id"]})
    assert listed.json() == {"items": [], "next_cursor": None}


def test_a_new_key_is_shown_once_and_only_its_hash_is_stored(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    body = {"scopes": ["read"], "workspace_id": str(tenant.workspace_id), "description": "CI"}
    made = api.post("/api/v1/api-keys", headers=tenant.headers, json=body)
    assert made.status_code == 201
    key = made.json()["key"]
    assert well_formed(key)
    row = superuser.execute(
        "SELECT key_hash, api_keys::text FROM api_keys WHERE id = %s", (made.json()["id"],)
    ).fetchone()
    assert row is not None
    assert row[0] == hash_key(key)
    assert key[12:] not in row[1]
    assert api.get("/api/v1/sources", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert api.request("DELETE", f"/api/v1/sources/{uuid4()}", headers={"X-API-Key": key}).status_code == 403


def test_a_key_cannot_give_scopes_it_lacks(api: httpx.Client, postgres: Postgres, tenant: TestTenant) -> None:
    key = tenants.add_key(postgres.superuser_url, tenant, scopes=["read", "admin"])
    refused = api.post("/api/v1/api-keys", headers={"X-API-Key": key}, json={"scopes": ["read", "write"]})
    assert refused.status_code == 403
    assert "write" in refused.json()["detail"]


def test_a_key_that_ends_makes_none_that_outlives_it(
    api: httpx.Client, postgres: Postgres, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    key = tenants.add_key(postgres.superuser_url, tenant, scopes=["read", "admin"])
    ends = datetime.now(UTC) + timedelta(hours=1)
    superuser.execute("UPDATE api_keys SET expires_at = %s WHERE key_hash = %s", (ends, hash_key(key)))
    for wanted in (None, (ends + timedelta(days=1)).isoformat()):
        body = {"scopes": ["read"], "expires_at": wanted}
        made = api.post("/api/v1/api-keys", headers={"X-API-Key": key}, json=body)
        assert datetime.fromisoformat(made.json()["expires_at"]) == ends


def test_a_key_tied_to_a_workspace_makes_only_keys_tied_to_it_and_no_workspace(
    api: httpx.Client, make_tenant: Callable[..., TestTenant]
) -> None:
    tied = make_tenant(tied=True)
    made = api.post("/api/v1/api-keys", headers=tied.headers, json={"scopes": ["read"]})
    assert made.json()["workspace_id"] == str(tied.workspace_id)
    assert api.post("/api/v1/workspaces", headers=tied.headers, json={"name": "x"}).status_code == 403


def test_a_member_of_the_organization_makes_no_workspace(
    api: httpx.Client, make_tenant: Callable[..., TestTenant]
) -> None:
    member = make_tenant(organization_role="member")
    assert api.post("/api/v1/workspaces", headers=member.headers, json={"name": "x"}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": ["read"], "expires_at": "2026-01-01T00:00:00"},
        {"scopes": ["read"], "expires_at": (datetime.now(UTC) - timedelta(days=1)).isoformat()},
        {"scopes": ["read"], "expires_at": "9999-12-31T23:59:59-14:00"},
        {"scopes": ["read"], "surprise": 1},
        {},
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(api: httpx.Client, tenant: TestTenant, body: dict[str, Any]) -> None:
    refused = api.post("/api/v1/api-keys", headers=tenant.headers, json=body)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"


def test_workspaces_and_keys_leave_a_line_in_the_audit_log(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    headers = {**tenant.headers, "X-Request-ID": "audit-1"}
    api.post("/api/v1/workspaces", headers=headers, json={"name": "Contracts"})
    api.post("/api/v1/api-keys", headers=headers, json={"scopes": ["read"]})
    rows = superuser.execute(
        "SELECT action, user_id, request_id, ip FROM audit_log WHERE organization_id = %s ORDER BY id",
        (tenant.organization_id,),
    ).fetchall()
    assert rows == [
        ("workspace.create", tenant.user_id, "audit-1", "127.0.0.1"),
        ("api_key.create", tenant.user_id, "audit-1", "127.0.0.1"),
    ]


@pytest.mark.parametrize("path", ["/health", "/ready", "/version", "/openapi.json"])
def test_health_and_description_need_no_key(api: httpx.Client, path: str) -> None:
    assert api.get(path).status_code == 200
