"""Providers of answers, over HTTP through the real SDKs."""

import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from minirag.knowledge.llm import Completion, Passage, Prompt, Provider
from minirag.knowledge.llm.anthropic import AnthropicProvider
from minirag.knowledge.llm.choose import ANTHROPIC, EXTRACTIVE, OPENAI, available, provider
from minirag.knowledge.llm.openai import OpenAIProvider
from minirag.runtime.errors import MiniRagError, OutOfTime, Unavailable, Unprocessable
from minirag.runtime.settings import Settings
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import OpenAIServer

ROOT = Path(__file__).parents[3]

PASSAGE = Passage(1, uuid4(), uuid4(), "handbook", "Employees get 25 days. They may carry five over.", 1.0)
PROMPT = Prompt(
    system="Answer from the passages.",
    user=f"Passages:\n\n[1] handbook\n{PASSAGE.content}\n\nQuestion: How many days?",
    question="How many days?",
    passages=(PASSAGE,),
    term_weights={},
    version="1",
)


@dataclass(frozen=True)
class Vendor:
    server: OpenAIServer | AnthropicServer
    key_variable: str
    model: str
    thinking_model: str
    make: Callable[[str, str, str], Provider]

    def complete(self, *, model: str | None = None, key: str | None = None, seconds: float = 10) -> Completion:
        made = self.make(model or self.model, key or self.server.key, self.server.url)
        return made.complete(PROMPT, seconds=seconds)

    def failure(self, *, model: str | None = None, key: str | None = None, seconds: float = 10) -> MiniRagError:
        with pytest.raises(MiniRagError) as caught:
            self.complete(model=model, key=key, seconds=seconds)
        return caught.value


@pytest.fixture(params=[OPENAI, ANTHROPIC])
def vendor(request: pytest.FixtureRequest) -> Iterator[Vendor]:
    if request.param == OPENAI:
        with OpenAIServer() as openai:
            yield Vendor(openai, "OPENAI_API_KEY", "gpt-4o-mini", "gpt-5-mini", OpenAIProvider)
    else:
        with AnthropicServer() as anthropic:
            yield Vendor(anthropic, "ANTHROPIC_API_KEY", "claude-haiku-4-5", "claude-sonnet-5", AnthropicProvider)


def test_an_answer_comes_with_its_model_and_its_tokens(vendor: Vendor) -> None:
    completion = vendor.complete()
    assert completion.text == "Employees get 25 days. [1]"
    assert completion.model == vendor.model
    # Anthropic's server counts 7 more as read from its cache; they are tokens of the prompt, too.
    assert completion.prompt_tokens == len(f"{PROMPT.system} {PROMPT.user}".split()) + (
        7 if vendor.key_variable.startswith("ANTHROPIC") else 0
    )
    assert completion.completion_tokens == 5


def test_instructions_and_documents_are_sent_apart(vendor: Vendor) -> None:
    vendor.complete()
    body = vendor.server.requests[0].body
    system = body["system"] if "system" in body else body["messages"][0]["content"]
    assert system == PROMPT.system
    assert body["messages"][-1] == {"role": "user", "content": PROMPT.user}


def test_temperature_is_zero_where_the_model_takes_one(vendor: Vendor) -> None:
    vendor.complete()
    vendor.complete(model=vendor.thinking_model)
    first, second = (request.body for request in vendor.server.requests)
    assert first["temperature"] == 0
    assert "temperature" not in second


def test_the_length_of_an_answer_is_bound_with_room_for_thoughts_where_they_count(vendor: Vendor) -> None:
    vendor.complete()
    vendor.complete(model=vendor.thinking_model)
    bounds = [
        request.body.get("max_tokens") or request.body["max_completion_tokens"] for request in vendor.server.requests
    ]
    assert bounds == [800, 4096]


def test_a_wrong_key_is_said_to_the_operator_and_never_quoted(vendor: Vendor) -> None:
    error = vendor.failure(key="sk-wrong")
    assert (error.status, error.code) == (503, "model_key_rejected")
    assert vendor.key_variable in error.detail
    printed = "".join(traceback.format_exception(error))
    assert "sk-wrong" not in printed
    assert "test-key" not in printed


def test_a_model_that_the_vendor_does_not_know_is_the_callers_mistake(vendor: Vendor) -> None:
    assert isinstance(vendor.failure(model="gpt-nonsense"), Unprocessable)
    assert len(vendor.server.requests) == 1


def test_a_rate_limit_says_when_to_come_back_and_is_not_waited_for(vendor: Vendor) -> None:
    vendor.server.fail(429, times=2, retry_after="41.5")
    error = vendor.failure()
    assert (error.status, error.retry_after) == (503, 42)
    assert len(vendor.server.requests) == 1


