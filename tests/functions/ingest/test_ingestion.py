"""A document's way through S3 and SQS: searchable exactly when its job says done, gone when its delete returns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from local.moto import BUCKET
from local.postgres import Postgres
from minirag.knowledge import leases
from minirag.runtime import db
from tests import tenants
from tests.tenants import TestTenant
from tests.transport import context

DOCUMENTS = Path(__file__).parent.parent.parent / "data" / "documents"
TEXT = "The lighthouse of Alexandria stood on the island of Pharos. It was about one hundred metres high."
CONTENT_TABLES = ("source_texts", "chunks", "lexical_runs", "chunk_vectors")

Deliver = Callable[[], list[dict[str, Any]]]


def paste(api: httpx.Client, tenant: TestTenant, text: str = TEXT, **more: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": "Pharos", "text": text, **more})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()["jobs"][0]
    return job


def upload(api: httpx.Client, tenant: TestTenant, name: str, data: bytes, **fields: Any) -> httpx.Response:
    return api.post("/api/v1/ingest/files", headers=tenant.headers, files={"files": (name, data)}, data=fields)


def job_of(api: httpx.Client, tenant: TestTenant, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(f"/api/v1/jobs/{job_id}", headers=tenant.headers).json()
    return answer


def sources(api: httpx.Client, tenant: TestTenant) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/api/v1/sources", headers=tenant.headers).json()["items"]
    return items


def found(api: httpx.Client, tenant: TestTenant, query: str) -> list[str]:
    answer = api.post("/api/v1/search", headers=tenant.headers, json={"query": query})
    assert answer.status_code == 200, answer.text
    return [chunk["content"] for chunk in answer.json()["chunks"]]


def rows(superuser: psycopg.Connection[Any], tenant: TestTenant) -> dict[str, int]:
    counts = {}
    for table in CONTENT_TABLES:
        statement = f"SELECT count(*) FROM {table} WHERE workspace_id = %s"
        row = superuser.execute(statement.encode(), (tenant.workspace_id,)).fetchone()
        assert row is not None
        counts[table] = int(row[0])
    return counts


def generation(superuser: psycopg.Connection[Any], tenant: TestTenant) -> int:
    row = superuser.execute("SELECT generation FROM workspaces WHERE id = %s", (tenant.workspace_id,)).fetchone()
    assert row is not None
    return int(row[0])


def s3_event(name: str, key: str, sequencer: str) -> dict[str, Any]:
    stored = {"key": quote_plus(key), "size": 1, "sequencer": sequencer}
    return {"Records": [{"eventName": name, "eventTime": "2026-01-01T00:00:00.000Z", "s3": {"object": stored}}]}


def route(event: dict[str, Any]) -> None:
    from functions.ingest import router

    record = {
        "messageId": "1", "receiptHandle": "1", "attributes": {"ApproximateReceiveCount": "1"},
        "body": json.dumps(event),
    }  # fmt: skip
    assert router.handler({"Records": [record]}, None) == {"batchItemFailures": []}


def test_a_text_is_searchable_exactly_when_its_job_says_done(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any]
) -> None:
    job = paste(api, tenant, tags=["wonders"], language="en")
    assert job["status"] == "queued"
    assert found(api, tenant, "lighthouse") == []
    deliver()
    done = job_of(api, tenant, job["id"])
    assert (done["status"], done["stage"], done["progress"], done["chunks_added"]) == ("done", "done", 1, 1)
    assert set(done["timings_ms"]) == {"reading", "extracting", "chunking", "embedding", "storing"}
    assert found(api, tenant, "lighthouse") == [TEXT]
    source = sources(api, tenant)[0]
    assert (source["status"], source["type"], source["chunks"], source["tags"]) == ("ready", "text", 1, ["wonders"])
    assert generation(superuser, tenant) == 1


@pytest.mark.parametrize(
    ("file", "kind", "phrase"),
    [
        ("dl_multi_page.pdf", "pdf", "The Evolution of the Word Processor"),
        ("dl_word_sample.docx", "docx", "This is a cute duckling"),
        ("dl_formatting.html", "html", "HTML Text Formatting Examples"),
        ("dl_wiki.md", "markdown", "Alexander Dey invented the dial recorder (1888"),
    ],
)
def test_a_file_of_each_kind_becomes_searchable_text(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, file: str, kind: str, phrase: str
) -> None:
    upload(api, tenant, file, (DOCUMENTS / file).read_bytes())
    deliver()
    source = sources(api, tenant)[0]
    assert (source["status"], source["type"], source["name"]) == ("ready", kind, file)
    text = api.get(f"/api/v1/sources/{source['id']}/text", headers=tenant.headers).json()
    assert phrase in " ".join(text["text"].split())
    assert len(text["pages"]) == (source["pages"] or 0)
    assert (source["pages"] is not None) == (kind == "pdf")


def test_every_chunk_is_a_slice_of_the_canonical_text(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> None:
    upload(api, tenant, "word.pdf", (DOCUMENTS / "dl_multi_page.pdf").read_bytes())
    deliver()
    chunks = api.post("/api/v1/search", headers=tenant.headers, json={"query": "word processor", "k": 50}).json()[
        "chunks"
    ]
    assert len(chunks) == sources(api, tenant)[0]["chunks"]
    for chunk in chunks:
        span = {"start": chunk["start"], "end": chunk["end"]}
        sliced = api.get(f"/api/v1/sources/{chunk['source_id']}/text", headers=tenant.headers, params=span).json()
        assert sliced["text"] == chunk["content"]
        assert chunk["page"] in {page["page"] for page in sliced["pages"]}


def test_a_deleted_source_is_gone_when_the_delete_returns(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any], s3: Any
) -> None:
    source_id = paste(api, tenant)["source_id"]
    deliver()
    before = generation(superuser, tenant)
    assert all(rows(superuser, tenant).values())
    assert api.delete(f"/api/v1/sources/{source_id}", headers=tenant.headers).status_code == 204
    assert rows(superuser, tenant) == dict.fromkeys(CONTENT_TABLES, 0)
    assert found(api, tenant, "lighthouse") == []
    assert sources(api, tenant) == []
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"uploads/{tenant.workspace_id}/").get("Contents") is None
    assert generation(superuser, tenant) == before + 1
    counted = superuser.execute(
        "SELECT sum(chunks_count) FROM workspace_usage_counters WHERE workspace_id = %s", (tenant.workspace_id,)
    ).fetchone()
    assert counted == (0,)
    for method in ("GET", "DELETE"):
        assert api.request(method, f"/api/v1/sources/{source_id}", headers=tenant.headers).status_code == 404


def test_a_source_deleted_before_it_was_indexed_does_not_come_back(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any]
) -> None:
    job = paste(api, tenant)
    assert api.delete(f"/api/v1/sources/{job['source_id']}", headers=tenant.headers).status_code == 204
    deliver()
    ended = job_of(api, tenant, job["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "source_deleted")
    assert rows(superuser, tenant) == dict.fromkeys(CONTENT_TABLES, 0)


def test_a_replacement_takes_the_place_of_its_source(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any]
) -> None:
    source_id = paste(api, tenant)["source_id"]
    deliver()
    paste(api, tenant, text="The colossus of Rhodes was a statue of Helios.", source_id=source_id)
    assert found(api, tenant, "lighthouse colossus") == [TEXT]
    deliver()
    assert found(api, tenant, "lighthouse colossus") == ["The colossus of Rhodes was a statue of Helios."]
    assert [source["id"] for source in sources(api, tenant)] == [source_id]
    assert rows(superuser, tenant)["chunks"] == 1


def test_an_event_delivered_three_times_is_applied_once(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any], s3: Any
) -> None:
    upload_job = paste(api, tenant)
    key = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"uploads/{tenant.workspace_id}/")["Contents"][0]["Key"]
    for _ in range(2):
        s3.copy_object(Bucket=BUCKET, Key=key, CopySource={"Bucket": BUCKET, "Key": key}, MetadataDirective="REPLACE")
    deliver()
    assert job_of(api, tenant, upload_job["id"])["attempts"] == 1
    assert generation(superuser, tenant) == 1
    assert rows(superuser, tenant)["chunks"] == 1


def test_a_file_in_the_drop_folder_is_ingested_replaced_and_removed(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any], s3: Any
) -> None:
    key = f"drop/{tenant.workspace_id}/wonders/pharos übersicht.txt"
    s3.put_object(Bucket=BUCKET, Key=key, Body=TEXT.encode())
    deliver()
    first = sources(api, tenant)
    assert [(one["name"], one["status"]) for one in first] == [("pharos übersicht.txt", "ready")]
    owner = "SELECT DISTINCT user_id FROM chunks WHERE workspace_id = %s"
    assert superuser.execute(owner, (tenant.workspace_id,)).fetchall() == [(None,)]
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"The temple of Artemis stood at Ephesus.")
    deliver()
    assert [one["id"] for one in sources(api, tenant)] == [first[0]["id"]]
    assert found(api, tenant, "lighthouse temple") == ["The temple of Artemis stood at Ephesus."]
    s3.delete_object(Bucket=BUCKET, Key=key)
    deliver()
    assert sources(api, tenant) == []
    assert rows(superuser, tenant) == dict.fromkeys(CONTENT_TABLES, 0)
    s3.put_object(Bucket=BUCKET, Key=key, Body=TEXT.encode())
    deliver()
    assert found(api, tenant, "lighthouse temple") == [TEXT]


def test_a_drop_for_an_unknown_workspace_does_nothing(deliver: Deliver, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"drop/{uuid4()}/x.txt", Body=b"nobody's")
    s3.put_object(Bucket=BUCKET, Key="drop/not-a-workspace/x.txt", Body=b"nobody's")
    assert deliver() == []


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("broken.pdf", b"%PDF-1.7\nnothing of a PDF follows", "broken_pdf"),
        ("broken.docx", (DOCUMENTS / "poi_truncated62886.docx"), "broken_docx"),
        ("blank.pdf", (DOCUMENTS / "pj_empty.pdf"), "no_text_layer"),
        ("locked.pdf", (DOCUMENTS / "py_r6-user-password.pdf"), "encrypted"),
    ],
)
def test_a_document_that_cannot_be_read_fails_with_a_reason_and_harms_nothing(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    superuser: psycopg.Connection[Any],
    name: str,
    data: bytes | Path,
    code: str,
) -> None:
    good = paste(api, tenant)
    bad = upload(api, tenant, name, data if isinstance(data, bytes) else data.read_bytes()).json()["jobs"][0]
    deliver()
    ended = job_of(api, tenant, bad["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", code)
    assert ended["error"]["detail"].endswith(".")
    assert len(ended["error"]["detail"]) > 20
    assert job_of(api, tenant, good["id"])["status"] == "done"
    failed = next(source for source in sources(api, tenant) if source["id"] == bad["source_id"])
    assert (failed["status"], failed["error"]["code"], failed["chunks"]) == ("failed", code, 0)
    assert rows(superuser, tenant)["chunks"] == 1


def test_a_failed_replacement_leaves_the_document_as_it_was(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver
) -> None:
    source_id = paste(api, tenant)["source_id"]
    deliver()
    upload(api, tenant, "broken.pdf", b"%PDF-1.7\nnothing", source_id=source_id)
    deliver()
    source = sources(api, tenant)[0]
    assert (source["status"], source["error"]["code"]) == ("ready", "broken_pdf")
    assert (source["name"], source["type"], source["uri"]) == ("Pharos", "text", "text:Pharos")
    assert found(api, tenant, "lighthouse") == [TEXT]


def test_the_highest_sequencer_wins_in_whatever_order_events_arrive(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any
) -> None:
    key = f"drop/{tenant.workspace_id}/pharos.txt"
    s3.put_object(Bucket=BUCKET, Key=key, Body=TEXT.encode())
    deliver()
    newer, older = s3_event("ObjectCreated:Put", key, "ZA03"), s3_event("ObjectRemoved:Delete", key, "ZA02")
    first = s3_event("ObjectCreated:Put", key, "ZA01")
    for late in (older, first):
        route(newer)
        route(late)
        deliver()
        assert found(api, tenant, "lighthouse") == [TEXT]
    route(s3_event("ObjectRemoved:Delete", key, "ZA04"))
    route(newer)
    deliver()
    assert sources(api, tenant) == []


def test_a_second_event_of_a_failed_document_changes_nothing(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any
) -> None:
    key = f"drop/{tenant.workspace_id}/broken.pdf"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"%PDF-1.7 nothing")
    event = s3_event("ObjectCreated:Put", key, "ZZ01")
    route(event)
    deliver()
    before = sources(api, tenant)
    assert (before[0]["status"], before[0]["error"]["code"]) == ("failed", "broken_pdf")
    route(event)
    deliver()
    assert sources(api, tenant) == before


def test_the_failure_of_an_older_version_says_nothing_of_the_newer_one(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver
) -> None:
    from functions.ingest import worker

    source_id = paste(api, tenant)["source_id"]
    deliver()
    bad = upload(api, tenant, "broken.pdf", b"%PDF-1.7 nothing", source_id=source_id).json()["jobs"][0]
    good = paste(api, tenant, text="The temple of Artemis stood at Ephesus.", source_id=source_id)
    body = json.dumps({"workspace_id": str(tenant.workspace_id), "job_id": good["id"]})
    record = {"messageId": "1", "receiptHandle": "1", "attributes": {"ApproximateReceiveCount": "1"}, "body": body}
    assert worker.handler({"Records": [record]}, context(300)) == {"batchItemFailures": []}
    # The older one was being read by another worker meanwhile, and gives up now.
    with db.transaction(db.Tenant(workspace_id=tenant.workspace_id)) as tx:
        late = leases.claim(tx, tenant.workspace_id, UUID(bad["id"]), seconds=60)
    assert late is not None
    worker._fail(tenant.workspace_id, late, "broken_pdf", "It cannot be read.")
    assert job_of(api, tenant, bad["id"])["status"] == "failed"
    source = sources(api, tenant)[0]
    assert (source["status"], source["error"], source["name"]) == ("ready", None, "Pharos")
    assert found(api, tenant, "temple") == ["The temple of Artemis stood at Ephesus."]
    deliver()
    assert sources(api, tenant) == [source]


def test_a_source_of_the_drop_folder_is_replaced_only_there(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any
) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"drop/{tenant.workspace_id}/pharos.txt", Body=TEXT.encode())
    deliver()
    body = {"title": "t", "text": "other", "source_id": sources(api, tenant)[0]["id"]}
    assert api.post("/api/v1/ingest/text", headers=tenant.headers, json=body).status_code == 409


def test_a_deleted_source_leaves_no_version_of_its_object(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any
) -> None:
    source_id = paste(api, tenant)["source_id"]
    deliver()
    paste(api, tenant, text="another", source_id=source_id)
    deliver()
    paste(api, tenant, text="a third, never indexed", source_id=source_id)
    assert api.delete(f"/api/v1/sources/{source_id}", headers=tenant.headers).status_code == 204
    deliver()
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"uploads/{tenant.workspace_id}/").get("Contents") is None


def test_a_long_text_is_given_in_parts(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.ingest.catalog._TEXT_SLICE_MAX", 50)
    s3.put_object(Bucket=BUCKET, Key=f"drop/{tenant.workspace_id}/a\u202eb.txt", Body=TEXT.encode())
    deliver()
    source = sources(api, tenant)[0]
    assert source["uri"] == "drop:ab.txt"
    path = f"/api/v1/sources/{source['id']}/text"
    assert api.get(path, headers=tenant.headers).status_code == 413
    part = api.get(path, headers=tenant.headers, params={"start": 10, "end": 60})
    assert part.json()["text"] == TEXT[10:60]


def test_pasted_text_is_text_whatever_it_begins_with(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> None:
    paste(api, tenant, text="%PDF-1.7 is how the lighthouse report begins.")
    deliver()
    assert found(api, tenant, "lighthouse") == ["%PDF-1.7 is how the lighthouse report begins."]


def test_a_document_goes_where_its_workspace_id_says_or_nowhere(
    api: httpx.Client, tenant: TestTenant, make_tenant: Callable[..., TestTenant]
) -> None:
    second = api.post("/api/v1/workspaces", headers=tenant.headers, json={"name": "second"}).json()["id"]
    files = {"files": ("a.txt", b"text")}
    path = "/api/v1/ingest/files"
    assert api.post(path, headers=tenant.headers, files=files, data={"workspace_id": second}).status_code == 202
    assert sources(api, tenant) == []
    foreign = str(make_tenant().workspace_id)
    assert api.post(path, headers=tenant.headers, files=files, data={"workspace_id": foreign}).status_code == 404
    body = {"title": "t", "text": "t"}
    for params, status in (
        ({"workspace_id": second}, 202),
        ({"workspace_id": foreign}, 404),
        ({"workspace_id": "x"}, 422),
    ):
        answer = api.post("/api/v1/ingest/text", headers=tenant.headers, json=body, params=params)
        assert answer.status_code == status
    body["workspace_id"] = second
    both = api.post("/api/v1/ingest/text", headers=tenant.headers, json=body, params={"workspace_id": foreign})
    assert both.status_code == 422
    assert sources(api, tenant) == []


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 415),
        ("logs.gz", b"\x1f\x8b\x08" + bytes(18), 415),
        ("program.exe", b"MZ\x90\0" + bytes(100), 415),
        ("empty.txt", b"", 422),
        ("large.txt", b"a" * (5 * 1024 * 1024), 413),
    ],
)
def test_what_is_not_accepted_is_refused_at_once_and_nothing_is_stored(
    api: httpx.Client, tenant: TestTenant, name: str, data: bytes, status: int
) -> None:
    refused = upload(api, tenant, name, data)
    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert sources(api, tenant) == []
    assert api.get("/api/v1/jobs", headers=tenant.headers).json()["items"] == []


def test_one_refused_file_keeps_the_others_of_its_request_out(api: httpx.Client, tenant: TestTenant) -> None:
    files = [("files", ("good.txt", b"good")), ("files", ("bad.png", b"\x89PNG\r\n\x1a\n"))]
    assert api.post("/api/v1/ingest/files", headers=tenant.headers, files=files).status_code == 415
    assert sources(api, tenant) == []


def test_a_waiting_upload_says_what_became_of_it_when_time_is_up(api: httpx.Client, tenant: TestTenant) -> None:
    answer = api.post(
        "/api/v1/ingest/text", headers=tenant.headers, json={"title": "Pharos", "text": TEXT, "wait": 0.2}
    )
    assert answer.status_code == 202
    assert answer.json()["chunks_added"] == 0
    assert answer.json()["jobs"][0]["status"] == "queued"


def test_writing_needs_the_write_scope_and_an_active_subscription(
    api: httpx.Client, postgres: Postgres, make_tenant: Callable[..., TestTenant]
) -> None:
    reader = make_tenant(role="reader", organization_role="member")
    assert api.post("/api/v1/ingest/text", headers=reader.headers, json={"title": "t", "text": "t"}).status_code == 403
    unpaid = make_tenant(billing="canceled")
    assert upload(api, unpaid, "a.txt", b"text").status_code == 402
    assert api.get("/api/v1/sources", headers=unpaid.headers).status_code == 200
    key = tenants.add_key(postgres.superuser_url, unpaid, scopes=["read", "write"], expired=True)
    assert api.get("/api/v1/sources", headers={"X-API-Key": key}).status_code == 401


def test_pages_of_a_list_show_every_source_once(api: httpx.Client, tenant: TestTenant) -> None:
    made = {paste(api, tenant, text=f"text {n}")["source_id"] for n in range(5)}
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = api.get("/api/v1/sources", headers=tenant.headers, params=params).json()
        seen += [source["id"] for source in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == made
    assert api.get("/api/v1/sources", headers=tenant.headers, params={"cursor": "x"}).status_code == 400


def test_another_tenants_ids_are_not_found(
    api: httpx.Client, tenant: TestTenant, make_tenant: Callable[..., TestTenant], deliver: Deliver
) -> None:
    job = paste(api, tenant)
    deliver()
    other = make_tenant()
    source, job_id = job["source_id"], job["id"]
    calls = [
        ("GET", f"/api/v1/sources/{source}", {}),
        ("GET", f"/api/v1/sources/{source}/text", {}),
        ("DELETE", f"/api/v1/sources/{source}", {}),
        ("GET", f"/api/v1/jobs/{job_id}", {}),
        ("GET", "/api/v1/sources", {"workspace_id": str(tenant.workspace_id)}),
    ]
    for method, path, params in calls:
        foreign = api.request(method, path, headers=other.headers, params=params)
        unknown = api.request(
            method, path.replace(source, str(uuid4())).replace(job_id, str(uuid4())), headers=other.headers,
            params={name: str(uuid4()) for name in params},
        )  # fmt: skip
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["detail"] == unknown.json()["detail"]
    for body in ({"title": "t", "text": "t", "source_id": source},
                 {"title": "t", "text": "t", "workspace_id": str(tenant.workspace_id)}):  # fmt: skip
        assert api.post("/api/v1/ingest/text", headers=other.headers, json=body).status_code == 404
    assert found(api, other, "lighthouse") == []
    assert UUID(source)
    assert len(sources(api, tenant)) == 1


def test_a_name_is_shown_without_path_or_invisible_characters(api: httpx.Client, tenant: TestTenant) -> None:
    upload(api, tenant, "../../etc/pass\u202ewd.txt", b"text")
    assert sources(api, tenant)[0]["name"] == "passwd.txt"


def test_a_form_that_was_cut_off_is_refused_whole(api: httpx.Client, tenant: TestTenant) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="files"; filename="{}.txt"\r\n\r\nThe lighthouse.\r\n'
    headers = {**tenant.headers, "Content-Type": "multipart/form-data; boundary=b"}
    cut = (part.format("one") + part.format("two")).encode()
    refused = api.post("/api/v1/ingest/files", headers=headers, content=cut)
    assert (refused.status_code, refused.json()["title"]) == (400, "Malformed request")
    assert sources(api, tenant) == []
    whole = api.post("/api/v1/ingest/files", headers=headers, content=cut + b"--b--\r\n")
    assert (whole.status_code, len(whole.json()["jobs"])) == (202, 2)


def test_what_changes_a_workspaces_documents_for_good_is_written_down(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    source_id = paste(api, tenant, "The lighthouse stood on Pharos.")["source_id"]
    body = {"title": "Pharos", "text": "It fell in the end.", "source_id": source_id}
    api.post("/api/v1/ingest/text", headers=tenant.headers, json=body)
    for task in ("dedupe", "rebuild"):
        api.post(f"/api/v1/{task}", headers=tenant.headers)
    api.delete(f"/api/v1/sources/{source_id}", headers=tenant.headers)
    lines = superuser.execute(
        "SELECT action, user_id FROM audit_log WHERE workspace_id = %s ORDER BY id", (tenant.workspace_id,)
    ).fetchall()
    actions = ("source.replace", "workspace.dedupe", "workspace.rebuild", "source.delete")
    assert lines == [(action, tenant.user_id) for action in actions]
