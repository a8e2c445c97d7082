"""Users from the command line, as an operator types it."""

import json
from uuid import uuid4

import httpx
import psycopg
import pytest

from local.postgres import Postgres
from tests.scripts.typed import Run, typed
from tests.tenants import TestTenant


@pytest.fixture
def run(postgres: Postgres) -> Run:
    return typed("manage_users.py", postgres.app_url)


def test_the_first_operator_is_made_from_the_command_line(run: Run, api: httpx.Client, tenant: TestTenant) -> None:
    assert api.get("/api/v1/admin/stats", headers=tenant.headers).status_code == 403
    assert json.loads(run("change", tenant.user_id, "--role", "admin").stdout)["role"] == "admin"
    assert api.get("/api/v1/admin/stats", headers=tenant.headers).status_code == 200
    # The last one stays, so that there is a next one first.
    other = run("create", "--email", f"{uuid4()}@example.com").stdout.strip()
    run("change", other, "--role", "admin")
    assert run("change", tenant.user_id, "--role", "user", "--status", "suspended").returncode == 0
    assert api.get("/api/v1/sources", headers=tenant.headers).status_code == 401


def test_a_user_is_made_and_found_and_it_is_written_down(
    run: Run, superuser: psycopg.Connection[tuple[object, ...]]
) -> None:
    email = f"{uuid4()}@example.com"
    user_id = run("create", "--email", email.upper(), "--name", "Ada").stdout.strip()
    (found,) = [json.loads(line) for line in run("list", "--email", email).stdout.splitlines()]
    assert (found["id"], found["email"], found["name"]) == (user_id, email, "Ada")
    assert user_id in run("list").stdout
    line = superuser.execute("SELECT action, request_id FROM audit_log WHERE target = %s", (user_id,)).fetchall()
    assert line == [("admin.user.create", "manage_users")]
    again = run("create", "--email", email)
    assert (again.returncode, again.stdout) == (1, "")
    assert "already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "--email", "ada"), "is not an e-mail address"),
        (("change", uuid4(), "--status", "suspended"), "There is no such user"),
        (("change", uuid4(), "--role", "god"), "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: tuple[object, ...], sentence: str) -> None:
    refused = run(*arguments)
    assert refused.returncode != 0
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
