"""Providers of answers, over HTTP through the real SDKs."""

import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import anthropic
import openai
import pytest
import tiktoken

from minirag.knowledge import sdk
from minirag.knowledge.llm import (
    Completion,
    ContextOverflow,
    LongerAnswer,
    Passage,
    Prompt,
    Provider,
    fail_over,
    tokens,
)
from minirag.knowledge.llm.anthropic import AnthropicProvider
from minirag.knowledge.llm.choose import ANTHROPIC, EXTRACTIVE, OPENAI, available, provider, providers
from minirag.knowledge.llm.extractive import Extractive
from minirag.knowledge.llm.openai import OpenAIProvider
from minirag.runtime import settings
from minirag.runtime.errors import MiniRagError, OutOfTime, Unavailable, Unprocessable
from minirag.runtime.settings import Settings
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import OpenAIServer

ROOT = Path(__file__).parents[3]

PASSAGE = Passage(1, uuid4(), uuid4(), "handbook", "Employees get 25 days. They may carry five over.", 1.0)
PROMPT = Prompt(
    system="Answer from the passages.",
    user=f'<passage marker="1" source="handbook">\n{PASSAGE.content}\n</passage>\n\n<question>\nHow many?\n</question>',
    question="How many?",
    passages=(PASSAGE,),
    term_weights={},
    version="2",
)

# Longer than any machine takes for an answer, shorter than a test may.
PATIENCE = 20.0


@dataclass(frozen=True)
class Vendor:
    server: OpenAIServer | AnthropicServer
    name: str
    key_variable: str
    model: str
    thinking_model: str
    make: Callable[..., Provider]

    def provider(self, model: str | None = None, key: str | None = None, **more: Any) -> Provider:
        return self.make(model or self.model, key or self.server.key, self.server.url, **more)

    def complete(self, *, model: str | None = None, key: str | None = None, seconds: float = PATIENCE) -> Completion:
        return self.provider(model, key).complete(PROMPT, seconds=seconds)

    def failure(self, *, model: str | None = None, key: str | None = None, seconds: float = PATIENCE) -> MiniRagError:
        with pytest.raises(MiniRagError) as caught:
            self.complete(model=model, key=key, seconds=seconds)
        return caught.value


@pytest.fixture
def openai_vendor() -> Iterator[Vendor]:
    with OpenAIServer() as server:
        yield Vendor(server, OPENAI, "OPENAI_API_KEY", "gpt-4o-mini", "gpt-5-mini", OpenAIProvider)


@pytest.fixture
def anthropic_vendor() -> Iterator[Vendor]:
    with AnthropicServer() as server:
        yield Vendor(server, ANTHROPIC, "ANTHROPIC_API_KEY", "claude-haiku-4-5", "claude-sonnet-5", AnthropicProvider)


@pytest.fixture(params=[OPENAI, ANTHROPIC])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    found: Vendor = request.getfixturevalue(f"{request.param}_vendor")
    return found


