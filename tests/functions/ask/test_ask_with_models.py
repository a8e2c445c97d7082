"""A question's way with a language model: its citations are checked like any other, and its failures are survived."""

import re
import time
from collections.abc import Callable
from typing import Any, Literal

import httpx
import pytest
import tiktoken

from local.response import rest_response
from minirag.runtime import settings
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import OpenAIServer, first_sentence_cited
from tests.tenants import TestTenant
from tests.transport import context, invocation

CHAT = "/v1/chat/completions"
QUESTION = "Where did the lighthouse stand?"

TEXT = "The lighthouse of Alexandria stood on the island of Pharos. It was about one hundred metres high."


@pytest.fixture(params=["openai", "anthropic"])
def server(request: pytest.FixtureRequest) -> OpenAIServer | AnthropicServer:
    """Each vendor in turn, the only one that has a key; faults are of its answers, not of its embeddings."""
    found: OpenAIServer | AnthropicServer = request.getfixturevalue(request.param)
    found.aimed_at = CHAT if request.param == "openai" else None
    return found


def ingest(api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any]) -> None:
    api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": "Pharos", "text": TEXT})
    deliver()


def ask(api: httpx.Client, tenant: TestTenant, query: str, **more: Any) -> dict[str, Any]:
    response = api.post("/api/v1/ask", headers=tenant.headers, json={"query": query, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_openai_embeds_and_answers_and_what_it_cost_is_told(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], openai: OpenAIServer
) -> None:
    ingest(api, tenant, deliver)
    answer = ask(api, tenant, "Where did the lighthouse stand?")
    assert (answer["outcome"], answer["provider"], answer["model"]) == ("answered", "openai", "gpt-4o-mini")
    assert [citation["quote"] for citation in answer["citations"]] == [TEXT.partition(" It")[0]]
    usage = answer["usage"]
    assert usage["prompt_tokens"] > 0 < usage["embedding_tokens"]
    expected = (
        0.15 * usage["prompt_tokens"] + 0.6 * usage["completion_tokens"] + 0.02 * usage["embedding_tokens"]
    ) / 1e6
    assert usage["cost_usd"] == pytest.approx(expected)
    assert {request.path for request in openai.requests} == {"/v1/embeddings", "/v1/chat/completions"}


def test_anthropic_answers_over_local_embeddings(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], anthropic: AnthropicServer
) -> None:
    ingest(api, tenant, deliver)
    answer = ask(api, tenant, "Where did the lighthouse stand?")
    assert (answer["outcome"], answer["provider"]) == ("answered", "anthropic")
    assert answer["citations"][0]["quote"] in TEXT
    assert len(anthropic.requests) == 1


def test_a_citation_that_a_model_made_up_never_reaches_the_caller(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], openai: OpenAIServer
) -> None:
    ingest(api, tenant, deliver)
    openai.completion = lambda _: "Quantum computers factor integers. [1] It was hewn from marble by Zeus. [7]"
    answer = ask(api, tenant, "Where did the lighthouse stand?")
    assert (answer["outcome"], answer["citations"]) == ("no_answer", [])
    assert "Quantum" not in answer["answer"]


def test_a_model_that_finds_no_answer_is_believed(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], openai: OpenAIServer
) -> None:
    ingest(api, tenant, deliver)
    openai.completion = lambda _: "NO_ANSWER"
    answer = ask(api, tenant, "Where did the lighthouse stand?")
    assert answer["outcome"] == "no_answer"
    assert "Pharos" in answer["answer"], "the nearest source is named"


@pytest.mark.usefixtures("openai")
def test_while_embedding_fails_keywords_answer(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], superuser: Any
) -> None:
    ingest(api, tenant, deliver)
    superuser.execute("UPDATE workspaces SET embedding_model = 'unknown-model' WHERE id = %s", (tenant.workspace_id,))
    answer = ask(api, tenant, "Where did the lighthouse stand?")
    assert answer["outcome"] == "answered"
    assert answer["chunks"][0]["ranks"] == {"keyword": 1, "vector": None}
    assert answer["usage"]["embedding_tokens"] == 0