def test_a_rate_limit_that_passes_in_time_is_waited_for(vendor: Vendor) -> None:
    vendor.server.fail(429, retry_after="0.01")
    assert vendor.complete().completion_tokens == 5


@pytest.mark.parametrize("status", [408, 500, 503, 529])
def test_a_failing_vendor_is_asked_once_more(vendor: Vendor, status: int) -> None:
    vendor.server.fail(status, times=3, retry_after="0")
    assert isinstance(vendor.failure(), Unavailable)
    assert len(vendor.server.requests) == 2


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_refused_request_is_not_repeated(vendor: Vendor, status: int) -> None:
    vendor.server.fail(status, times=3)
    assert isinstance(vendor.failure(), Unavailable)
    assert len(vendor.server.requests) == 1


def test_a_spent_account_is_the_operators_to_fill(vendor: Vendor) -> None:
    if vendor.key_variable.startswith("OPENAI"):
        vendor.server.fail(429, times=2, code="insufficient_quota")
        assert vendor.failure().code == "model_credit_spent"
        assert len(vendor.server.requests) == 1


def test_a_slow_answer_is_out_of_time(vendor: Vendor) -> None:
    vendor.server.delay(2.0)
    assert isinstance(vendor.failure(seconds=0.2), OutOfTime)
    assert isinstance(vendor.failure(seconds=-1.0), OutOfTime)
    assert len(vendor.server.requests) == 1


def test_a_vendor_that_cannot_be_reached_is_unavailable(vendor: Vendor) -> None:
    made = vendor.make(vendor.model, "key", "http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        made.complete(PROMPT, seconds=0.4)


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", {}, [], None, {"choices": []}, {"choices": [{}], "content": 3}])
def test_a_malformed_answer_is_an_unavailable_model(vendor: Vendor, body: object) -> None:
    vendor.server.say(body)
    assert isinstance(vendor.failure(), Unavailable)


def test_a_page_of_a_proxy_instead_of_an_answer_is_an_unavailable_model(vendor: Vendor) -> None:
    vendor.server.say(b"<html>", "text/html")
    assert isinstance(vendor.failure(), Unavailable)


def test_a_model_that_only_thought_is_no_answer(vendor: Vendor) -> None:
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": ""}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "input_tokens": 1, "output_tokens": 1}
    answer = {"model": "m", "choices": [choice], "content": [], "stop_reason": "max_tokens", "usage": usage}
    vendor.server.say(answer)
    assert "tokens" in vendor.failure().detail


def test_a_client_keeps_its_connection(vendor: Vendor) -> None:
    vendor.complete()
    vendor.complete(model=vendor.thinking_model)
    first, second = vendor.server.requests
    assert first.client == second.client


BOTH = Settings(database_url="", openai_api_key="a", anthropic_api_key="b")
ONLY_ANTHROPIC = Settings(database_url="", anthropic_api_key="b")
NONE = Settings(database_url="")


@pytest.mark.parametrize(
    ("settings", "names"),
    [(BOTH, [OPENAI, ANTHROPIC, EXTRACTIVE]), (ONLY_ANTHROPIC, [ANTHROPIC, EXTRACTIVE]), (NONE, [EXTRACTIVE])],
)
def test_the_first_provider_with_a_key_answers_by_default(settings: Settings, names: list[str]) -> None:
    assert available(settings) == names
    assert provider(settings, None, None).name == names[0]
    for name in names:
        assert provider(settings, name, None).name == name


def test_a_model_may_be_named() -> None:
    assert provider(BOTH, None, None).model == BOTH.openai_model
    assert provider(BOTH, None, "gpt-4o").model == "gpt-4o"
    assert provider(BOTH, ANTHROPIC, "claude-sonnet-4-5").model == "claude-sonnet-4-5"
    with pytest.raises(Unprocessable, match="extractive-1"):
        provider(NONE, EXTRACTIVE, "gpt-4o")


@pytest.mark.parametrize("name", [OPENAI, "llama", "", "OPENAI"])
def test_a_provider_that_is_not_here_is_the_callers_mistake(name: str) -> None:
    if not name:
        assert provider(ONLY_ANTHROPIC, name, None).name == ANTHROPIC
        return
    with pytest.raises(Unprocessable, match="available: anthropic, extractive"):
        provider(ONLY_ANTHROPIC, name, None)


def test_no_sdk_is_imported_before_it_is_used() -> None:
    program = """
import sys
from minirag.knowledge import cost
from minirag.knowledge.embeddings.choose import embedder
from minirag.knowledge.llm.choose import provider
from minirag.runtime.settings import Settings
settings = Settings(database_url="", openai_api_key="a", anthropic_api_key="b")
embedder(settings).windows("text"), provider(settings, "openai", None), provider(settings, "anthropic", None)
print(*sorted({"openai", "anthropic", "onnxruntime", "tokenizers"} & set(sys.modules)))
"""
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
