"""What meets what: two workers on one document, a document and its deletion, its replacement, /dedupe and /rebuild."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from functions.ingest import complete, embed, index, send, sweep
from functions.ingest.extract.sandbox import extract
from functions.ingest.fetch import Fetched
from local.moto import BUCKET
from minirag.knowledge import leases
from minirag.runtime import batch, settings
from minirag.runtime.errors import ExtractionFailed
from tests.fakes.openai_server import OpenAIServer
from tests.functions.ingest.test_dedupe import dedupe
from tests.functions.ingest.test_ingestion import TEXT, found, job_of, paste, route, s3_event, sources, upload
from tests.functions.ingest.test_ledger import claim, forget, retry
from tests.functions.ingest.test_vectors_of_documents import openai as openai  # noqa: PLC0414  the fixture
from tests.functions.ingest.test_vectors_of_documents import staged, vectors_of
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]
Superuser = psycopg.Connection[Any]
OTHER = "The temple of Artemis stood at Ephesus."
BROKEN = b"%PDF-1.7 nothing"


def jobs_of(api: httpx.Client, tenant: TestTenant) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/api/v1/jobs", headers=tenant.headers).json()["items"]
    return items


def delete(api: httpx.Client, tenant: TestTenant, source_id: str) -> None:
    assert api.delete(f"/api/v1/sources/{source_id}", headers=tenant.headers).status_code == 204


def once_after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, then: Callable[[], None]) -> None:
    """Let something happen after the first call of a function."""
    whole = getattr(module, name)

    def racing(*given: Any, **more: Any) -> Any:
        done = whole(*given, **more)
        monkeypatch.setattr(module, name, whole)
        then()
        return done

    monkeypatch.setattr(module, name, racing)


def test_a_worker_that_lost_its_job_does_not_end_it_for_the_one_that_has_it(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: Superuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"The lighthouse of {tenant.workspace_id}."
    job_id = paste(api, tenant, text)["id"]
    calls: list[int] = []

    def slow(data: bytes, *given: Any, **more: Any) -> Any:
        if calls or data != text.encode():
            return extract(data, *given, **more)
        calls.append(1)
        forget(superuser, job_id)
        sweep.handler({}, None)
        raise ExtractionFailed("It took too long.", code="too_long")

    monkeypatch.setattr(index, "extract", slow)
    # It hangs so that it cannot even show that it lives.
    monkeypatch.setattr(leases, "hold", lambda *_, **__: False)
    deliver()
    assert job_of(api, tenant, job_id)["status"] == "done"


def test_a_late_event_of_a_version_does_not_end_the_job_that_reads_it(
    api: httpx.Client, tenant: TestTenant, superuser: Superuser, s3: Any, route_events: Callable[[], None]
) -> None:
    key = f"drop/{tenant.workspace_id}/a.txt"
    s3.put_object(Bucket=BUCKET, Key=key, Body=TEXT.encode())
    route_events()
    (job,) = jobs_of(api, tenant)
    assert claim(tenant, job["id"], 60) is not None
    superuser.execute(
        "INSERT INTO workspace_quota_settings (workspace_id, storage_bytes_limit) VALUES (%s, 1)",
        (tenant.workspace_id,),
    )
    row = superuser.execute("SELECT sequencer FROM jobs WHERE id = %s", (job["id"],)).fetchone()
    assert row is not None
    route(s3_event("ObjectCreated:Put", key, row[0]))
    assert job_of(api, tenant, job["id"])["status"] == "running"


def test_a_removal_that_is_heard_of_first_holds(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> None:
    key = f"drop/{tenant.workspace_id}/a.txt"
    route(s3_event("ObjectRemoved:Delete", key, "005"))
    route(s3_event("ObjectCreated:Put", key, "004"))
    deliver()
    assert sources(api, tenant) == []


def test_duplicates_follow_when_the_one_they_repeat_becomes_one(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any
) -> None:
    oldest = paste(api, tenant, OTHER)["source_id"]
    kept = paste(api, tenant)
    paste(api, tenant)
    deliver()
    dedupe(api, tenant, deliver)
    paste(api, tenant, source_id=oldest)
    deliver()
    dedupe(api, tenant, deliver)
    assert {one["duplicate_of"] for one in sources(api, tenant)} == {None, oldest}
    s3.delete_object(Bucket=BUCKET, Key=f"uploads/{tenant.workspace_id}/{kept['source_id']}/{kept['id']}")
    delete(api, tenant, oldest)
    deliver()
    deliver()
    assert TEXT in found(api, tenant, "lighthouse")


def test_a_duplicate_stays_what_it_is_when_its_replacement_fails(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any
) -> None:
    kept, second = paste(api, tenant), paste(api, tenant)
    deliver()
    dedupe(api, tenant, deliver)
    upload(api, tenant, "broken.pdf", BROKEN, source_id=second["source_id"])
    deliver()
    source = next(one for one in sources(api, tenant) if one["id"] == second["source_id"])
    assert (source["status"], source["error"]["code"]) == ("ready", "broken_pdf")
    # And if it cannot be indexed by itself, it says so.
    s3.delete_object(Bucket=BUCKET, Key=f"uploads/{tenant.workspace_id}/{second['source_id']}/{second['id']}")
    delete(api, tenant, kept["source_id"])
    deliver()
    (source,) = sources(api, tenant)
    assert (source["status"], source["error"]["code"]) == ("failed", "object_gone")


def test_a_document_replaced_while_it_gets_its_vectors_gets_those_of_the_new_version(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    openai: OpenAIServer,
    superuser: Superuser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embed, "_PATIENCE_SECONDS", 0.05)
    openai.fail(503, times=1000)
    job = paste(api, tenant)
    deliver()
    (waiting,) = [one for one in jobs_of(api, tenant) if one["kind"] == "embed"]
    openai.next.clear()

    def replaced() -> None:
        openai.fail(503, times=1000)
        paste(api, tenant, OTHER, source_id=job["source_id"])
        deliver()
        openai.next.clear()

    once_after(monkeypatch, complete, "embed", replaced)
    send.job(tenant.workspace_id, waiting["id"])
    deliver()
    deliver()
    assert (vectors_of(superuser, tenant), staged(superuser, tenant)) == (1, 0)


def test_a_document_deleted_while_it_gets_its_vectors_leaves_none(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    openai: OpenAIServer,
    superuser: Superuser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embed, "_PATIENCE_SECONDS", 0.05)
    openai.fail(503, times=1000)
    job = paste(api, tenant)
    deliver()
    (waiting,) = [one for one in jobs_of(api, tenant) if one["kind"] == "embed"]
    openai.next.clear()
    once_after(monkeypatch, embed, "_embed", lambda: delete(api, tenant, job["source_id"]))
    send.job(tenant.workspace_id, waiting["id"])
    deliver()
    assert (vectors_of(superuser, tenant), staged(superuser, tenant)) == (0, 0)


@pytest.mark.usefixtures("openai")
@pytest.mark.parametrize("module", [complete, index], ids=["before its end", "after it"])
def test_a_document_that_comes_while_the_model_is_changed_is_found_by_the_new_one(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    monkeypatch.setattr(batch, "_RETRY_SECONDS", 0)
    paste(api, tenant)
    deliver()
    monkeypatch.setenv("MINIRAG_OPENAI_EMBEDDING_MODEL", "text-embedding-3-large")
    settings.current.cache_clear()

    def come() -> None:
        paste(api, tenant, OTHER)
        deliver()

    def rebuild() -> None:
        api.post("/api/v1/rebuild", headers=tenant.headers)
        deliver()

    once_after(monkeypatch, module, "embed", come if module is complete else rebuild)
    (rebuild if module is complete else come)()
    deliver()
    chunks = api.post("/api/v1/search", headers=tenant.headers, json={"query": "temple"}).json()["chunks"]
    assert chunks[0]["ranks"] == {"keyword": 1, "vector": 1}


@pytest.mark.parametrize("kind", ["rebuild", "dedupe"])
def test_a_task_is_not_tried_again_while_another_like_it_is_under_way(
    api: httpx.Client, tenant: TestTenant, superuser: Superuser, kind: str
) -> None:
    job_id = api.post(f"/api/v1/{kind}", headers=tenant.headers).json()["job_id"]
    superuser.execute(
        "UPDATE jobs SET status = 'failed', error_code = 'x', error_detail = 'x', finished_at = now() WHERE id = %s",
        (job_id,),
    )
    api.post(f"/api/v1/{kind}", headers=tenant.headers)
    assert retry(api, tenant, job_id).status_code == 409


def test_a_file_that_comes_late_is_indexed_and_one_sent_after_its_deletion_goes(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: Superuser, s3: Any
) -> None:
    expected = api.post(
        "/api/v1/ingest/uploads", headers=tenant.headers, json={"name": "a.txt", "bytes": len(TEXT)}
    ).json()
    form = expected["upload"]
    forget(superuser, expected["job_id"])
    sweep.handler({}, None)
    assert job_of(api, tenant, expected["job_id"])["error"]["code"] == "upload_missing"
    httpx.post(form["url"], data=form["fields"], files={"file": TEXT.encode()})
    deliver()
    job = job_of(api, tenant, expected["job_id"])
    assert (job["status"], job["error"]) == ("done", None)
    delete(api, tenant, job["source_id"])
    httpx.post(form["url"], data=form["fields"], files={"file": TEXT.encode()})
    deliver()
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"uploads/{tenant.workspace_id}/").get("Contents") is None


def test_a_page_whose_source_is_deleted_while_it_is_fetched_is_not_kept(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(url: str, **_: Any) -> Fetched:
        delete(api, tenant, sources(api, tenant)[0]["id"])
        return Fetched(BROKEN, url, "a.pdf", "application/pdf")

    monkeypatch.setattr(index, "fetch", fetch)
    api.post("/api/v1/ingest/urls", headers=tenant.headers, json={"urls": ["https://example.com/a.pdf"]})
    deliver()
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"fetched/{tenant.workspace_id}/").get("Contents") is None


def test_one_job_that_cannot_be_looked_at_does_not_keep_the_sweeper_from_the_others(
    api: httpx.Client, tenant: TestTenant, superuser: Superuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = paste(api, tenant)["id"], paste(api, tenant)["id"]
    whole = sweep._look_after

    def looking(workspace_id: Any, job_id: Any) -> None:
        if str(job_id) == bad:
            raise RuntimeError
        whole(workspace_id, job_id)

    monkeypatch.setattr(sweep, "_look_after", looking)
    for job_id in (bad, good):
        forget(superuser, job_id)
    sweep.handler({}, None)
    row = superuser.execute("SELECT count(*) FROM jobs WHERE id = ANY(%s) AND held_until > now()", ([bad, good],))
    assert row.fetchone() == (2,)