def test_a_workspace_keeps_the_model_of_its_first_document(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], request: pytest.FixtureRequest
) -> None:
    ingest(api, tenant, deliver)
    server: OpenAIServer = request.getfixturevalue("openai")
    api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": "Later", "text": "Pharos was an island."})
    deliver()
    answer = ask(api, tenant, "Where did the lighthouse stand?")
    assert sorted(chunk["ranks"]["vector"] for chunk in answer["chunks"]) == [1, 2]
    assert answer["provider"] == "openai"
    assert {one.path for one in server.requests} == {"/v1/chat/completions"}


@pytest.mark.usefixtures("openai")
def test_what_a_question_costs_does_not_tell_that_another_tenant_asked_it(
    api: httpx.Client, tenant: TestTenant, make_tenant: Callable[..., TestTenant], deliver: Callable[[], Any]
) -> None:
    other = make_tenant()
    for one in (tenant, other):
        ingest(api, one, deliver)
    asked = [ask(api, one, "Where did the lighthouse stand?") for one in (tenant, other, other)]
    tokens = [answer["usage"]["embedding_tokens"] for answer in asked]
    assert tokens[0] == tokens[1] > 0 == tokens[2]


def test_a_provider_that_is_down_is_said_to_be_with_when_to_try_again(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], openai: OpenAIServer
) -> None:
    ingest(api, tenant, deliver)
    # The vendor no longer knows our key, for embeddings as for answers.
    openai.key = "another-key"
    response = api.post("/api/v1/ask", headers=tenant.headers, json={"query": "Where did the lighthouse stand?"})
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "test-key" not in response.text
    extractive = ask(api, tenant, "Where did the lighthouse of Alexandria stand?", provider="extractive")
    assert extractive["outcome"] == "answered"


def try_to_ask(tenant: TestTenant, *, seconds: float = 29.0, **body: Any) -> httpx.Response:
    """The answer of a function that has so many seconds left."""
    request = httpx.Request(
        "POST", "https://minirag.test/api/v1/ask", headers=tenant.headers, json={"query": QUESTION, **body}
    )
    handler, event = invocation(request)
    response = rest_response(handler(event, context(seconds)))
    return httpx.Response(response.status, headers=list(response.headers), content=response.body)


def answers_of(server: OpenAIServer | AnthropicServer) -> list[dict[str, Any]]:
    """The bodies of the requests for answers that a server got."""
    return [request.body for request in server.requests if request.path != "/v1/embeddings"]


def logged(caplog: pytest.LogCaptureFixture, name: str, *fields: str) -> list[tuple[Any, ...]]:
    """These fields of every line that was logged under this name."""
    return [tuple(vars(record)[one] for one in fields) for record in caplog.records if record.message == name]


def test_a_provider_that_hangs_is_waited_for_no_longer_than_there_is_time(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], server: OpenAIServer | AnthropicServer
) -> None:
    ingest(api, tenant, deliver)
    ask(api, tenant, QUESTION)
    server.delay(60)
    started = time.monotonic()
    response = try_to_ask(tenant, seconds=4.0)
    assert time.monotonic() - started < 15
    assert (response.status_code, response.json()["type"]) == (504, "urn:minirag:problem:out_of_time")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["reset", "half"])
def test_an_answer_that_breaks_off_is_asked_for_again_and_in_the_end_given_up(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    server: OpenAIServer | AnthropicServer,
    kind: Literal["reset", "half"],
) -> None:
    ingest(api, tenant, deliver)
    server.spoil(kind)
    assert try_to_ask(tenant).json()["outcome"] == "answered"
    server.spoil(kind, times=3)
    response = try_to_ask(tenant)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert len(answers_of(server)) == 2 + 3


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", [], {"choices": [], "content": None}])
def test_an_answer_that_cannot_be_read_is_a_provider_that_fails(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    server: OpenAIServer | AnthropicServer,
    body: object,
) -> None:
    ingest(api, tenant, deliver)
    server.say(body)
    assert try_to_ask(tenant).status_code == 503


