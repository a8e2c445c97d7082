"""Secrets are shown once, to who made them: they are in no log, and a copy of the database holds none."""

import io
import logging
import subprocess
from collections.abc import Callable
from math import log2
from typing import Any

import httpx
import psycopg
import pytest

from local.postgres import Postgres
from local.postgres_files import binaries
from minirag.tenancy.api_keys import new_key, well_formed
from tests.conftest import WEBHOOK_SECRET
from tests.fakes.oidc_server import OidcServer
from tests.functions.admin.signing_in import KEY, PAGE, Browser, Person, somebody
from tests.scripts.typed import typed
from tests.tenants import TestTenant

QUESTION = "Where did the lighthouse of Alexandria stand, and who paid for it?"
TEXT = "The lighthouse stood on Pharos. Sostratus of Cnidus dedicated it to the saviour gods."


def dump(postgres: Postgres) -> str:
    """The whole database, as a backup has it."""
    command = [str(binaries(None) / "pg_dump"), postgres.superuser_url]
    done = subprocess.run(command, capture_output=True, timeout=100, check=True)
    return done.stdout.decode()


def spellings(secret: str) -> list[str]:
    """How a secret may be written: as it is, and as PostgreSQL writes bytes."""
    return [secret, secret.encode().hex()]


@pytest.mark.usefixtures("provider")
def test_keys_and_tokens_are_in_no_dump_of_the_database_and_in_no_log(
    api: httpx.Client,
    tenant: TestTenant,
    postgres: Postgres,
    provider: OidcServer,
    sign_in: Callable[[Person], Browser],
    superuser: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    (handler,) = logging.getLogger("mini-rag").handlers
    monkeypatch.setattr(handler, "stream", shown)
    caplog.set_level(logging.DEBUG)
    # The client's own log says what it sent.
    caplog.set_level(logging.WARNING, logger="httpx")
    keys = [
        api.post("/api/v1/api-keys", headers=tenant.headers, json={"scopes": scopes, **more}).json()
        for scopes in (["read"], ["read", "write"], ["read", "write", "admin"])
        for more in ({}, {"workspace_id": str(tenant.workspace_id)})
    ]
    # The last one may administer, so that it can be turned into another.
    rotated = api.post(
        f"/api/v1/api-keys/{keys[-1]['id']}/rotate", headers=tenant.headers, json={"grace_seconds": 60}
    ).json()
    secrets = [one["key"] for one in [*keys, rotated]]
    secrets.append(
        typed("manage_api_keys.py", postgres.app_url)(
            "create", "--user", tenant.user_id, "--scope", "read"
        ).stdout.strip()
    )
    unknown, mistyped = new_key().key, secrets[0][:-1] + ("0" if secrets[0][-1] != "0" else "1")
    browser = sign_in(somebody())
    token = browser.token
    for key in [*secrets, unknown, mistyped, tenant.key]:
        for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
            api.post("/api/v1/ask", headers=headers, json={"query": QUESTION})
            api.post("/api/v1/ingest/text", headers=headers, json={"title": "Pharos", "text": TEXT})
            api.get("/api/v1/sources", headers=headers, params={"api_key": key})
            api.get("/api/v1/sources/nothing", headers=headers)
    api.delete(f"/api/v1/api-keys/{keys[0]['id']}", headers=tenant.headers)
    api.get("/auth/me", headers={"X-API-Key": secrets[0]})
    browser.http.post("/auth/logout", headers=PAGE, json={})
    secrets += [unknown, mistyped, tenant.key, token, KEY.partition(":")[2], provider.client_secret]
    secrets.append(WEBHOOK_SECRET)
    logged, stored = shown.getvalue() + caplog.text, dump(postgres)
    # They were at work, and what is not secret is there.
    assert "request.completed" in logged
    assert str(tenant.workspace_id) in stored
    assert keys[0]["prefix"] in stored
    assert superuser.execute("SELECT count(*) FROM api_keys WHERE length(key_hash) <> 32").fetchone() == (0,)
    spelled = [one for secret in secrets for one in spellings(secret)]
    found = [one for one in spelled if one in logged or one in stored]
    print(f"{len(secrets)} secrets, {len(stored)} characters of dump and {len(logged)} of log: {len(found)} found")
    assert found == []
    # Nor what was asked and stored, in the log.
    assert QUESTION not in logged
    assert "Sostratus" not in logged


def test_a_key_has_more_than_160_random_bits_and_a_checksum() -> None:
    key = new_key().key
    random, checksum = key[5:37], key[37:]
    assert (key[:5], len(random), len(checksum)) == ("mrag_", 32, 6)
    assert len(random) * log2(62) >= 160
    assert well_formed(key)
    # Whatever one character is mistaken for, it shows.
    for at in range(5, len(key)):
        for other in "0Aa":
            if key[at] != other:
                assert not well_formed(key[:at] + other + key[at + 1 :])
    assert len({new_key().key for _ in range(1000)}) == 1000
