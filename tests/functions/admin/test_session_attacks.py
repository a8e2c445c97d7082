"""Attacks on sessions: forged tokens, pages of other sites, tossed cookies, and guessed keys."""

import io
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from minirag.tenancy.api_keys import hash_key, new_key
from tests.functions.admin.forging import forged
from tests.functions.admin.signing_in import (
    FOREIGN_HEADERS,
    KEY,
    LOGIN,
    ORIGIN,
    PAGE,
    SESSION,
    Browser,
    Person,
    replayed,
    somebody,
)
from tests.tenants import TestTenant

pytestmark = pytest.mark.usefixtures("provider")

Superuser = psycopg.Connection[Any]


def with_cookie(cookie: str, **headers: str) -> httpx.Headers:
    """Headers with a cookie of any characters."""
    return httpx.Headers({"Cookie": cookie, **headers}, encoding="utf-8")


def test_no_forged_token_is_a_session(api: httpx.Client, sign_in: Callable[[Person], Browser]) -> None:
    attacker, victim = sign_in(somebody()), sign_in(somebody())
    kid, _, secret = KEY.partition(":")
    forgeries = forged(attacker.token, kid, secret, victim=victim.me()["user"]["id"])
    other = Browser()
    other.begin()
    forgeries["a sign-in for a session"] = other.http.cookies[LOGIN]
    accepted = []
    for name, token in forgeries.items():
        answers = [
            api.get("/auth/me", headers=with_cookie(f"{SESSION}={token}")),
            api.post("/api/v1/organizations", headers=with_cookie(f"{SESSION}={token}", **PAGE), json={"name": "x"}),
        ]
        if [answer.status_code for answer in answers] != [401, 401]:
            accepted.append((name, answers))
    print(f"{len(forgeries)} forged tokens, {len(accepted)} sessions")
    assert accepted == []
    assert len(forgeries) >= 100
    # What they were forged from is good, and nobody has what the forged ones would have made.
    for browser in (attacker, victim):
        assert [one["name"] for one in browser.me()["organizations"]] == ["Ada Lovelace"]


def test_a_session_is_no_key_and_a_key_no_session(
    api: httpx.Client, tenant: TestTenant, sign_in: Callable[[Person], Browser]
) -> None:
    token = sign_in(somebody()).token
    assert replayed(api, token).status_code == 200
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"X-API-Key": token},
        {"Cookie": f"{SESSION}={tenant.key}"},
        {"Cookie": f"X-API-Key={tenant.key}"},
    ):
        assert api.get("/auth/me", headers=headers).status_code == 401
    assert api.get("/auth/me", params={"token": token, "api_key": tenant.key}).status_code == 401


def test_a_key_that_is_wrong_is_not_made_good_by_a_session_beside_it(sign_in: Callable[[Person], Browser]) -> None:
    browser = sign_in(somebody())
    assert browser.http.get("/auth/me", headers={"X-API-Key": new_key().key}).status_code == 401


@pytest.mark.parametrize("kind", FOREIGN_HEADERS)
def test_a_page_of_another_site_changes_nothing_by_the_session_that_comes_along(
    sign_in: Callable[[Person], Browser], kind: str
) -> None:
    browser = sign_in(somebody())
    before = browser.me()
    workspace = f"/api/v1/workspaces/{before['workspaces'][0]['id']}"
    organization = f"/api/v1/organizations/{before['organizations'][0]['id']}"
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/v1/organizations", {"json": {"name": "Evil"}}),
        # What a form sends needs nobody's leave.
        ("POST", "/api/v1/organizations", {"data": {"name": "Evil"}}),
        ("POST", "/api/v1/ingest/text", {"json": {"title": "Evil", "text": "Evil"}}),
        ("POST", "/api/v1/ask", {"json": {"query": "Evil?"}}),
        ("POST", "/auth/logout", {"json": {}}),
        ("PATCH", organization, {"json": {"name": "Evil"}}),
        ("PUT", f"/api/v1/admin/quotas/{before['workspaces'][0]['id']}", {"json": {}}),
        ("DELETE", workspace, {}),
    ]
    for method, path, body in attempts:
        answer = browser.http.request(method, path, headers=FOREIGN_HEADERS[kind], **body)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:minirag:problem:cross_site"), path
    assert browser.me() == before


