"""A question's way with a language model: its citations are checked like any other, and its failures are survived."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from minirag.runtime import settings
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import OpenAIServer
from tests.tenants import TestTenant

TEXT = "The lighthouse of Alexandria stood on the island of Pharos. It was about one hundred metres high."


@pytest.fixture
def openai(system: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:  # noqa: ARG001
    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", server.key)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        settings.current.cache_clear()
        yield server
    monkeypatch.undo()
    settings.current.cache_clear()


@pytest.fixture
def anthropic(system: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnthropicServer]:  # noqa: ARG001
    with AnthropicServer() as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", server.key)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        settings.current.cache_clear()
        yield server
    monkeypatch.undo()
    settings.current.cache_clear()


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


def test_while_embedding_fails_keywords_answer(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], openai: OpenAIServer, superuser: Any
) -> None:
    ingest(api, tenant, deliver)
    superuser.execute("UPDATE workspaces SET embedding_model = 'unknown-model' WHERE id = %s", (tenant.workspace_id,))
    answer = ask(api, tenant, "Where did the lighthouse stand?")
    assert answer["outcome"] == "answered"
    assert answer["chunks"][0]["ranks"] == {"keyword": 1, "vector": None}
    assert answer["usage"]["embedding_tokens"] == 0
    assert openai.requests


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


def test_what_a_question_costs_does_not_tell_that_another_tenant_asked_it(
    api: httpx.Client,
    tenant: TestTenant,
    make_tenant: Callable[..., TestTenant],
    deliver: Callable[[], Any],
    openai: OpenAIServer,
) -> None:
    other = make_tenant()
    for one in (tenant, other):
        ingest(api, one, deliver)
    asked = [ask(api, one, "Where did the lighthouse stand?") for one in (tenant, other, other)]
    tokens = [answer["usage"]["embedding_tokens"] for answer in asked]
    assert tokens[0] == tokens[1] > 0 == tokens[2]
    assert openai.requests


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