@pytest.mark.parametrize("reason", ["filter", "refusal", "silence"])
def test_a_filtered_refused_or_empty_answer_is_no_answer(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    server: OpenAIServer | AnthropicServer,
    reason: str,
) -> None:
    ingest(api, tenant, deliver)
    if reason == "refusal":
        server.end("refusal", "I cannot help with that.")
    elif reason == "silence":
        server.end("stop" if isinstance(server, OpenAIServer) else "end_turn")
    elif isinstance(server, OpenAIServer):
        server.fail(400, code="content_filter", param="prompt")
    else:
        server.fail(400, type="invalid_request_error", message="Output blocked by content filtering policy")
    response = try_to_ask(tenant)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["outcome"], answer["citations"]) == ("no_answer", [])
    assert "cannot help" not in answer["answer"]


def test_a_key_that_is_rejected_is_told_to_operators_and_is_written_nowhere(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    server: OpenAIServer | AnthropicServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ingest(api, tenant, deliver)
    caplog.clear()
    ours = server.key
    server.key = "another-key"
    response = try_to_ask(tenant)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (503, "urn:minirag:problem:model_key_rejected")
    vendor = "OpenAI" if isinstance(server, OpenAIServer) else "Anthropic"
    variable = f"{vendor.upper()}_API_KEY"
    assert variable in problem["detail"]
    refused = logged(caplog, "model.refused", "vendor", "status", "code", "variable")
    assert set(refused) == {(vendor, 401, "model_key_rejected", variable)}
    printed = capsys.readouterr()
    written = [response.text, str(response.headers), printed.out, printed.err, caplog.text]
    written += [str(vars(record)) for record in caplog.records]
    for key in (ours, server.key):
        assert key not in "".join(written)


@pytest.mark.usefixtures("quick")
def test_a_rate_limit_is_waited_for_if_it_passes_in_time(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], server: OpenAIServer | AnthropicServer
) -> None:
    ingest(api, tenant, deliver)
    server.fail(429, retry_after="0.1")
    assert try_to_ask(tenant).json()["outcome"] == "answered"
    server.fail(429, retry_after="41.5")
    response = try_to_ask(tenant)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "42")
    assert len(answers_of(server)) == 2 + 1


@pytest.mark.usefixtures("quick")
def test_a_failure_that_passes_is_not_seen(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], server: OpenAIServer | AnthropicServer
) -> None:
    ingest(api, tenant, deliver)
    server.fail(500)
    server.fail(529)
    assert try_to_ask(tenant).json()["outcome"] == "answered"
    server.fail(500, times=3)
    assert try_to_ask(tenant).status_code == 503


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("failing", ["key", "limit", "down", "unread", "slow"])
@pytest.mark.parametrize("preferred", ["openai", "anthropic"])
def test_the_other_provider_takes_over_from_one_that_fails(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    openai: OpenAIServer,
    anthropic: AnthropicServer,
    preferred: str,
    failing: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MINIRAG_PROVIDER", preferred)
    settings.current.cache_clear()
    ingest(api, tenant, deliver)
    openai.aimed_at = CHAT
    first, second = (openai, anthropic) if preferred == "openai" else (anthropic, openai)
    for name in ("openai", "anthropic"):
        # Each is loaded before the clock runs.
        assert ask(api, tenant, QUESTION, provider=name)["provider"] == name
    assert ask(api, tenant, QUESTION)["provider"] == preferred
    match failing:
        case "key":
            first.fail(401)
        case "limit":
            first.fail(429, retry_after="60")
        case "down":
            first.fail(503, times=3)
        case "unread":
            first.say(b"<html>")
        case _:
            first.delay(60)
    answer = try_to_ask(tenant, seconds=6.0 if failing == "slow" else 29.0).json()
    other = "anthropic" if preferred == "openai" else "openai"
    assert (answer["outcome"], answer["provider"]) == ("answered", other)
    assert answer["model"] == ("claude-haiku-4-5" if other == "anthropic" else "gpt-4o-mini")
    assert answers_of(second)
    assert logged(caplog, "ask.failed_over", "provider", "to") == [(preferred, other)]


@pytest.mark.parametrize("named", [{"provider": "openai"}, {"model": "gpt-4o"}])
def test_a_provider_or_model_that_was_asked_for_is_not_replaced(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    openai: OpenAIServer,
    anthropic: AnthropicServer,
    named: dict[str, Any],
) -> None:
    ingest(api, tenant, deliver)
    openai.aimed_at = CHAT
    openai.fail(401)
    assert try_to_ask(tenant, **named).status_code == 503
    assert anthropic.requests == []


def chapters(count: int) -> str:
    """So many chunks on lighthouses, no two of which say the same."""
    return "\n\n".join(
        f"# Lighthouse {number}\n\n"
        + " ".join(f"The lighthouse {number} stood at place{number}x{at} for {number + at} years." for at in range(28))
        for number in range(count)
    )


def long_document(api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], count: int) -> None:
    api.post(
        "/api/v1/ingest/text", headers=tenant.headers, json={"title": "Lighthouses", "text": chapters(count)}
    ).raise_for_status()
    deliver()


