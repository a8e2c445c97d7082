"""Who is out is out on this path too: a form to send a file by is good only as long as who asked for it may write."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from functions.ingest import sweep
from local.moto import BUCKET
from tests.functions.ingest.test_ingestion import job_of, sources
from tests.tenants import TestTenant, add_key

Deliver = Callable[[], list[dict[str, Any]]]
DATA = b"The lighthouse of Alexandria stood on Pharos."

OUT = {
    "suspended": "UPDATE users SET status = 'suspended' WHERE id = %(user)s",
    "key revoked": "UPDATE api_keys SET revoked_at = now() WHERE user_id = %(user)s AND NOT 'admin' = ANY (scopes)",
    "key expired": "UPDATE api_keys SET expires_at = now() WHERE user_id = %(user)s AND NOT 'admin' = ANY (scopes)",
    "taken out": "DELETE FROM user_organizations WHERE user_id = %(user)s",
}
BACK_IN = """
WITH active AS (UPDATE users SET status = 'active' WHERE id = %(user)s)
INSERT INTO user_organizations (organization_id, user_id, role) VALUES (%(organization)s, %(user)s, 'owner')
ON CONFLICT DO NOTHING
"""


@pytest.fixture
def form(api: httpx.Client, tenant: TestTenant, postgres: Any) -> dict[str, Any]:
    """A form that was given out to a key which may read and write."""
    key = add_key(postgres.superuser_url, tenant, scopes=("read", "write"))
    body = {"name": "pharos.txt", "bytes": len(DATA)}
    expected: dict[str, Any] = api.post("/api/v1/ingest/uploads", headers={"X-API-Key": key}, json=body).json()
    return expected


def post(expected: dict[str, Any]) -> None:
    form = expected["upload"]
    assert httpx.post(form["url"], data=form["fields"], files={"file": DATA}).status_code < 300


@pytest.mark.parametrize("how", OUT)
def test_a_file_that_is_sent_by_somebody_who_is_out_by_then_is_not_indexed(
    how: str,
    form: dict[str, Any],
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    superuser: psycopg.Connection[Any],
) -> None:
    values = {"user": tenant.user_id, "organization": tenant.organization_id}
    superuser.execute(OUT[how].encode(), values)
    post(form)
    deliver()
    superuser.execute(BACK_IN.encode(), values)
    job = job_of(api, tenant, form["job_id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "sender_refused")
    assert sources(api, tenant)[0]["status"] == "failed"
    # Somebody who may can still take it in.
    assert api.post(f"/api/v1/jobs/{form['job_id']}/retry", headers=tenant.headers).status_code == 202
    deliver()
    assert job_of(api, tenant, form["job_id"])["status"] == "done"


def test_the_sweeper_takes_no_file_in_by_a_form_of_somebody_who_is_out(
    form: dict[str, Any],
    api: httpx.Client,
    tenant: TestTenant,
    s3: Any,
    deliver: Deliver,
    lose_messages: Callable[[], None],
    superuser: psycopg.Connection[Any],
) -> None:
    superuser.execute(OUT["key revoked"].encode(), {"user": tenant.user_id})
    s3.put_object(Bucket=BUCKET, Key=form["upload"]["fields"]["key"], Body=DATA)
    # As if its event had been lost.
    superuser.execute("UPDATE jobs SET held_until = now() - interval '1 s' WHERE id = %s", (form["job_id"],))
    sweep.handler({}, None)
    assert job_of(api, tenant, form["job_id"])["error"]["code"] == "sender_refused"
    deliver()
    lose_messages()


def test_a_file_that_came_in_time_is_indexed_whatever_becomes_of_its_sender(
    form: dict[str, Any],
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    route_events: Callable[[], None],
    superuser: psycopg.Connection[Any],
) -> None:
    post(form)
    route_events()
    superuser.execute(OUT["key revoked"].encode(), {"user": tenant.user_id})
    deliver()
    assert job_of(api, tenant, form["job_id"])["status"] == "done"


def test_a_file_that_comes_after_it_was_given_up_is_held_to_the_same(
    form: dict[str, Any],
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    superuser: psycopg.Connection[Any],
) -> None:
    superuser.execute("UPDATE jobs SET held_until = now() - interval '1 s' WHERE id = %s", (form["job_id"],))
    sweep.handler({}, None)
    assert job_of(api, tenant, form["job_id"])["error"]["code"] == "upload_missing"
    superuser.execute(OUT["key revoked"].encode(), {"user": tenant.user_id})
    post(form)
    deliver()
    job = job_of(api, tenant, form["job_id"])
    assert job["status"] == "failed"
    assert api.post("/api/v1/search", headers=tenant.headers, json={"query": "Pharos"}).json()["count"] == 0
