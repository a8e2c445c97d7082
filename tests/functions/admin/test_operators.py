"""What operators do, and what they cannot do by mistake."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis

from functions.admin import seal
from local.valkey import Valkey
from minirag.runtime import settings
from minirag.tenancy import browser, tokens
from minirag.tenancy.credentials import ISSUER
from tests.fakes.oidc_server import OidcServer
from tests.functions.admin.signing_in import Browser, changed
from tests.tenants import TestTenant, add_key
from tests.transport import context


@pytest.fixture
def sign_in_as(provider: OidcServer) -> Any:  # noqa: ARG001
    """The cookie of a new session of a tenant's user."""

    def cookie(tenant: TestTenant) -> dict[str, str]:
        session = tokens.new_session(tenant.user_id, email="", role="user", epoch=0, now=datetime.now(UTC))
        token = tokens.sign_session(session, settings.current().session_keys, issuer=ISSUER)
        return {"Cookie": browser.set_cookie(browser.SESSION, token, seconds=60).partition(";")[0]}

    return cookie


def test_a_limit_that_is_not_named_stays(api: httpx.Client, operator: TestTenant) -> None:
    place = f"/api/v1/admin/quotas/{operator.workspace_id}"
    api.put(place, headers=operator.headers, json={"storage_bytes_limit": 100, "cost_limit_usd_a_month": 0.25})
    set_now = api.put(place, headers=operator.headers, json={"chunk_limit": 5}).json()
    assert set_now == api.get(place, headers=operator.headers).json()
    assert (set_now["storage_bytes_limit"], set_now["chunk_limit"], set_now["cost_limit_usd_a_month"]) == (100, 5, 0.25)
    assert api.put(place, headers=operator.headers, json={"chunk_limit": None}).json()["chunk_limit"] is None
    line = api.get("/api/v1/admin/audit", headers=operator.headers, params={"action": "admin.quotas"}).json()
    assert line["items"][0]["detail"] == {"chunk_limit": "5 -> None"}


def test_the_counts_are_of_the_last_five_minutes_and_say_of_when(
    api: httpx.Client, operator: TestTenant, valkey: Valkey, superuser: psycopg.Connection[Any]
) -> None:
    def read() -> tuple[str, dict[str, Any]]:
        answer = api.get("/api/v1/admin/stats", headers=operator.headers)
        assert answer.status_code == 200
        return answer.headers["X-Cache"], answer.json()

    def seconds_ago(counted: dict[str, Any]) -> float:
        return (datetime.now(UTC) - datetime.fromisoformat(counted["as_of"])).total_seconds()

    with redis.Redis.from_url(valkey.url) as cache, changed(MINIRAG_REDIS_URL=valkey.url):
        cache.delete(*cache.keys("stats:system:*"), "none")
        first = read()
        (key,) = cache.keys("stats:system:*")
        left = cache.pttl(key)
        superuser.execute(
            "INSERT INTO organizations (id, name, slug) VALUES (%(id)s, '', %(id)s::text)", {"id": uuid4()}
        )
        second = read()
        cache.delete(key)
        third = read()
    assert (first[0], second, third[0]) == ("miss", ("hit", first[1]), "miss")
    assert third[1]["organizations"] == first[1]["organizations"] + 1
    assert 0 <= seconds_ago(third[1]) <= seconds_ago(first[1]) < 60
    assert 0 < left <= 300_000
    # Without a cache it is counted each time.
    assert [read()[0] for _ in range(2)] == ["miss"] * 2


def test_only_operators_see_counts_that_are_cached(
    api: httpx.Client, operator: TestTenant, make_tenant: Any, valkey: Valkey
) -> None:
    with changed(MINIRAG_REDIS_URL=valkey.url):
        api.get("/api/v1/admin/stats", headers=operator.headers)
        assert api.get("/api/v1/admin/stats", headers=operator.headers).headers["X-Cache"] == "hit"
        refused = api.get("/api/v1/admin/stats", headers=make_tenant().headers)
    assert refused.status_code == 403
    assert "X-Cache" not in refused.headers


def test_what_is_cleared_is_found_no_more_of_one_workspace_or_of_all(
    api: httpx.Client, operator: TestTenant, make_tenant: Any, superuser: psycopg.Connection[Any]
) -> None:
    def versions(tenant: TestTenant) -> Any:
        statement = "SELECT generation, sources_version FROM workspaces WHERE id = %s"
        return superuser.execute(statement, (tenant.workspace_id,)).fetchone()

    def clear(**body: str) -> dict[str, int]:
        answer = api.post("/api/v1/admin/cache/clear", headers=operator.headers, json=body)
        assert answer.status_code == 200, answer.text
        cleared: dict[str, int] = answer.json()
        return cleared

    one, other = make_tenant(), make_tenant()
    assert clear(workspace_id=str(one.workspace_id)) == {"workspaces": 1}
    assert (versions(one), versions(other)) == ((1, 1), (0, 0))
    assert clear()["workspaces"] >= 3
    assert (versions(one), versions(other)) == ((2, 2), (1, 1))


def test_a_mistyped_filter_does_not_export_everything(api: httpx.Client, operator: TestTenant) -> None:
    for place in ("/api/v1/admin/audit", "/api/v1/admin/audit/export"):
        refused = api.get(place, headers=operator.headers, params={"actions": "admin"})
        assert refused.status_code == 422
        assert "action" in refused.json()["detail"]


