"""Signing in, from end to end: the real handlers, a real provider, and what the database says afterwards."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from tests.fakes.oidc_server import OidcServer
from tests.functions.admin.signing_in import LOGIN, Browser, Person, changed, sessions_in, somebody
from tests.tenants import TestTenant

pytestmark = pytest.mark.usefixtures("provider")

Superuser = psycopg.Connection[Any]
DAY = 24 * 3600


def test_the_way_to_the_provider_and_back_ends_signed_in_and_where_one_wanted_to_go(provider: OidcServer) -> None:
    ada, browser = somebody(), Browser()
    provider.become(ada.subject, ada.email, ada.name)
    url = browser.begin("/documents?tag=a%20b")
    assert url.startswith(f"{provider.issuer}/authorize?")
    answer = browser.back(browser.at_provider(url))
    assert (answer.status_code, answer.headers["location"]) == (303, "/documents?tag=a%20b")
    session, login = answer.headers.get_list("set-cookie")
    name, _, rest = session.partition("=")
    assert name == "__Host-minirag_session"
    assert set(rest.split("; ")[1:]) == {"HttpOnly", "Secure", "SameSite=Lax", "Path=/", f"Max-Age={7 * DAY}"}
    assert login.startswith('__Host-minirag_login=""; ')
    assert "Max-Age=0" in login
    assert LOGIN not in browser.http.cookies
    me = browser.me()
    assert (me["user"]["email"], me["user"]["name"], me["user"]["role"]) == (ada.email, "Ada Lovelace", "user")
    assert (me["credential"]["kind"], me["credential"]["scopes"]) == ("session", ["admin", "read", "write"])


def test_the_cookie_of_the_attempt_is_as_well_kept_and_good_for_ten_minutes() -> None:
    answer = Browser().http.get("/auth/google")
    (login,) = answer.headers.get_list("set-cookie")
    assert login.startswith("__Host-minirag_login=")
    assert set(login.split("; ")[1:]) == {"HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"}
    assert answer.headers["cache-control"] == "no-store"


def test_a_page_of_ours_may_bring_the_answer_itself(provider: OidcServer) -> None:
    ada, browser = somebody(), Browser()
    provider.become(ada.subject, ada.email, ada.name)
    answer = browser.post("/auth/callback", browser.at_provider(browser.begin()))
    assert answer.status_code == 200
    assert answer.json() == browser.me()["user"]
    assert answer.json()["email"] == ada.email
    assert len(sessions_in(answer)) == 1


def test_a_user_is_made_once_and_follows_what_the_provider_says(
    provider: OidcServer, sign_in: Callable[[Person], Browser], superuser: Superuser
) -> None:
    ada = somebody()
    first = sign_in(ada).me()["user"]
    again = sign_in(ada).me()["user"]
    assert again == first
    renamed = Person(ada.subject, f"new-{ada.email}", "Ada King")
    later = sign_in(renamed).me()["user"]
    assert later == {"id": first["id"], "email": renamed.email, "name": "Ada King", "role": "user"}
    counts = "SELECT count(*), max(last_sign_in_at) > max(created_at) FROM users WHERE email IN (%s, %s)"
    assert superuser.execute(counts, (ada.email, renamed.email)).fetchone() == (1, True)
    identities = "SELECT issuer, subject FROM user_identities WHERE user_id = %s"
    assert superuser.execute(identities, (first["id"],)).fetchall() == [(provider.issuer, ada.subject)]


def test_a_new_address_that_is_somebody_elses_here_is_not_taken_over(sign_in: Callable[[Person], Browser]) -> None:
    ada, grace = somebody(), somebody()
    hers = sign_in(grace).me()["user"]
    before = sign_in(ada).me()["user"]
    after = sign_in(Person(ada.subject, grace.email, ada.name)).me()["user"]
    assert after == before
    assert sign_in(grace).me()["user"] == hers


def test_an_address_that_belongs_to_another_subject_is_refused(
    provider: OidcServer, sign_in: Callable[[Person], Browser]
) -> None:
    ada = somebody()
    sign_in(ada)
    provider.become("another", ada.email, "Somebody else")
    answer = Browser().attempt()
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:minirag:problem:sign_in_taken")
    assert sessions_in(answer) == []


def test_a_user_whom_an_operator_made_becomes_who_first_signs_in_with_the_address(
    api: httpx.Client, operator: TestTenant, sign_in: Callable[[Person], Browser]
) -> None:
    ada = somebody()
    made = api.post("/api/v1/admin/users", headers=operator.headers, json={"email": ada.email, "name": "Ada"})
    assert sign_in(ada).me()["user"]["id"] == made.json()["id"]


def test_who_is_suspended_cannot_sign_in_and_can_again_when_taken_back(
    api: httpx.Client, operator: TestTenant, sign_in: Callable[[Person], Browser]
) -> None:
    ada = somebody()
    path = f"/api/v1/admin/users/{sign_in(ada).me()['user']['id']}"
    assert api.patch(path, headers=operator.headers, json={"status": "suspended"}).status_code == 200
    answer = Browser().attempt()
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:minirag:problem:sign_in_suspended")
    assert sessions_in(answer) == []
    assert api.patch(path, headers=operator.headers, json={"status": "active"}).status_code == 200
    assert sign_in(ada).me()["user"]["email"] == ada.email


def test_only_the_invited_may_join_where_it_says_so(
    api: httpx.Client,
    tenant: TestTenant,
    provider: OidcServer,
    sign_in: Callable[[Person], Browser],
    superuser: Superuser,
) -> None:
    with changed(MINIRAG_SIGN_UP="invited"):
        ada = somebody()
        provider.become(ada.subject, ada.email, ada.name)
        answer = Browser().attempt()
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:minirag:problem:sign_in_uninvited")
        assert sessions_in(answer) == []
        assert superuser.execute("SELECT count(*) FROM users WHERE email = %s", (ada.email,)).fetchone() == (0,)
        invite(api, tenant, ada)
        assert sign_in(ada).me()["user"]["email"] == ada.email


def test_who_is_new_and_uninvited_owns_an_organization_and_can_ask_about_a_document_at_once(
    sign_in: Callable[[Person], Browser], deliver: Callable[[], Any]
) -> None:
    ada = somebody()
    browser = sign_in(ada)
    me = browser.me()
    assert [(one["name"], one["role"]) for one in me["organizations"]] == [("Ada Lovelace", "owner")]
    assert [(one["name"], one["role"]) for one in me["workspaces"]] == [("Documents", "admin")]
    text = "The lighthouse of Alexandria stood on the island of Pharos and was built by Sostratus."
    sent = browser.post("/api/v1/ingest/text", {"title": "Pharos", "text": text, "language": "en"})
    assert sent.status_code == 202, sent.text
    deliver()
    answer = browser.post("/api/v1/ask", {"query": "Who built the lighthouse of Alexandria?"})
    assert answer.status_code == 200, answer.text
    assert "Sostratus" in answer.json()["citations"][0]["quote"]
    assert sign_in(ada).me()["organizations"] == me["organizations"]


def invite(api: httpx.Client, tenant: TestTenant, person: Person, role: str = "editor") -> str:
    path = f"/api/v1/workspaces/{tenant.workspace_id}/members"
    made = api.post(path, headers=tenant.headers, json={"email": person.email.upper(), "role": role})
    assert (made.status_code, made.json()["status"]) == (201, "invited")
    invitation_id: str = made.json()["invitation_id"]
    return invitation_id


def test_who_is_invited_gets_nothing_of_their_own_and_becomes_a_member_by_accepting(
    api: httpx.Client, tenant: TestTenant, sign_in: Callable[[Person], Browser]
) -> None:
    ada = somebody()
    invitation = invite(api, tenant, ada)
    browser = sign_in(ada)
    me = browser.me()
    assert (me["organizations"], me["workspaces"]) == ([], [])
    assert [(one["id"], one["role"]) for one in me["invitations"]] == [(invitation, "editor")]
    assert browser.get("/api/v1/sources").status_code == 404
    accepted = browser.post(f"/api/v1/invitations/{invitation}/accept")
    assert accepted.status_code == 200
    ids = {"workspace_id": str(tenant.workspace_id), "organization_id": str(tenant.organization_id)}
    assert accepted.json() == {**ids, "role": "editor"}
    me = browser.me()
    assert [(one["id"], one["role"]) for one in me["organizations"]] == [(str(tenant.organization_id), "member")]
    assert [(one["id"], one["role"]) for one in me["workspaces"]] == [(str(tenant.workspace_id), "editor")]
    assert me["invitations"] == []
    assert browser.get("/api/v1/sources").status_code == 200
    assert browser.get("/api/v1/api-keys").status_code == 403
    assert browser.post(f"/api/v1/invitations/{invitation}/accept").status_code == 404


def test_an_invitation_of_somebody_else_or_that_is_over_does_not_exist(
    api: httpx.Client, tenant: TestTenant, sign_in: Callable[[Person], Browser], superuser: Superuser
) -> None:
    ada, grace = somebody(), somebody()
    invitation = invite(api, tenant, ada)
    mallory, browser = sign_in(grace), sign_in(ada)
    path = f"/api/v1/invitations/{invitation}/accept"
    assert mallory.post(path).status_code == 404
    superuser.execute("UPDATE invitations SET expires_at = now() - interval '1 second' WHERE id = %s", (invitation,))
    assert browser.me()["invitations"] == []
    assert browser.post(path).status_code == 404
    superuser.execute("UPDATE invitations SET expires_at = now() + interval '1 day' WHERE id = %s", (invitation,))
    assert [one["id"] for one in browser.me()["invitations"]] == [invitation]
    withdrawn = api.delete(f"/api/v1/workspaces/{tenant.workspace_id}/invitations/{invitation}", headers=tenant.headers)
    assert withdrawn.status_code == 204
    assert browser.post(path).status_code == 404
    assert str(tenant.workspace_id) not in (mallory.get("/auth/me").text + browser.get("/auth/me").text)


def test_where_signing_in_is_not_set_up_it_says_so_and_keys_work(api: httpx.Client, tenant: TestTenant) -> None:
    with changed(MINIRAG_OIDC_CLIENT_SECRET=""):
        answer = api.get("/auth/google")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:minirag:problem:sign_in_not_configured")
        assert api.get("/auth/me", headers=tenant.headers).status_code == 200