def test_a_prompt_has_no_more_tokens_than_it_may_whatever_was_found(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    openai: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = 8_000
    monkeypatch.setenv("MINIRAG_CONTEXT_TOKENS", str(room))
    settings.current.cache_clear()
    long_document(api, tenant, deliver, 60)
    answer = ask(api, tenant, "Where did the lighthouse 7 stand?", k=50)
    assert (answer["outcome"], answer["count"]) == ("answered", 50)
    (body,) = answers_of(openai)
    encoding = tiktoken.get_encoding("o200k_base")
    sent = sum(len(encoding.encode_ordinary(message["content"])) for message in body["messages"])
    assert 0.8 * room < sent <= room
    shown = re.findall(r'<passage marker="(\d+)"', body["messages"][-1]["content"])
    assert [int(marker) for marker in shown] == list(range(1, len(shown) + 1))


def test_a_prompt_that_is_too_long_for_the_model_is_tried_with_fewer_passages(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    server: OpenAIServer | AnthropicServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    long_document(api, tenant, deliver, 16)
    server.context_tokens = 1_200
    answer = ask(api, tenant, "Where did the lighthouse 7 stand?", k=16)
    assert answer["outcome"] == "answered"
    shortened = logged(caplog, "ask.shortened", "passages")
    assert shortened[0] == (8,)
    # A model cannot cite what it was not shown.
    server.completion = lambda asked: f"{first_sentence_cited(asked)} {answer['chunks'][-1]['content']} [16]"
    again = ask(api, tenant, "Where did the lighthouse 7 stand?", k=16)
    assert {one["marker"] for one in again["citations"]} == {1}
    # And what is said of the prompt is of the one that was answered.
    replayed = api.post(f"/api/v1/answers/{again['answer_id']}/replay", headers=tenant.headers).json()
    assert replayed["then"]["prompt_hash"] != replayed["now"]["prompt_hash"]
    server.context_tokens = 10
    response = try_to_ask(tenant)
    assert (response.status_code, response.json()["type"]) == (503, "urn:minirag:problem:context_overflow")


def test_a_question_that_holds_what_is_no_character_is_answered(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], server: OpenAIServer | AnthropicServer
) -> None:
    ingest(api, tenant, deliver)
    response = try_to_ask(tenant, query="Where did the lighthouse \0 stand?")
    assert (response.status_code, response.json()["outcome"]) == (200, "answered")
    assert "lighthouse \ufffd stand?" in answers_of(server)[0]["messages"][-1]["content"]
