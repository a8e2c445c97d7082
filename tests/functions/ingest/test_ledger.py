"""The ledger: every job is somebody's, or is taken up again, or ends with the reason."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from functions.ingest import sweep
from local.moto import BUCKET
from minirag.knowledge import jobs, leases
from minirag.runtime import db
from minirag.runtime.errors import Conflict
from tests.functions.ingest.test_ingestion import found, job_of, paste, sources, upload
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]


def claim(tenant: TestTenant, job_id: str, seconds: float) -> jobs.Job | None:
    with db.transaction(db.Tenant(workspace_id=tenant.workspace_id)) as tx:
        return leases.claim(tx, tenant.workspace_id, UUID(job_id), seconds=seconds)


def forget(superuser: psycopg.Connection[Any], job_id: str) -> None:
    """As if nobody had shown a sign of life for long."""
    superuser.execute("UPDATE jobs SET held_until = now() - interval '1 second' WHERE id = %s", (job_id,))


def retry(api: httpx.Client, tenant: TestTenant, job_id: str) -> httpx.Response:
    return api.post(f"/api/v1/jobs/{job_id}/retry", headers=tenant.headers)


def test_a_job_is_left_alone_while_its_worker_lives_and_taken_up_when_it_does_not(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any]
) -> None:
    job = paste(api, tenant)
    assert claim(tenant, job["id"], 60) is not None
    deliver()
    assert (job_of(api, tenant, job["id"])["status"], found(api, tenant, "lighthouse")) == ("running", [])
    forget(superuser, job["id"])
    sweep.handler({}, None)
    assert job_of(api, tenant, job["id"])["status"] == "queued"
    deliver()
    done = job_of(api, tenant, job["id"])
    assert (done["status"], done["attempts"]) == ("done", 2)


def test_a_worker_that_lost_its_job_changes_nothing(api: httpx.Client, tenant: TestTenant) -> None:
    job_id = paste(api, tenant)["id"]
    slow = claim(tenant, job_id, 0)
    quick = claim(tenant, job_id, 60)
    assert slow is not None
    assert quick is not None
    workspace_id = tenant.workspace_id
    with db.transaction(db.Tenant(workspace_id=workspace_id)) as tx:
        assert not leases.hold(tx, workspace_id, slow, seconds=60)
        assert leases.hold(tx, workspace_id, quick, seconds=60)
        jobs.advance(tx, workspace_id, slow, stage="embedding", progress=0.9)
        leases.release(tx, workspace_id, slow, counted=True)
        with pytest.raises(Conflict), tx.transaction():
            jobs.finish(tx, workspace_id, slow, chunks_added=1, timings={})
    job = job_of(api, tenant, job_id)
    assert (job["status"], job["stage"]) == ("running", "reading")


def test_a_document_that_its_worker_never_survives_ends_with_the_reason(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any], lose_messages: Callable[[], None]
) -> None:
    job_id = paste(api, tenant)["id"]
    for _ in range(3):
        assert claim(tenant, job_id, 0) is not None
    lose_messages()
    forget(superuser, job_id)
    sweep.handler({}, None)
    job = job_of(api, tenant, job_id)
    assert (job["status"], job["error"]["code"], job["attempts"]) == ("failed", "worker_lost", 3)
    assert sources(api, tenant)[0]["error"]["code"] == "worker_lost"


def test_a_file_that_never_arrives_ends_its_job(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    body = {"name": "a.txt", "bytes": 5}
    expected = api.post("/api/v1/ingest/uploads", headers=tenant.headers, json=body).json()
    sweep.handler({}, None)
    assert job_of(api, tenant, expected["job_id"])["status"] == "queued"
    forget(superuser, expected["job_id"])
    sweep.handler({}, None)
    assert job_of(api, tenant, expected["job_id"])["error"]["code"] == "upload_missing"


def test_a_file_posted_to_its_address_is_indexed_once(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> None:
    data = b"The lighthouse of Alexandria stood on Pharos."
    body = {"name": "../pharos.txt", "bytes": len(data), "tags": ["wonders"]}
    expected = api.post("/api/v1/ingest/uploads", headers=tenant.headers, json=body).json()
    form = expected["upload"]
    assert httpx.post(form["url"], data=form["fields"], files={"file": data}).status_code < 300
    deliver()
    assert job_of(api, tenant, expected["job_id"])["status"] == "done"
    source = sources(api, tenant)[0]
    assert (source["name"], source["tags"], source["bytes"]) == ("pharos.txt", ["wonders"], len(data))


def test_more_bytes_than_were_announced_are_refused(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> None:
    expected = api.post("/api/v1/ingest/uploads", headers=tenant.headers, json={"name": "a.txt", "bytes": 3}).json()
    form = expected["upload"]
    httpx.post(form["url"], data=form["fields"], files={"file": b"four"})
    deliver()
    assert job_of(api, tenant, expected["job_id"])["error"]["code"] == "too_large"


def test_a_larger_file_than_is_ever_accepted_gets_no_address(api: httpx.Client, tenant: TestTenant) -> None:
    body = {"name": "a.txt", "bytes": 10**12}
    assert api.post("/api/v1/ingest/uploads", headers=tenant.headers, json=body).status_code == 413


def test_what_failed_is_tried_again_on_request(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any]
) -> None:
    job = paste(api, tenant)
    superuser.execute(
        "UPDATE jobs SET status = 'failed', error_code = 'x', error_detail = 'x', finished_at = now() WHERE id = %s",
        (job["id"],),
    )
    deliver()
    again = retry(api, tenant, job["id"])
    assert (again.status_code, again.json()["status"], again.json()["error"]) == (202, "queued", None)
    deliver()
    assert job_of(api, tenant, job["id"])["status"] == "done"
    assert found(api, tenant, "lighthouse")


def test_what_cannot_be_tried_again_says_why(
    api: httpx.Client, tenant: TestTenant, make_tenant: Callable[..., TestTenant], deliver: Deliver, s3: Any
) -> None:
    broken = upload(api, tenant, "broken.pdf", b"%PDF-1.7 nothing").json()["jobs"][0]
    deliver()
    done = paste(api, tenant)
    deliver()
    assert retry(api, tenant, done["id"]).json()["type"].endswith("not_failed")
    assert retry(api, make_tenant(), broken["id"]).status_code == 404
    paste(api, tenant, source_id=broken["source_id"])
    assert retry(api, tenant, broken["id"]).json()["type"].endswith("superseded")
    deliver()
    gone = upload(api, tenant, "broken.pdf", b"%PDF-1.7 nothing").json()["jobs"][0]
    deliver()
    s3.delete_object(Bucket=BUCKET, Key=f"uploads/{tenant.workspace_id}/{gone['source_id']}/{gone['id']}")
    assert retry(api, tenant, gone["id"]).json()["type"].endswith("object_gone")
    assert api.delete(f"/api/v1/sources/{gone['source_id']}", headers=tenant.headers).status_code == 204
    assert retry(api, tenant, gone["id"]).status_code == 409
