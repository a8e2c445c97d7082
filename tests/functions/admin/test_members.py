"""People come by invitation and go at once, and nobody brings in more than they may."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from local.postgres import Postgres
from minirag.runtime import db
from minirag.tenancy import workspaces
from tests.functions.admin.signing_in import PAGE, Browser, Person, changed, somebody
from tests.functions.ingest.test_ingestion import paste
from tests.tenants import TestTenant, add_key

SignIn = Callable[[Person], Browser]


def invite(api: httpx.Client, caller: dict[str, str], tenant: TestTenant, **body: str) -> httpx.Response:
    return api.post(f"/api/v1/workspaces/{tenant.workspace_id}/members", headers=caller, json=body)


def join(browser: Browser, invitation_id: str) -> int:
    return browser.http.post(f"/api/v1/invitations/{invitation_id}/accept", headers=PAGE, json={}).status_code


def audit_lines(superuser: psycopg.Connection[Any], tenant: TestTenant, action: str) -> list[dict[str, Any]]:
    rows = superuser.execute(
        "SELECT detail FROM audit_log WHERE organization_id = %s AND action = %s ORDER BY id",
        (tenant.organization_id, action),
    ).fetchall()
    return [detail for (detail,) in rows]


def test_a_key_tied_to_a_workspace_brings_nobody_into_the_organization(
    api: httpx.Client, tenant: TestTenant, postgres: Postgres, superuser: psycopg.Connection[Any]
) -> None:
    scopes = ("read", "write", "admin")
    tied = {"X-API-Key": add_key(postgres.superuser_url, tenant, scopes=scopes, tied=True)}
    email = f"{uuid4()}@example.com"
    body = {"email": email, "role": "admin", "organization_role": "admin"}
    assert invite(api, tied, tenant, **body).status_code == 403
    assert invite(api, tenant.headers, tenant, **body).json()["status"] == "invited"
    assert audit_lines(superuser, tenant, "invitation.create") == [body]


def test_an_invitation_ends_with_the_right_of_who_invited(
    api: httpx.Client, tenant: TestTenant, sign_in: SignIn
) -> None:
    mallory, bob = somebody(), somebody()
    first = invite(api, tenant.headers, tenant, email=mallory.email, role="admin", organization_role="admin").json()
    mallorys = sign_in(mallory)
    assert join(mallorys, first["invitation_id"]) == 200
    place = f"/api/v1/workspaces/{tenant.workspace_id}/members"
    second = mallorys.http.post(place, headers=PAGE, json={"email": bob.email, "role": "reader"}).json()
    people = f"/api/v1/organizations/{tenant.organization_id}/members"
    mallorys_id = mallorys.me()["user"]["id"]
    # A member of the organization invites nobody, so what they invited before is good no more.
    demoted = api.patch(f"{people}/{mallorys_id}", headers=tenant.headers, json={"role": "member"})
    assert demoted.status_code == 200
    bobs = sign_in(bob)
    assert join(bobs, second["invitation_id"]) == 404
    api.patch(f"{people}/{mallorys_id}", headers=tenant.headers, json={"role": "admin"})
    assert api.delete(f"{people}/{mallorys_id}", headers=tenant.headers).status_code == 204
    assert join(bobs, second["invitation_id"]) == 404
    assert bobs.me()["invitations"] == []


def test_who_is_removed_has_no_way_back_but_a_new_invitation(
    api: httpx.Client, tenant: TestTenant, sign_in: SignIn
) -> None:
    bob = somebody()
    other = api.post("/api/v1/workspaces", headers=tenant.headers, json={"name": "Other"}).json()
    assert other["role"] == "admin"
    first = invite(api, tenant.headers, tenant, email=bob.email, role="admin").json()
    place = f"/api/v1/workspaces/{other['id']}/members"
    second = api.post(place, headers=tenant.headers, json={"email": bob.email, "role": "admin"}).json()
    bobs = sign_in(bob)
    assert join(bobs, first["invitation_id"]) == 200
    where = {"workspace_id": str(tenant.workspace_id)}
    body = {"scopes": ["read"], **where}
    key = {"X-API-Key": bobs.http.post("/api/v1/api-keys", headers=PAGE, json=body).json()["key"]}
    assert api.get("/api/v1/sources", headers=key).status_code == 200
    bobs_id = bobs.me()["user"]["id"]
    people = f"/api/v1/organizations/{tenant.organization_id}/members"
    assert api.delete(f"{people}/{bobs_id}", headers=tenant.headers).status_code == 204
    assert bobs.http.get("/api/v1/sources", params=where).status_code == 404
    assert api.get("/api/v1/sources", headers=key).status_code == 401
    assert join(bobs, second["invitation_id"]) == 404
    # Invited anew he is in; the key that was tied to the workspace stays what it is, revoked.
    again = invite(api, tenant.headers, tenant, email=bob.email, role="reader").json()
    assert join(bobs, again["invitation_id"]) == 200
    assert bobs.http.get("/api/v1/sources", params=where).status_code == 200
    assert api.get("/api/v1/sources", headers=key).status_code == 401


@pytest.mark.parametrize("address", ["\u212aate@example.com", "ada", "a b@example.com", "ada@exam\u200bple.com"])
def test_an_address_that_could_pass_for_another_is_none(api: httpx.Client, tenant: TestTenant, address: str) -> None:
    refused = invite(api, tenant.headers, tenant, email=address, role="reader")
    assert refused.status_code == 422
    assert "^[" not in refused.text


def test_a_workspace_is_not_deleted_while_a_document_comes_in(
    api: httpx.Client, tenant: TestTenant, postgres: Postgres
) -> None:
    spare = api.post("/api/v1/workspaces", headers=tenant.headers, json={"name": "Spare"}).json()
    answers: list[int] = []

    def delete() -> None:
        # A connection of its own, as another function has.
        with psycopg.connect(postgres.app_url) as connection:
            for name, value in (("workspace_id", spare["id"]), ("organization_id", str(tenant.organization_id))):
                connection.execute("SELECT set_config(%s, %s, false)", (f"app.{name}", value))
            answers.append(int(workspaces.delete(connection, spare["id"])))

    mine = db.Tenant(spare["id"], tenant.organization_id, tenant.user_id)
    with db.transaction(mine) as tx:
        workspaces.hold(tx, spare["id"])
        deletion = threading.Thread(target=delete)
        deletion.start()
        deletion.join(0.3)
        assert answers == []
    deletion.join(5)
    assert answers == [1]
    gone = api.post(
        f"/api/v1/ingest/text?workspace_id={spare['id']}", headers=tenant.headers, json={"title": "a", "text": "b"}
    )
    assert gone.status_code == 404


def test_a_workspace_with_documents_is_not_deleted(api: httpx.Client, tenant: TestTenant) -> None:
    paste(api, tenant, "The lighthouse stood on Pharos.")
    refused = api.delete(f"/api/v1/workspaces/{tenant.workspace_id}", headers=tenant.headers)
    assert (refused.status_code, "documents" in refused.json()["detail"]) == (409, True)


def test_nobody_leaves_limits_or_a_bill_behind_by_founding_the_next_organization(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    def made(what: str) -> int:
        return api.post(f"/api/v1/{what}", headers=tenant.headers, json={"name": "Next"}).status_code

    with changed(MINIRAG_MAX_ORGANIZATIONS="2", MINIRAG_MAX_WORKSPACES="2"):
        assert made("organizations") == 201
        assert made("organizations") == 409
        assert made("workspaces") == 201
        assert made("workspaces") == 409
    superuser.execute("UPDATE organizations SET billing_status = 'unpaid' WHERE id = %s", (tenant.organization_id,))
    assert made("organizations") == 402
