"""Keys from the command line, as an operator types it."""

import json
from uuid import UUID, uuid4

import httpx
import pytest

from local.postgres import Postgres
from tests.scripts.typed import Run, typed
from tests.tenants import TestTenant


@pytest.fixture
def run(postgres: Postgres) -> Run:
    return typed("manage_api_keys.py", postgres.app_url)


def test_a_key_is_made_listed_and_revoked(run: Run, api: httpx.Client, tenant: TestTenant) -> None:
    made = run("create", "--user", tenant.user_id, "--scope", "read", "write")
    assert made.returncode == 0, made.stderr
    (key,) = made.stdout.split()
    assert api.get("/api/v1/sources", headers={"X-API-Key": key}).status_code == 200
    assert api.get("/api/v1/api-keys", headers={"X-API-Key": key}).status_code == 403
    listed = [json.loads(line) for line in run("list", "--user", tenant.user_id).stdout.splitlines()]
    (one,) = [found for found in listed if key.startswith(found["prefix"])]
    assert one["scopes"] == ["read", "write"]
    assert one["last_used_at"] is not None
    assert key not in json.dumps(listed)
    everyone = run("list").stdout
    assert one["id"] in everyone
    assert run("revoke", one["id"]).returncode == 0
    assert api.get("/api/v1/sources", headers={"X-API-Key": key}).status_code == 401


def test_a_key_may_be_tied_to_a_workspace_of_the_user(run: Run, api: httpx.Client, tenant: TestTenant) -> None:
    made = run("create", "--user", tenant.user_id, "--scope", "read", "--workspace", tenant.workspace_id, "--days", 1)
    me = api.get("/auth/me", headers={"X-API-Key": made.stdout.strip()}).json()
    assert UUID(me["credential"]["workspace_id"]) == tenant.workspace_id
    assert me["credential"]["expires_at"] is not None
    foreign = run("create", "--user", tenant.user_id, "--scope", "read", "--workspace", uuid4())
    assert foreign.returncode == 1
    assert "not in a workspace" in foreign.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "--user", uuid4(), "--scope", "read"), "There is no user"),
        (("revoke", uuid4()), "There is no API key"),
        (("create", "--user", "me", "--scope", "read"), "invalid UUID value"),
        (("create", "--user", uuid4(), "--scope", "everything"), "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: tuple[object, ...], sentence: str) -> None:
    refused = run(*arguments)
    assert refused.returncode != 0
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_the_databases_address_it_says_what_to_set(run: Run) -> None:
    refused = run("list", MINIRAG_DATABASE_URL="")
    assert refused.returncode == 2
    assert "MINIRAG_DATABASE_URL" in refused.stderr
    assert "dev.env" in refused.stderr