@pytest.mark.parametrize("headers", [PAGE, {"Origin": ORIGIN}, {"Sec-Fetch-Site": "same-origin"}])
def test_a_page_of_ours_changes_what_its_person_may(
    sign_in: Callable[[Person], Browser], headers: dict[str, str]
) -> None:
    browser = sign_in(somebody())
    organization = f"/api/v1/organizations/{browser.me()['organizations'][0]['id']}"
    assert browser.http.patch(organization, headers=headers, json={"name": "Ours"}).status_code == 200
    made = browser.http.post("/api/v1/workspaces", headers=headers, json={"name": "More"})
    assert made.status_code == 201
    assert browser.http.delete(f"/api/v1/workspaces/{made.json()['id']}", headers=headers).status_code == 204
    assert browser.me()["organizations"][0]["name"] == "Ours"


def test_whoever_has_a_key_needs_no_page(api: httpx.Client, tenant: TestTenant) -> None:
    for headers in FOREIGN_HEADERS.values():
        answer = api.post("/api/v1/organizations", headers=tenant.headers | headers, json={"name": "Ours"})
        assert answer.status_code == 201


def test_a_tossed_cookie_is_not_taken_for_ours(api: httpx.Client, sign_in: Callable[[Person], Browser]) -> None:
    """Pages of neighbours can set cookies for our host too, but for the name that browsers keep for us."""
    ada, mallory = sign_in(somebody()), sign_in(somebody())
    token, evil = ada.token, mallory.token

    def who(cookie: str) -> str | None:
        answer = api.get("/auth/me", headers=with_cookie(cookie))
        assert answer.status_code in {200, 401}
        return answer.json()["user"]["id"] if answer.status_code == 200 else None

    for name in (
        *("minirag_session", "__Secure-minirag_session", "__host-minirag_session", "__HOST-minirag_session"),
        *("__Host-minirag_session ", "__Host-minirag_session\t", "__Host-minirag_session[]", "$__Host-minirag_session"),
        *("\xa0__Host-minirag_session", "\u2000__Host-minirag_session", "\x85__Host-minirag_session"),
        *(
            "=__Host-minirag_session",
            '"__Host-minirag_session"',
            "x=__Host-minirag_session",
            "__Host-minirag_session%20",
        ),
    ):
        assert who(f"{name}={evil}") is None, name
        assert who(f"{name}={evil}; {SESSION}={token}") == ada.me()["user"]["id"], name
    # Two of our own name, which no browser sends: one of them whole, whichever, and none made of both.
    both = {who(f"{SESSION}={first}; {SESSION}={second}") for first, second in ((token, evil), (evil, token))}
    assert both <= {ada.me()["user"]["id"], mallory.me()["user"]["id"]}
    assert who(f"{SESSION}=; {SESSION}={token}") is None
    assert who(f"{SESSION}={token}; {SESSION}=x") == ada.me()["user"]["id"]


def test_guessed_keys_are_refused_and_leave_no_trace(
    api: httpx.Client,
    tenant: TestTenant,
    superuser: Superuser,
    count: Callable[[int, int], int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred a second, each with a checksum that holds, so that every one is looked up in the database."""
    shown = io.StringIO()
    (handler,) = logging.getLogger("mini-rag").handlers
    monkeypatch.setattr(handler, "stream", shown)
    caplog.set_level(logging.DEBUG)
    keys = [new_key().key for _ in range(count(100, 300))]
    pause = count(0, 10) / 1000
    rows = "SELECT count(*) FROM audit_log"
    before = superuser.execute(rows).fetchone()
    started = time.monotonic()
    for number, key in enumerate(keys):
        time.sleep(max(0.0, started + number * pause - time.monotonic()))
        header = {"X-API-Key": key} if number % 2 else {"Authorization": f"Bearer {key}"}
        answer = api.get("/auth/me", headers=header)
        assert answer.status_code == 401
        assert key not in answer.text
    seconds = time.monotonic() - started
    print(f"{len(keys)} guessed keys in {seconds:.1f} s, 0 callers")
    assert seconds < 4
    assert superuser.execute(rows).fetchone() == before
    assert shown.getvalue().count('"status":401') == len(keys)
    logged = shown.getvalue() + caplog.text
    assert [key for key in keys if key[5:] in logged or hash_key(key).hex() in logged] == []
    assert api.get("/auth/me", headers=tenant.headers).status_code == 200
