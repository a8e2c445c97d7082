"""Vectors of documents: each text is embedded once, and a document is never held up by a model that is down."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from functions.ingest import embed as embedding
from local.valkey import Valkey
from minirag.runtime import cache, settings
from tests.fakes.openai_server import OpenAIServer
from tests.functions.ingest.test_ingestion import TEXT, found, job_of, paste, sources, upload
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]
# Five chunks, one a part.
LONG = "\n\n".join(f"# Part {part}\n" + f"The wonder number {part} stood by the sea. " * 40 for part in range(5))


@pytest.fixture
def openai(system: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:  # noqa: ARG001
    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", server.key)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setattr(embedding, "_FIRST_PAUSE_SECONDS", 0.01)
        monkeypatch.setattr("minirag.knowledge.sdk._PAUSE", 0.01)
        settings.current.cache_clear()
        yield server
    monkeypatch.undo()
    settings.current.cache_clear()


def upload_long(api: httpx.Client, tenant: TestTenant, text: str = LONG, **fields: Any) -> dict[str, Any]:
    job: dict[str, Any] = upload(api, tenant, "wonders.md", text.encode(), **fields).json()["jobs"][0]
    return job


def embedded(server: OpenAIServer, words: str) -> int:
    """How many texts that hold these words were sent to be embedded; others may be of jobs of other tests."""
    requests = [request for request in server.requests if request.path == "/v1/embeddings"]
    return sum(words in text for request in requests for text in request.body["input"])


def vectors_of(superuser: psycopg.Connection[Any], tenant: TestTenant) -> int:
    row = superuser.execute("SELECT count(*) FROM chunk_vectors WHERE workspace_id = %s", (tenant.workspace_id,))
    return int(row.fetchall()[0][0])


def staged(superuser: psycopg.Connection[Any], tenant: TestTenant) -> int:
    row = superuser.execute("SELECT count(*) FROM staged_vectors WHERE workspace_id = %s", (tenant.workspace_id,))
    return int(row.fetchall()[0][0])


def test_a_changed_document_embeds_only_what_changed(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, openai: OpenAIServer, superuser: psycopg.Connection[Any]
) -> None:
    source_id = upload_long(api, tenant)["source_id"]
    deliver()
    first = embedded(openai, "The wonder number")
    assert first == vectors_of(superuser, tenant) == 5
    upload_long(api, tenant, LONG.replace("number 3", "number three"), source_id=source_id)
    deliver()
    assert embedded(openai, "The wonder number") - first == 1
    assert vectors_of(superuser, tenant) == 5
    assert any("number three" in one for one in found(api, tenant, "wonder number three"))


def test_the_same_document_again_is_not_even_read(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, openai: OpenAIServer, superuser: psycopg.Connection[Any]
) -> None:
    text = f"The lighthouse of {tenant.workspace_id}."
    source_id = paste(api, tenant, text)["source_id"]
    deliver()
    before = superuser.execute("SELECT generation FROM workspaces WHERE id = %s", (tenant.workspace_id,)).fetchone()
    again = paste(api, tenant, text, source_id=source_id)
    deliver()
    job = job_of(api, tenant, again["id"])
    assert (job["status"], job["chunks_added"], set(job["timings_ms"])) == ("done", 0, {"reading"})
    assert "indexed before" in job["notes"][0]
    assert embedded(openai, text) == 1
    after = superuser.execute("SELECT generation FROM workspaces WHERE id = %s", (tenant.workspace_id,)).fetchone()
    assert after == before
    # A title is searched, so another one is another document.
    api.post(
        "/api/v1/ingest/text", headers=tenant.headers, json={"title": "Faros", "text": text, "source_id": source_id}
    )
    deliver()
    assert sources(api, tenant)[0]["name"] == "Faros"


def test_a_run_that_ends_early_is_gone_on_with_where_it_stopped(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    openai: OpenAIServer,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("minirag.knowledge.embeddings.openai.OpenAIEmbedder.batch", 2)
    monkeypatch.setattr(embedding, "STORE_SECONDS", -1000.0)
    whole = embedding._embed

    def out_of_time(embedder: Any, texts: list[str], remaining: Any, done: int) -> Any:
        if done == 2 and not staged(superuser, tenant) > 2:
            raise embedding._out_of_time(done)
        return whole(embedder, texts, remaining, done)

    monkeypatch.setattr(embedding, "_embed", out_of_time)
    job = upload_long(api, tenant)
    deliver()
    done = job_of(api, tenant, job["id"])
    assert (done["status"], done["attempts"], done["error"]) == ("done", 1, None)
    assert embedded(openai, "The wonder number") == vectors_of(superuser, tenant) == 5
    assert staged(superuser, tenant) == 0


def test_a_worker_killed_while_embedding_loses_at_most_a_batch(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    openai: OpenAIServer,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("minirag.knowledge.embeddings.openai.OpenAIEmbedder.batch", 2)

    class KilledError(BaseException):
        """Nothing catches a kill."""

    def killed(*_: object, **__: object) -> None:
        if staged(superuser, tenant) == 4:
            raise KilledError

    monkeypatch.setattr(cache, "put_many", killed)
    job = upload_long(api, tenant)
    with pytest.raises(KilledError):
        deliver()
    assert vectors_of(superuser, tenant) == 0
    monkeypatch.undo()
    settings.current.cache_clear()
    monkeypatch.setenv("OPENAI_API_KEY", openai.key)
    monkeypatch.setenv("OPENAI_BASE_URL", openai.url)
    settings.current.cache_clear()
    superuser.execute("UPDATE jobs SET held_until = now() - interval '1 second' WHERE id = %s", (job["id"],))
    from functions.ingest import sweep

    sweep.handler({}, None)
    deliver()
    assert job_of(api, tenant, job["id"])["status"] == "done"
    assert embedded(openai, "The wonder number") == 5
    monkeypatch.undo()
    settings.current.cache_clear()


def test_while_the_model_is_down_documents_are_found_by_words_and_completed_later(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    openai: OpenAIServer,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    sqs: Any,
    moto: Any,
) -> None:
    del sqs, moto
    monkeypatch.setattr(embedding, "_PATIENCE_SECONDS", 0.05)
    openai.fail(503, times=100)
    job = paste(api, tenant)
    deliver()
    done = job_of(api, tenant, job["id"])
    assert (done["status"], done["error"]) == ("done", None)
    assert vectors_of(superuser, tenant) == 0
    assert found(api, tenant, "lighthouse") == [TEXT]
    (waiting,) = [
        one for one in api.get("/api/v1/jobs", headers=tenant.headers).json()["items"] if one["kind"] == "embed"
    ]
    assert (waiting["status"], waiting["source_id"]) == ("queued", job["source_id"])
    openai.next.clear()
    from functions.ingest import send

    send.job(tenant.workspace_id, waiting["id"])
    deliver()
    assert job_of(api, tenant, waiting["id"])["status"] == "done"
    assert vectors_of(superuser, tenant) == 1
    chunks = api.post("/api/v1/search", headers=tenant.headers, json={"query": "lighthouse Pharos"}).json()["chunks"]
    assert [one["ranks"] for one in chunks] == [{"keyword": 1, "vector": 1}]


def test_an_exhausted_rate_limit_is_waited_out(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, openai: OpenAIServer, superuser: psycopg.Connection[Any]
) -> None:
    openai.fail(429, times=5)
    job = paste(api, tenant)
    deliver()
    assert job_of(api, tenant, job["id"])["status"] == "done"
    assert vectors_of(superuser, tenant) == 1


def test_what_was_embedded_for_another_source_is_taken_from_the_cache(
    api: httpx.Client,
    tenant: TestTenant,
    make_tenant: Callable[..., TestTenant],
    deliver: Deliver,
    openai: OpenAIServer,
    valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINIRAG_REDIS_URL", valkey.url)
    settings.current.cache_clear()
    text = f"The lighthouse of {tenant.workspace_id}."
    for one in (tenant, tenant, make_tenant()):
        paste(api, one, text)
        deliver()
    # Once for each tenant: what one embedded, the other does not learn.
    assert embedded(openai, text) == 2


@pytest.mark.usefixtures("openai")
def test_rebuilding_gives_all_documents_vectors_of_todays_model(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paste(api, tenant)
    paste(api, tenant, "The temple of Artemis stood at Ephesus.")
    deliver()
    monkeypatch.setenv("MINIRAG_OPENAI_EMBEDDING_MODEL", "text-embedding-3-large")
    settings.current.cache_clear()
    task = api.post("/api/v1/rebuild", headers=tenant.headers)
    assert (task.status_code, api.post("/api/v1/rebuild", headers=tenant.headers).json()) == (202, task.json())
    deliver()
    assert job_of(api, tenant, task.json()["job_id"])["status"] == "done"
    models = superuser.execute(
        "SELECT DISTINCT model FROM chunk_vectors WHERE workspace_id = %s"
        " UNION SELECT DISTINCT model FROM vector_signatures WHERE workspace_id = %s"
        " UNION SELECT embedding_model FROM workspaces WHERE id = %s",
        (tenant.workspace_id,) * 3,
    ).fetchall()
    assert models == [("text-embedding-3-large",)]
    chunks = api.post("/api/v1/search", headers=tenant.headers, json={"query": "temple"}).json()["chunks"]
    assert chunks[0]["ranks"] == {"keyword": 1, "vector": 1}
