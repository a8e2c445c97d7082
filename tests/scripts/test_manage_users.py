"""Users from the command line, as an operator types it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.tenants import TestTenant

ROOT = Path(__file__).parent.parent.parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(stack_env: dict[str, str]) -> Run:
    """Run the script as a file, with nothing set but the database's address."""
    variables = {"PATH": os.environ["PATH"], "MINIRAG_DATABASE_URL": stack_env["MINIRAG_DATABASE_URL"]}

    def script(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "scripts/manage_users.py", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)

    return script


def test_the_first_operator_is_made_from_the_command_line(run: Run, api: httpx.Client, tenant: TestTenant) -> None:
    assert api.get("/api/v1/admin/stats", headers=tenant.headers).status_code == 403
    assert json.loads(run("change", tenant.user_id, "--role", "admin").stdout)["role"] == "admin"
    assert api.get("/api/v1/admin/stats", headers=tenant.headers).status_code == 200
    run("change", tenant.user_id, "--role", "user", "--status", "suspended")
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
