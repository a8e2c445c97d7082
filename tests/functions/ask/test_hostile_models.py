"""What a model's server sends may be anything: it costs no more than it can, and breaks nothing for who asks next."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, Literal

import httpx
import psycopg
import pytest
import redis

from local.valkey import Valkey
from minirag.knowledge import answers
from minirag.runtime import settings
from minirag.runtime.errors import Unavailable
from tests.fakes.openai_server import OpenAIServer
from tests.functions.ask.test_ask_with_models import CHAT, QUESTION, TEXT, ingest
from tests.tenants import TestTenant

Deliver = Callable[[], Any]
ANSWER: Final = f"{TEXT.partition(' It')[0]} [1]"


@pytest.fixture
def document(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    openai: OpenAIServer,
    quick: None,  # noqa: ARG001
) -> OpenAIServer:
    """A document; faults are of what the model writes."""
    ingest(api, tenant, deliver)
    openai.aimed_at = CHAT
    return openai


def said(text: str = ANSWER, *, finish: str = "stop", model: Any = "gpt-4o-mini", usage: Any = None) -> dict[str, Any]:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    known = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110} if usage is None else usage
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return {**body, "choices": [choice], "usage": known}


def ask(api: httpx.Client, tenant: TestTenant, query: str = QUESTION, **more: Any) -> httpx.Response:
    return api.post("/api/v1/ask", headers=tenant.headers, json={"query": query, **more})


def limit(superuser: psycopg.Connection[Any], tenant: TestTenant, dollars: str) -> None:
    superuser.execute(
        "INSERT INTO workspace_quota_settings (workspace_id, cost_limit_usd_a_month) VALUES (%s, %s)",
        (tenant.workspace_id, dollars),
    )


def spent(superuser: psycopg.Connection[Any], tenant: TestTenant) -> Decimal:
    row = superuser.execute(
        "SELECT coalesce(sum(cost_usd), 0) FROM workspace_usage_counters WHERE workspace_id = %s",
        (tenant.workspace_id,),
    ).fetchone()
    assert row is not None
    return Decimal(row[0])


def usage_of(read: Any, written: Any) -> dict[str, Any]:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": 0}


@pytest.mark.parametrize("capped", [False, True])
@pytest.mark.parametrize("number", [-1_000_000, 2**31, 10**20, 10**30, 1e300, "12", None, True, float("inf")])
def test_tokens_that_cannot_be_are_counted_here(
    document: OpenAIServer,
    api: httpx.Client,
    tenant: TestTenant,
    superuser: psycopg.Connection[Any],
    number: Any,
    capped: bool,
) -> None:
    if capped:
        limit(superuser, tenant, "1")
    before = spent(superuser, tenant)
    document.say(said(usage=usage_of(number, number)))
    answered = ask(api, tenant)
    assert answered.status_code == 200
    assert 0 < answered.json()["usage"]["cost_usd"] < 0.01
    assert before < spent(superuser, tenant) < before + Decimal("0.01")


@pytest.mark.parametrize("model", ["\0m", "\ud800m", "m" * 300_000, "", None, 3])
def test_whatever_a_model_calls_itself_the_answer_is_kept(
    document: OpenAIServer, api: httpx.Client, tenant: TestTenant, model: Any
) -> None:
    document.say(said(model=model))
    answered = ask(api, tenant)
    assert answered.status_code == 200
    kept = api.get(f"/api/v1/answers/{answered.json()['answer_id']}", headers=tenant.headers).json()
    assert 0 < len(kept["model"]) <= 128


@pytest.mark.parametrize("name", [{"model": "gpt-4o-mini\0"}, {"provider": "openai\0"}])
def test_a_name_that_cannot_be_kept_is_refused_before_anybody_is_asked(
    document: OpenAIServer, api: httpx.Client, tenant: TestTenant, name: dict[str, str]
) -> None:
    before = len(document.requests)
    assert ask(api, tenant, **name).status_code == 422
    assert len(document.requests) == before


def test_a_model_that_answers_by_another_name_is_paid_for_by_the_one_that_was_asked(
    document: OpenAIServer, api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    limit(superuser, tenant, "1")
    document.say(said(model="gpt-4o-mini-surprise", usage=usage_of(1_000_000, 1_000_000)))
    answered = ask(api, tenant)
    assert answered.json()["usage"]["cost_usd"] == pytest.approx(0.75, abs=0.001)
    assert spent(superuser, tenant) == pytest.approx(Decimal("0.75"), abs=Decimal("0.001"))


def test_answers_that_are_paid_for_and_say_nothing_meet_the_limit(
    document: OpenAIServer, api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    limit(superuser, tenant, "0.002")
    statuses = []
    for number in range(8):
        document.say(said("", finish="length", usage=usage_of(1_000, 800)))
        statuses.append(ask(api, tenant, f"{QUESTION} {number}").status_code)
    assert statuses[0] == 503
    assert statuses[-1] == 429
    assert spent(superuser, tenant) <= Decimal("0.002")


@pytest.mark.parametrize(
    "text",
    [" " * 1_000_000, "[" * 1_000_000, "[[1]" * 250_000, "[1]" * 300_000, "<think>" * 150_000, "Pharos. " * 120_000],
    ids=["blanks", "brackets", "nested", "markers", "thoughts", "sentences"],
)
def test_a_draft_without_end_is_cut(document: OpenAIServer, api: httpx.Client, tenant: TestTenant, text: str) -> None:
    document.say(said(f"{ANSWER} {text}", usage={"prompt_tokens": None}))
    answered = ask(api, tenant)
    assert answered.status_code == 200
    assert len(answered.json()["answer"]) < 25_000


@pytest.mark.usefixtures("caching")
def test_what_was_found_without_the_questions_vector_is_not_kept_for_long(
    document: OpenAIServer, api: httpx.Client, tenant: TestTenant, valkey: Valkey
) -> None:
    before = _kept(valkey)
    document.aimed_at = "/v1/embeddings"
    document.fail(500, times=3)
    assert ask(api, tenant).json()["usage"]["embedding_tokens"] == 0
    [left] = {left for key, left in _kept(valkey).items() if key not in before}
    assert 0 < left <= 10_000
    before = _kept(valkey)
    assert ask(api, tenant, f"{QUESTION} Please.").json()["usage"]["embedding_tokens"] > 0
    [left] = {left for key, left in _kept(valkey).items() if key not in before}
    assert left > 3_000_000


@pytest.mark.parametrize(
    "damaged",
    [
        lambda _: b"garbage",
        lambda _: b"{}",
        lambda _: b'{"text": "old form"}',
        lambda _: b"\xff",
        lambda entry: entry[:-1],
        lambda entry: entry[: len(entry) // 2],
        lambda entry: entry.replace(b'"answer":"', b'"answer":"Not ', 1),
    ],
)
@pytest.mark.usefixtures("document", "caching")
def test_what_cannot_be_read_in_the_cache_is_answered_anew(
    api: httpx.Client,
    tenant: TestTenant,
    valkey: Valkey,
    damaged: Callable[[bytes], bytes],
) -> None:
    before = _kept(valkey)
    first = ask(api, tenant).json()
    [key] = set(_kept(valkey)) - set(before)
    with redis.Redis.from_url(valkey.url) as client:
        entry = client.get(key)
        assert isinstance(entry, bytes)
        client.set(key, damaged(entry), px=60_000)
        again = ask(api, tenant)
        assert (again.status_code, again.json()["cached"]) == (200, "miss")
        # And what is there then can be read.
        third = ask(api, tenant).json()
        assert (third["cached"], third["answer"], third["citations"]) == ("hit", first["answer"], first["citations"])
        client.delete(key)
        client.set(key + b":failure", damaged(entry), px=60_000)
        failed = ask(api, tenant)
        assert (failed.status_code, failed.headers["content-type"]) == (503, "application/problem+json")


@pytest.mark.usefixtures("caching")
@pytest.mark.parametrize("finish", ["stop", "content_filter", "refusal"])
def test_that_a_model_gave_nothing_is_not_kept_for_long(
    document: OpenAIServer, api: httpx.Client, tenant: TestTenant, valkey: Valkey, finish: str
) -> None:
    before = _kept(valkey)
    document.end(finish)
    assert ask(api, tenant).json()["outcome"] == "no_answer"
    [left] = {left for key, left in _kept(valkey).items() if key not in before}
    assert 0 < left <= 10_000


@pytest.mark.parametrize("kind", ["reset", "half"])
def test_an_answer_that_broke_off_may_have_been_paid_for_and_stays_counted(
    document: OpenAIServer,
    api: httpx.Client,
    tenant: TestTenant,
    superuser: psycopg.Connection[Any],
    kind: Literal["reset", "half"],
) -> None:
    limit(superuser, tenant, "1")
    before = spent(superuser, tenant)
    document.spoil(kind, times=3)
    assert ask(api, tenant).status_code == 503
    # 800 tokens written are the most that the answer could have had.
    assert spent(superuser, tenant) - before > 800 * Decimal("0.0000006")


@pytest.mark.usefixtures("document")
def test_a_server_that_nothing_could_be_sent_to_costs_nothing(
    api: httpx.Client,
    tenant: TestTenant,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit(superuser, tenant, "1")
    assert ask(api, tenant).status_code == 200
    before = spent(superuser, tenant)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    settings.current.cache_clear()
    assert ask(api, tenant).status_code == 503
    assert spent(superuser, tenant) == before


@pytest.mark.usefixtures("caching")
def test_what_a_model_took_is_counted_even_if_its_answer_cannot_be_recorded(
    document: OpenAIServer,
    api: httpx.Client,
    tenant: TestTenant,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("The database cannot be reached right now. Try again in a few seconds.")

    before = spent(superuser, tenant)
    document.say(said(usage=usage_of(1_000_000, 1_000_000)))
    with monkeypatch.context() as broken:
        broken.setattr(answers, "record", fail)
        assert ask(api, tenant).status_code == 503
    assert ask(api, tenant).json()["cached"] == "hit"
    assert spent(superuser, tenant) - before == pytest.approx(Decimal("0.75"), abs=Decimal("0.001"))


def test_a_model_that_turns_out_to_think_is_asked_only_if_the_limit_has_room_for_its_thoughts(
    document: OpenAIServer,
    api: httpx.Client,
    tenant: TestTenant,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINIRAG_PRICES", '{"my-deployment": [0, 1]}')
    settings.current.cache_clear()
    limit(superuser, tenant, "0.004")
    before = spent(superuser, tenant)
    refused = ask(api, tenant, provider="openai", model="my-deployment")
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:minirag:problem:cost_limit")
    # As long as a question may take, not until the next month: others may give back what they have reserved.
    assert 0 < int(refused.headers["Retry-After"]) <= 30
    # Nothing but the question's embedding.
    assert spent(superuser, tenant) - before < Decimal("0.000001")
    superuser.execute("UPDATE workspace_quota_settings SET cost_limit_usd_a_month = 0.005")
    answered = ask(api, tenant, provider="openai", model="my-deployment")
    assert answered.json()["outcome"] == "answered"
    assert spent(superuser, tenant) < Decimal("0.004")
    asked = [request.body for request in document.requests if request.path == CHAT]
    assert [one["max_completion_tokens" if "temperature" not in one else "max_tokens"] for one in asked] == [800, 4096]


def _kept(valkey: Valkey) -> dict[bytes, int]:
    with redis.Redis.from_url(valkey.url) as client:
        return {key: client.pttl(key) for key in client.scan_iter("query:*}")}