def test_the_export_has_what_the_list_has_and_no_formula(api: httpx.Client, operator: TestTenant) -> None:
    mine = {"user_id": str(operator.user_id)}
    agent = "=HYPERLINK(1)"
    for name in ("one", "two"):
        headers = {**operator.headers, "User-Agent": agent}
        api.post("/api/v1/workspaces", headers=headers, json={"name": name})
    listed = api.get("/api/v1/admin/audit", headers=operator.headers, params={**mine, "limit": 1}).json()
    exported = api.get("/api/v1/admin/audit/export", headers=operator.headers, params={**mine, "limit": 1})
    assert exported.headers["X-Next-Cursor"] == listed["next_cursor"]
    table = api.get("/api/v1/admin/audit/export", headers=operator.headers, params={**mine, "format": "csv"})
    assert table.headers["Content-Type"].startswith("text/csv")
    assert table.text.count(f'"\'{agent}"') == 2


def test_the_verdict_names_the_end_of_the_chain(api: httpx.Client, operator: TestTenant) -> None:
    api.post("/api/v1/workspaces", headers=operator.headers, json={"name": "one"})
    sealed = seal.handler({}, context())["sealed"]
    assert sealed > 0
    api.post("/api/v1/workspaces", headers=operator.headers, json={"name": "two"})
    verdict = api.get("/api/v1/admin/audit/verify", headers=operator.headers).json()
    assert (len(verdict["head"]), verdict["unsealed"]) == (64, 1)
    newest = api.get("/api/v1/admin/audit", headers=operator.headers, params={"limit": 2}).json()["items"]
    assert [entry["link"] for entry in newest] == [None, verdict["head"]]


def test_the_platform_keeps_an_operator(
    api: httpx.Client, operator: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute("UPDATE users SET role = 'user' WHERE id <> %s", (operator.user_id,))
    other = {"email": f"{uuid4()}@example.com"}
    made = api.post("/api/v1/admin/users", headers=operator.headers, json=other).json()
    place = f"/api/v1/admin/users/{made['id']}"
    assert api.patch(place, headers=operator.headers, json={"role": "admin"}).json()["role"] == "admin"
    # Meanwhile demoted by that one: who is left cannot be demoted any more.
    superuser.execute("UPDATE users SET role = 'user' WHERE id = %s", (operator.user_id,))
    row = superuser.execute(
        "SELECT set_config('app.operator', 'on', false), change_user(%s, NULL, 'suspended')", (made["id"],)
    ).fetchone()
    assert row == ("on", "last")


def test_an_empty_change_ends_nobodys_sessions(
    api: httpx.Client, operator: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    made = api.post("/api/v1/admin/users", headers=operator.headers, json={"email": f"{uuid4()}@example.com"}).json()
    api.patch(f"/api/v1/admin/users/{made['id']}", headers=operator.headers, json={})
    epoch = superuser.execute("SELECT session_epoch FROM users WHERE id = %s", (made["id"],)).fetchone()
    assert epoch == (0,)


def test_a_key_that_ends_is_turned_into_none_that_does_not(
    api: httpx.Client, tenant: TestTenant, postgres: Any
) -> None:
    scopes = ["read", "write", "admin"]
    endless = api.post("/api/v1/api-keys", headers=tenant.headers, json={"scopes": scopes}).json()
    tonight = {"scopes": scopes, "expires_at": "2090-01-01T00:00:00Z"}
    ending = api.post("/api/v1/api-keys", headers=tenant.headers, json=tonight).json()
    rotated = api.post(f"/api/v1/api-keys/{endless['id']}/rotate", headers={"X-API-Key": ending["key"]}, json={}).json()
    assert rotated["expires_at"] == ending["expires_at"]
    assert add_key(postgres.superuser_url, tenant, scopes=("read",))


def test_a_host_that_is_named_twice_harms_nobody(api: httpx.Client) -> None:
    answer = api.send(httpx.Request("GET", "https://minirag.test/health", headers=[("Host", "a:1"), ("Host", "b")]))
    assert answer.status_code == 200


@pytest.mark.usefixtures("provider")
def test_nobody_fills_the_audit_log_by_repeating_a_sign_in(valkey: Valkey, superuser: psycopg.Connection[Any]) -> None:
    counted = "SELECT count(*) FROM audit_log WHERE action = 'auth.sign_in_refused'"
    before = superuser.execute(counted).fetchone()
    with changed(MINIRAG_REDIS_URL=valkey.url):
        chrome = Browser()
        state = parse_qs(urlsplit(chrome.begin()).query)["state"][0]
        for _ in range(40):
            chrome.http.get("/auth/callback", params={"code": "x", "state": state})
    after = superuser.execute(counted).fetchone()
    assert before is not None
    assert after is not None
    assert 1 <= after[0] - before[0] <= 12


def test_a_session_that_is_over_takes_nothing_from_its_user(
    api: httpx.Client, tenant: TestTenant, valkey: Valkey, sign_in_as: Any
) -> None:
    over, good = sign_in_as(tenant), sign_in_as(tenant)
    api.post("/auth/logout", headers={**over, "Sec-Fetch-Site": "same-origin"}, json={})
    with changed(MINIRAG_REDIS_URL=valkey.url):
        for _ in range(35):
            headers = {**over, "Sec-Fetch-Site": "same-origin"}
            assert api.post("/api/v1/search", headers=headers, json={"query": "x"}).status_code in {401, 429}
        headers = {**good, "Sec-Fetch-Site": "same-origin"}
        answer = api.post("/api/v1/search", headers=headers, json={"query": "x"})
    assert (answer.status_code, answer.headers["RateLimit-Remaining"]) == (200, "29")
