"""Sessions, once signed in: when they end, what signs them, and the lines in the audit log that tell of them."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from local.postgres import Postgres
from minirag.tenancy.api_keys import hash_key
from tests import tenants
from tests.fakes.oidc_server import OidcServer
from tests.functions.admin.signing_in import (
    KEY,
    PAGE,
    SESSION,
    Browser,
    Person,
    changed,
    replayed,
    sessions_in,
    somebody,
)
from tests.tenants import TestTenant

pytestmark = pytest.mark.usefixtures("provider")

Superuser = psycopg.Connection[Any]


def audited(superuser: Superuser, request_id: str) -> list[tuple[Any, ...]]:
    return superuser.execute(
        "SELECT action, user_id::text, target, ip FROM audit_log WHERE request_id = %s ORDER BY id", (request_id,)
    ).fetchall()


@pytest.mark.parametrize("change", [{"status": "suspended"}, {"role": "admin"}, {"role": "user"}])
def test_all_sessions_of_a_user_end_when_an_operator_changes_them(
    api: httpx.Client,
    operator: TestTenant,
    sign_in: Callable[[Person], Browser],
    superuser: Superuser,
    change: dict[str, str],
) -> None:
    ada, grace = somebody(), sign_in(somebody())
    browsers = [sign_in(ada), sign_in(ada)]
    user_id = browsers[0].me()["user"]["id"]
    superuser.execute("UPDATE users SET role = 'admin' WHERE id = %s", (user_id,))
    assert browsers[0].get("/api/v1/admin/stats").status_code == 200
    assert api.patch(f"/api/v1/admin/users/{user_id}", headers=operator.headers, json=change).status_code == 200
    assert [browser.get("/auth/me").status_code for browser in browsers] == [401, 401]
    assert browsers[0].get("/api/v1/admin/stats").status_code == 401
    grace.me()


def test_logging_out_ends_this_session_at_once_and_no_other(
    api: httpx.Client, sign_in: Callable[[Person], Browser]
) -> None:
    ada = somebody()
    here, there = sign_in(ada), sign_in(ada)
    token = here.token
    assert replayed(api, token).status_code == 200
    answer = here.post("/auth/logout", {})
    assert answer.status_code == 204
    assert SESSION not in here.http.cookies
    assert sessions_in(answer) == []
    assert replayed(api, token).status_code == 401
    there.me()


def test_logging_out_everywhere_ends_all_sessions_and_the_next_sign_in_works(
    api: httpx.Client, sign_in: Callable[[Person], Browser]
) -> None:
    ada, grace = somebody(), sign_in(somebody())
    here, there = sign_in(ada), sign_in(ada)
    tokens = [here.token, there.token]
    assert here.post("/auth/logout", {"everywhere": True}).status_code == 204
    assert [replayed(api, token).status_code for token in tokens] == [401, 401]
    sign_in(ada).me()
    grace.me()


def test_a_key_is_no_session_to_log_out_of(api: httpx.Client, tenant: TestTenant) -> None:
    assert api.post("/auth/logout", headers=tenant.headers, json={}).status_code == 403
    assert api.get("/auth/me", headers=tenant.headers).json()["credential"]["kind"] == "key"


def test_sessions_outlive_the_key_that_signed_them_until_it_is_taken_away(
    api: httpx.Client, sign_in: Callable[[Person], Browser]
) -> None:
    ada = somebody()
    before = sign_in(ada)
    new = "newer:" + "n" * 32
    with changed(MINIRAG_SESSION_KEYS=f"{new},{KEY}"):
        before.me()
        after = sign_in(ada).token
    with changed(MINIRAG_SESSION_KEYS=new):
        assert replayed(api, after).status_code == 200
        assert replayed(api, before.token).status_code == 401
    assert replayed(api, after).status_code == 401


def test_signing_in_and_out_leave_lines_in_the_audit_log(
    provider: OidcServer, sign_in: Callable[[Person], Browser], superuser: Superuser
) -> None:
    ada = somebody()
    provider.become(ada.subject, ada.email, ada.name)
    browser = Browser()
    browser.attempt(**{"X-Request-ID": f"in-{ada.subject}", "User-Agent": "Mozilla"})
    user_id = browser.me()["user"]["id"]
    (made, signed_in) = audited(superuser, f"in-{ada.subject}")
    assert (made[0], made[1], made[3]) == ("organization.create", user_id, "127.0.0.1")
    assert (signed_in[0], signed_in[1], signed_in[3]) == ("auth.sign_in", user_id, "127.0.0.1")
    for number, (body, action) in enumerate(
        (({}, "auth.sign_out"), ({"everywhere": True}, "auth.sign_out_everywhere"))
    ):
        name = f"out-{number}-{ada.subject}"
        sign_in(ada).http.post("/auth/logout", json=body, headers=PAGE | {"X-Request-ID": name})
        ((found, who, _, ip),) = audited(superuser, name)
        assert (found, who, ip) == (action, user_id, "127.0.0.1")
    lines = "SELECT string_agg(audit_log::text, ' ') FROM audit_log WHERE user_id = %s"
    stored = superuser.execute(lines, (user_id,)).fetchone()
    assert stored is not None
    for secret in (browser.token, provider.client_secret, ada.email):
        assert secret not in stored[0]


def test_sign_ins_that_are_refused_leave_a_line_with_the_reason(
    api: httpx.Client,
    provider: OidcServer,
    operator: TestTenant,
    sign_in: Callable[[Person], Browser],
    superuser: Superuser,
) -> None:
    ada = somebody()
    user_id = sign_in(ada).me()["user"]["id"]

    def lines(reason: str) -> list[tuple[Any, ...]]:
        name = f"{reason}-{ada.subject}"
        assert Browser().attempt(**{"X-Request-ID": name}).status_code in {401, 403}
        return audited(superuser, name)

    provider.become("another", ada.email, ada.name)
    assert lines("taken") == [("auth.sign_in_refused", user_id, "taken", "127.0.0.1")]
    provider.become(ada.subject, ada.email, ada.name)
    provider.misbehave("wrong nonce")
    assert lines("nonce") == [("auth.sign_in_refused", None, "sign_in_failed", "127.0.0.1")]
    provider.reset()
    api.patch(f"/api/v1/admin/users/{user_id}", headers=operator.headers, json={"status": "suspended"})
    provider.become(ada.subject, ada.email, ada.name)
    assert lines("suspended") == [("auth.sign_in_refused", user_id, "suspended", "127.0.0.1")]
    uninvited = somebody()
    provider.become(uninvited.subject, uninvited.email, uninvited.name)
    with changed(MINIRAG_SIGN_UP="invited"):
        assert lines("uninvited") == [("auth.sign_in_refused", None, "uninvited", "127.0.0.1")]


def test_a_credential_that_is_over_leaves_one_line_a_minute(
    api: httpx.Client,
    postgres: Postgres,
    tenant: TestTenant,
    sign_in: Callable[[Person], Browser],
    superuser: Superuser,
) -> None:
    key = tenants.add_key(postgres.superuser_url, tenant, scopes=["read"], expired=True)
    browser = sign_in(somebody())
    user_id, token = browser.me()["user"]["id"], browser.token
    browser.post("/auth/logout", {})
    minute_ago = "refused_at = refused_at - interval '61 seconds'"

    def refuse(name: str) -> list[int]:
        presented = ({"X-API-Key": key}, {"Cookie": f"{SESSION}={token}"})
        answers = [api.get("/auth/me", headers=one | {"X-Request-ID": name}) for one in presented for _ in range(3)]
        assert {answer.status_code for answer in answers} == {401}
        return [len(audited(superuser, name))]

    first, second, third = (f"{number}-{user_id}" for number in range(3))
    assert refuse(first) == [2]
    refused = [("auth.refused", str(tenant.user_id), "expired"), ("auth.refused", user_id, "ended")]
    assert [(action, who, why) for action, who, why, _ in audited(superuser, first)] == refused
    assert refuse(second) == [0]
    superuser.execute(f"UPDATE api_keys SET {minute_ago} WHERE key_hash = %s", (hash_key(key),))
    superuser.execute(f"UPDATE users SET {minute_ago} WHERE id = %s", (user_id,))
    assert refuse(third) == [2]