@pytest.fixture(params=[(OPENAI, ANTHROPIC), (ANTHROPIC, OPENAI)], ids="-".join)
def both(request: pytest.FixtureRequest) -> tuple[Vendor, Vendor]:
    """The vendors in both orders."""
    first, second = (request.getfixturevalue(f"{name}_vendor") for name in request.param)
    return first, second


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between attempts."""
    monkeypatch.setattr(sdk, "_PAUSE", 0.02)


def logged(caplog: pytest.LogCaptureFixture, name: str, *fields: str) -> list[tuple[Any, ...]]:
    """These fields of every line that was logged under this name."""
    return [tuple(vars(record)[one] for one in fields) for record in caplog.records if record.message == name]


def test_an_answer_comes_with_its_model_and_its_tokens(vendor: Vendor) -> None:
    completion = vendor.complete()
    assert completion.text == "Employees get 25 days. [1]"
    assert (completion.provider, completion.model, completion.finish) == (vendor.name, vendor.model, "stop")
    # Anthropic's server counts 7 more as read from its cache; they are tokens of the prompt, too.
    assert completion.prompt_tokens == len(f"{PROMPT.system} {PROMPT.user}".split()) + (
        7 if vendor.name == ANTHROPIC else 0
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
    for model, most in ((vendor.model, 800), (vendor.thinking_model, 4096)):
        vendor.complete(model=model)
        body = vendor.server.requests[-1].body
        assert vendor.provider(model).answer_tokens == most
        assert [value for name, value in body.items() if name in {"max_tokens", "max_completion_tokens"}] == [most]


@pytest.mark.parametrize(
    ("url", "parameter"),
    [
        (None, "max_completion_tokens"),
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1/", "max_completion_tokens"),
        ("https://contoso.openai.azure.com/openai/v1/", "max_completion_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
        ("https://llm.example/openai.com/v1", "max_tokens"),
    ],
)
def test_the_parameter_for_the_length_of_an_answer_is_the_one_the_server_knows(url: str | None, parameter: str) -> None:
    assert parameter in OpenAIProvider("gpt-4o-mini", "key", url)._bounds()
    assert "max_completion_tokens" in OpenAIProvider("openai/gpt-5-mini", "key", url)._bounds()


def test_of_a_deployment_whose_name_does_not_tell_that_it_thinks_it_is_said_once_and_remembered(
    openai_vendor: Vendor,
) -> None:
    made = openai_vendor.provider("my-deployment")
    assert made.answer_tokens == 800
    with pytest.raises(LongerAnswer):
        made.complete(PROMPT, seconds=PATIENCE)
    assert made.answer_tokens == 4096
    for _ in range(2):
        assert made.complete(PROMPT, seconds=PATIENCE).completion_tokens == 5
    assert ["temperature" in request.body for request in openai_vendor.server.requests] == [True, False, False]


def test_a_wrong_key_is_said_to_the_operator_and_never_quoted(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    error = vendor.failure(key="sk-wrong")
    assert (error.status, error.code) == (503, "model_key_rejected")
    assert vendor.key_variable in error.detail
    fields = logged(caplog, "model.refused", "status", "code", "variable")
    assert fields == [(401, "model_key_rejected", vendor.key_variable)]
    printed = "".join(traceback.format_exception(error)) + "".join(str(vars(record)) for record in caplog.records)
    assert "sk-wrong" not in printed
    assert "test-key" not in printed
    assert len(vendor.server.requests) == 1


def test_a_model_that_the_vendor_does_not_know_is_the_mistake_of_who_chose_it(
    vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(vendor.failure(model="gpt-nonsense"), Unprocessable)
    assert len(vendor.server.requests) == 1
    assert logged(caplog, "model.refused") == []
    with pytest.raises(Unavailable):
        vendor.provider("gpt-nonsense", named=False).complete(PROMPT, seconds=PATIENCE)
    variable = f"MINIRAG_{vendor.name.upper()}_MODEL"
    assert logged(caplog, "model.refused", "code", "variable") == [("model_unknown", variable)]


def test_a_rate_limit_says_when_to_come_back_and_is_not_waited_for(vendor: Vendor) -> None:
    vendor.server.fail(429, times=2, retry_after="41.5")
    error = vendor.failure()
    assert (error.status, error.retry_after) == (503, 42)
    assert len(vendor.server.requests) == 1


def test_a_rate_limit_that_passes_in_time_is_waited_for(vendor: Vendor) -> None:
    vendor.server.fail(429, times=2, retry_after="0.3")
    started = time.monotonic()
    assert vendor.complete().completion_tokens == 5
    assert time.monotonic() - started >= 0.6


@pytest.mark.parametrize("status", [408, 500, 503, 529])
def test_a_failing_vendor_is_asked_three_times(vendor: Vendor, status: int) -> None:
    vendor.server.fail(status, times=2)
    assert vendor.complete().completion_tokens == 5
    vendor.server.requests.clear()
    vendor.server.fail(status, times=4, retry_after="0")
    assert isinstance(vendor.failure(), Unavailable)
    assert len(vendor.server.requests) == 3


def test_pauses_are_drawn_below_a_bound_that_doubles(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []
    slept: list[float] = []
    monkeypatch.setattr(sdk, "_PAUSE", 0.5)

    def quarter(low: float, high: float) -> float:
        drawn.append((low, high))
        return high / 4

    monkeypatch.setattr(sdk, "uniform", quarter)
    monkeypatch.setattr(sdk, "sleep", slept.append)
    vendor.server.fail(500, times=3)
    vendor.failure()
    assert drawn[:2] == [(0, 0.5), (0, 1.0)]
    assert slept == [0.125, 0.25]


def test_there_is_no_other_attempt_after_the_deadline(vendor: Vendor) -> None:
    vendor.complete()
    vendor.server.fail(503, times=3, retry_after="1.5")
    started = time.monotonic()
    assert vendor.failure(seconds=1.0).code == "unavailable"
    assert time.monotonic() - started < 1.5
    assert len(vendor.server.requests) == 2


@pytest.mark.parametrize("status", [400, 402, 403, 413, 422])
def test_a_refused_request_is_not_repeated(vendor: Vendor, status: int) -> None:
    vendor.server.fail(status, times=3)
    assert isinstance(vendor.failure(), Unavailable)
    assert len(vendor.server.requests) == 1


def test_a_spent_account_is_the_operators_to_fill(openai_vendor: Vendor) -> None:
    openai_vendor.server.fail(429, times=2, code="insufficient_quota")
    assert openai_vendor.failure().code == "model_credit_spent"
    assert len(openai_vendor.server.requests) == 1


def test_a_slow_answer_is_out_of_time(vendor: Vendor) -> None:
    vendor.complete()
    vendor.server.delay(60)
    started = time.monotonic()
    assert isinstance(vendor.failure(seconds=0.5), OutOfTime)
    assert isinstance(vendor.failure(seconds=-1.0), OutOfTime)
    assert time.monotonic() - started < 10
    assert len(vendor.server.requests) == 2


def test_an_answer_that_trickles_past_the_deadline_is_out_of_time(vendor: Vendor) -> None:
    vendor.complete()
    vendor.server.spoil("trickle", seconds=30)
    started = time.monotonic()
    assert isinstance(vendor.failure(seconds=1.0), OutOfTime)
    assert time.monotonic() - started < 15


def test_an_answer_that_trickles_in_time_is_taken(vendor: Vendor) -> None:
    vendor.server.spoil("trickle", seconds=0.3)
    assert vendor.complete().completion_tokens == 5


@pytest.mark.parametrize("kind", ["reset", "half"])
def test_an_answer_that_breaks_off_is_asked_for_again(vendor: Vendor, kind: Literal["reset", "half"]) -> None:
    vendor.server.spoil(kind)
    assert vendor.complete().completion_tokens == 5
    vendor.server.requests.clear()
    vendor.server.spoil(kind, times=4)
    assert isinstance(vendor.failure(), Unavailable)
    assert len(vendor.server.requests) == 3


def test_a_vendor_that_cannot_be_reached_is_unavailable(vendor: Vendor) -> None:
    made = vendor.make(vendor.model, "key", "http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        made.complete(PROMPT, seconds=PATIENCE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"<html>",
        {},
        [],
        None,
        {"choices": []},
        {"choices": [{}], "content": 3},
        {"choices": [{"message": {"content": 3}}], "content": [{"type": "text", "text": 3}], "usage": {}},
    ],
)
def test_a_malformed_answer_is_an_unavailable_model(vendor: Vendor, body: object) -> None:
    vendor.server.say(body)
    assert isinstance(vendor.failure(), Unavailable)


def test_a_page_of_a_proxy_instead_of_an_answer_is_an_unavailable_model(vendor: Vendor) -> None:
    vendor.server.say(b"<html>", "text/html")
    assert isinstance(vendor.failure(), Unavailable)


def test_a_model_that_only_thought_is_no_answer(vendor: Vendor) -> None:
    vendor.server.end("length" if vendor.name == OPENAI else "max_tokens")
    assert "tokens" in vendor.failure().detail


def test_a_vendor_that_only_says_nothing_gives_an_empty_answer(vendor: Vendor) -> None:
    vendor.server.end("stop" if vendor.name == OPENAI else "end_turn")
    completion = vendor.complete()
    assert (completion.text, completion.finish) == ("", "stop")


def test_an_answer_that_is_cut_by_its_length_is_kept(vendor: Vendor) -> None:
    vendor.server.end("length" if vendor.name == OPENAI else "max_tokens", "Employees get 25 days. [1] They")
    completion = vendor.complete()
    assert (completion.text, completion.finish) == ("Employees get 25 days. [1] They", "length")


@pytest.mark.parametrize("reason", ["content_filter", "refusal"])
def test_a_filtered_or_refused_answer_is_an_empty_one(vendor: Vendor, reason: str) -> None:
    if vendor.name == ANTHROPIC and reason == "content_filter":
        vendor.server.fail(400, type="invalid_request_error", message="Output blocked by content filtering policy")
    else:
        vendor.server.end(reason, "I cannot help with that.")
    completion = vendor.complete()
    assert (completion.text, completion.finish, completion.provider) == ("", reason, vendor.name)
    assert len(vendor.server.requests) == 1


def test_a_question_that_azure_filters_has_an_empty_answer(openai_vendor: Vendor) -> None:
    openai_vendor.server.fail(400, code="content_filter", param="prompt")
    completion = openai_vendor.complete()
    assert (completion.text, completion.finish, completion.completion_tokens) == ("", "content_filter", 0)


def test_thoughts_that_a_server_leaves_in_the_answer_are_no_part_of_it(openai_vendor: Vendor) -> None:
    openai_vendor.server.completion = lambda _: "<think>\nThe passage says 25. [7]\n</think>\n\nThey get 25 days. [1]"
    assert openai_vendor.complete().text.strip() == "They get 25 days. [1]"
    openai_vendor.server.end("length", "<think>The passage says")
    assert "tokens" in openai_vendor.failure().detail


def test_a_server_that_does_not_tell_its_tokens_has_them_counted(openai_vendor: Vendor) -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "25 days. [1]"}}
    openai_vendor.server.say({"model": "m", "choices": [choice]})
    completion = openai_vendor.complete()
    assert completion.prompt_tokens == tokens.count(f"{PROMPT.system}\n{PROMPT.user}")
    assert completion.completion_tokens == tokens.count("25 days. [1]")


TOO_LONG: dict[str, dict[str, Any]] = {
    "code": {"code": "context_length_exceeded"},
    "vllm": {"type": "BadRequestError", "message": "This model's maximum context length is 4096 tokens."},
    "llama.cpp": {"type": "exceed_context_size_error", "message": "the request is too large"},
    "anthropic": {"type": "invalid_request_error", "message": "prompt is too long: 208310 tokens > 200000 maximum"},
}


@pytest.mark.parametrize("said", TOO_LONG)
def test_a_prompt_that_is_too_long_is_told_from_other_refusals(said: str, request: pytest.FixtureRequest) -> None:
    vendor: Vendor = request.getfixturevalue(f"{ANTHROPIC if said == ANTHROPIC else OPENAI}_vendor")
    vendor.server.fail(400, **TOO_LONG[said])
    error = vendor.failure()
    assert isinstance(error, ContextOverflow)
    assert (error.status, error.code) == (503, "context_overflow")
    printed = "".join(traceback.format_exception(error))
    assert "maximum" not in printed
    vendor.server.fail(400)
    assert vendor.failure().code == "model_refused"


def test_a_client_keeps_its_connection(vendor: Vendor) -> None:
    vendor.complete()
    vendor.complete(model=vendor.thinking_model)
    first, second = vendor.server.requests
    assert first.client == second.client


def test_the_fake_of_openai_streams_as_the_sdk_reads(openai_vendor: Vendor) -> None:
    client = openai.OpenAI(api_key=openai_vendor.server.key, base_url=openai_vendor.server.url, max_retries=0)
    with client:
        chunks = list(
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": PROMPT.user}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    deltas = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(delta.delta.content or "" for delta in deltas) == "Employees get 25 days. [1]"
    assert [delta.finish_reason for delta in deltas][-2:] == [None, "stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_fake_of_anthropic_streams_as_the_sdk_reads(anthropic_vendor: Vendor) -> None:
    server = anthropic_vendor.server
    with (
        anthropic.Anthropic(api_key=server.key, base_url=server.url, max_retries=0) as client,
        client.messages.stream(
            model="claude-haiku-4-5",
            max_tokens=800,
            system=PROMPT.system,
            messages=[{"role": "user", "content": PROMPT.user}],
        ) as stream,
    ):
        assert "".join(stream.text_stream) == "Employees get 25 days. [1]"
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == len(f"{PROMPT.system} {PROMPT.user}".split())
    assert message.usage.output_tokens == 5


@pytest.mark.parametrize("failing", [401, 429, 500, "delay", "reset", "length"])
def test_another_provider_takes_over_from_one_that_fails(
    both: tuple[Vendor, Vendor], failing: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = both
    # SDKs are imported before the clock runs.
    for one in both:
        one.complete()
        one.server.requests.clear()
    seconds = PATIENCE
    if failing == "delay":
        first.server.delay(60)
        seconds = 5.0
    elif failing == "reset":
        first.server.spoil("reset", times=3)
    elif failing == "length":
        first.server.end("length" if first.name == OPENAI else "max_tokens")
    else:
        first.server.fail(int(failing), times=3, retry_after="60")
    completion, _ = fail_over.complete([first.provider(), second.provider()], PROMPT, seconds=seconds)
    assert (completion.provider, completion.model) == (second.name, second.model)
    assert completion.text == "Employees get 25 days. [1]"
    codes = {401: "model_key_rejected", 429: "model_rate_limited", "delay": "out_of_time", "reset": "model_broke_off"}
    codes |= {"length": "model_spent"}
    expected = (first.name, second.name, codes.get(failing, "unavailable"))
    assert logged(caplog, "ask.failed_over", "provider", "to", "code") == [expected]
    assert "test-key" not in "".join(str(vars(record)) for record in caplog.records)


def test_what_the_last_provider_raises_is_raised(both: tuple[Vendor, Vendor]) -> None:
    first, second = both
    first.server.fail(500, times=3, retry_after="0")
    second.server.fail(429, retry_after="60")
    with pytest.raises(Unavailable) as caught:
        fail_over.complete([first.provider(), second.provider()], PROMPT, seconds=PATIENCE)
    assert caught.value.code == "model_rate_limited"


def test_a_first_provider_that_answers_or_refuses_leaves_the_second_alone(both: tuple[Vendor, Vendor]) -> None:
    first, second = both
    two = [first.provider(), second.provider()]
    assert fail_over.complete(two, PROMPT, seconds=PATIENCE)[0].provider == first.name
    first.server.end("refusal", "No.")
    assert fail_over.complete(two, PROMPT, seconds=PATIENCE)[0].finish == "refusal"
    with pytest.raises(Unprocessable):
        fail_over.complete([first.provider("nonsense"), second.provider()], PROMPT, seconds=PATIENCE)
    assert second.server.requests == []


class Recorded:
    """A provider that fails after it was told how long it has."""

    name = "recorded"
    model = "recorded-1"
    room = None
    answer_tokens = 0

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def count(self, text: str) -> int:
        return len(text)

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:
        self.seconds.append(seconds)
        raise Unavailable(f"{len(prompt.passages)} passages")


def test_a_provider_may_take_three_fifths_of_the_time_while_there_is_another_and_all_of_it_if_there_is_none() -> None:
    first, second = Recorded(), Recorded()
    with pytest.raises(Unavailable):
        fail_over.complete([first, second], PROMPT, seconds=1000.0)
    assert first.seconds == [pytest.approx(600, abs=5)]
    assert second.seconds == [pytest.approx(1000, abs=5)]
    with pytest.raises(Unavailable):
        fail_over.complete([first], PROMPT, seconds=1000.0)
    assert first.seconds[1] == pytest.approx(1000, abs=5)


def test_without_time_no_other_provider_is_asked() -> None:
    first, second = Recorded(), Recorded()
    with pytest.raises(Unavailable):
        fail_over.complete([first, second], PROMPT, seconds=0.0)
    assert second.seconds == []


def halved(prompt: Prompt) -> Prompt | None:
    kept = prompt.passages[: len(prompt.passages) // 2]
    return replace(prompt, passages=kept, user="word " * (10 * len(kept)) + PROMPT.user) if kept else None


def test_a_prompt_that_is_too_long_is_tried_with_fewer_passages(
    vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.server.context_tokens = 60
    long = replace(PROMPT, passages=(PASSAGE,) * 16, user="word " * 160 + PROMPT.user)
    completion, shown = fail_over.complete([vendor.provider()], long, seconds=PATIENCE, shorten=halved)
    assert completion.text == "Employees get 25 days. [1]"
    assert len(shown.passages) == 2
    assert logged(caplog, "ask.shortened", "passages") == [(8,), (4,), (2,)]
    vendor.server.context_tokens = 1
    with pytest.raises(ContextOverflow):
        fail_over.complete([vendor.provider()], long, seconds=PATIENCE, shorten=halved)


def test_what_is_too_long_for_one_provider_is_asked_whole_of_the_next(both: tuple[Vendor, Vendor]) -> None:
    first, second = both
    first.server.context_tokens = 1
    two = [first.provider(), second.provider()]
    assert fail_over.complete(two, PROMPT, seconds=PATIENCE, shorten=halved)[0].provider == second.name


BOTH = Settings(database_url="", openai_api_key="a", anthropic_api_key="b")
ANTHROPIC_FIRST = replace(BOTH, provider="anthropic")
ONLY_ANTHROPIC = Settings(database_url="", anthropic_api_key="b")
NONE = Settings(database_url="")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (BOTH, [OPENAI, ANTHROPIC, EXTRACTIVE]),
        (ANTHROPIC_FIRST, [ANTHROPIC, OPENAI, EXTRACTIVE]),
        (ONLY_ANTHROPIC, [ANTHROPIC, EXTRACTIVE]),
        (replace(ONLY_ANTHROPIC, provider="openai"), [ANTHROPIC, EXTRACTIVE]),
        (NONE, [EXTRACTIVE]),
    ],
)
def test_the_first_provider_with_a_key_answers_by_default_and_the_others_take_over(
    settings: Settings, names: list[str]
) -> None:
    assert available(settings) == names
    assert provider(settings, None, None).name == names[0]
    assert [one.name for one in providers(settings, None, None)] == (names[:-1] or [EXTRACTIVE])
    for name in names:
        assert provider(settings, name, None).name == name
        assert [one.name for one in providers(settings, name, None)] == [name]


def test_a_model_may_be_named() -> None:
    assert provider(BOTH, None, None).model == BOTH.openai_model
    assert [(one.name, one.model) for one in providers(BOTH, None, "gpt-4o")] == [(OPENAI, "gpt-4o")]
    assert [one.model for one in providers(BOTH, ANTHROPIC, "claude-sonnet-4-5")] == ["claude-sonnet-4-5"]
    with pytest.raises(Unprocessable, match="extractive-1"):
        providers(NONE, EXTRACTIVE, "gpt-4o")


@pytest.mark.parametrize("name", [OPENAI, "llama", "", "OPENAI"])
def test_a_provider_that_is_not_here_is_the_callers_mistake(name: str) -> None:
    if not name:
        assert provider(ONLY_ANTHROPIC, name, None).name == ANTHROPIC
        return
    with pytest.raises(Unprocessable, match="available: anthropic, extractive"):
        providers(ONLY_ANTHROPIC, name, None)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Settings]]:
    """The settings that these variables make."""

    def of(**variables: str) -> Settings:
        for name, value in {"MINIRAG_DATABASE_URL": "postgresql://", **variables}.items():
            monkeypatch.setenv(name, value)
        settings.current.cache_clear()
        return settings.current()

    yield of
    monkeypatch.undo()
    settings.current.cache_clear()


def test_who_is_asked_first_and_how_much_a_prompt_may_have_are_settings(read: Callable[..., Settings]) -> None:
    current = read(
        OPENAI_API_KEY="a", ANTHROPIC_API_KEY="b", MINIRAG_PROVIDER="anthropic", MINIRAG_CONTEXT_TOKENS="8000"
    )
    assert [(one.name, one.room) for one in providers(current, None, None)] == [(ANTHROPIC, 8000), (OPENAI, 8000)]
    with pytest.raises(ValueError, match="MINIRAG_PROVIDER must be one of openai, anthropic"):
        read(MINIRAG_PROVIDER="llama")
    with pytest.raises(ValueError, match="MINIRAG_CONTEXT_TOKENS must be at least 1000"):
        read(MINIRAG_PROVIDER="", MINIRAG_CONTEXT_TOKENS="999")
    with pytest.raises(ValueError, match="MINIRAG_ANSWERS_KEPT_DAYS must be at least 1"):
        read(MINIRAG_PROVIDER="", MINIRAG_CONTEXT_TOKENS="", MINIRAG_ANSWERS_KEPT_DAYS="0")


MODELS = ("gpt-4o-mini", "gpt-4o-2024-08-06", "gpt-4.1-mini", "gpt-5", "o3", "gpt-4", "gpt-4-turbo", "gpt-3.5-turbo")


@pytest.mark.parametrize("model", [*MODELS, "ft:gpt-4o:acme", "ft:gpt-4-0613"])
def test_tokens_are_counted_as_the_model_counts_them(model: str) -> None:
    text = "Der Leuchtturm stand auf der Insel. 灯台 <|endoftext|> \ud800 42"
    encoding = tiktoken.encoding_for_model(model)
    assert OpenAIProvider(model, "key", None).count(text) == len(encoding.encode_ordinary(text)) > 0


def test_tokens_of_other_vendors_are_estimated_and_extracting_has_none() -> None:
    text = "The lighthouse of Alexandria stood on the island of Pharos. " * 20
    counted = len(tiktoken.get_encoding("o200k_base").encode_ordinary(text))
    assert OpenAIProvider("llama-3.1-8b", "key", "http://localhost:11434/v1").count(text) == counted
    assert AnthropicProvider("claude-haiku-4-5", "key", None).count(text) == ceil(counted * 1.15)
    assert Extractive().count(text) == Extractive().answer_tokens == 0


def test_no_sdk_and_no_tokenizer_is_imported_before_it_is_used() -> None:
    program = """
import sys
from minirag.knowledge import cost
from minirag.knowledge.embeddings.choose import embedder
from minirag.knowledge.llm import fail_over
from minirag.knowledge.llm.choose import providers
from minirag.runtime.settings import Settings
settings = Settings(database_url="", openai_api_key="a", anthropic_api_key="b")
embedder(settings).windows("text"), [one.answer_tokens for one in providers(settings, None, None)]
print(*sorted({"openai", "anthropic", "onnxruntime", "tokenizers", "tiktoken"} & set(sys.modules)))
"""
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
