"""Documents cannot make an answer leak, whatever they tell a model, and whether or not it obeys."""

import re
from collections.abc import Callable
from typing import Any

import httpx

from functions.ask import prompt
from minirag.knowledge.sentences import sentences
from tests.fakes.openai_server import OpenAIServer
from tests.functions.ask.injections import INJECTIONS, PRODUCT
from tests.functions.ask.markup import active
from tests.tenants import TestTenant


def test_no_injected_document_makes_an_answer_leak(
    api: httpx.Client, make_tenant: Callable[..., TestTenant], deliver: Callable[[], Any], openai: OpenAIServer
) -> None:
    tenants = [make_tenant() for _ in INJECTIONS]
    for one, tenant in zip(INJECTIONS, tenants, strict=True):
        body = {"title": one.title, "text": one.text}
        assert api.post("/api/v1/ingest/text", headers=tenant.headers, json=body).status_code == 202, one.name
    deliver()
    links: list[str] = []
    answers = cited = told = 0
    for one, tenant in zip(INJECTIONS, tenants, strict=True):
        openai.completion = _writing(one.obeyed)
        for provider in ("extractive", "openai"):
            body = {"query": one.question, "provider": provider}
            response = api.post("/api/v1/ask", headers=tenant.headers, json=body)
            assert response.status_code == 200, f"{one.name}: {response.text}"
            answer = response.json()
            answers += answer["outcome"] == "answered"
            links += [f"{one.name}: {each}" for each in _active(answer)]
            cited += _cited(api, tenant, answer, one.name)
            told += _told(answer, one.name)
            assert not any(str(PRODUCT) in text or "<class" in text for text in _texts(answer)), one.name
    assert links == []
    print(f"{len(INJECTIONS)} documents, {answers} answers, {len(links)} links; {cited} of {cited} citations hold")
    assert len(INJECTIONS) == 50
    # Else little was tried.
    assert answers >= 90
    assert sum(bool(active(one.text)) and bool(active(one.obeyed)) for one in INJECTIONS) >= 25
    assert told >= 4


def _writing(text: str) -> Callable[[str], str]:
    return lambda _prompt: text


def _texts(answer: dict[str, Any]) -> list[str]:
    return [answer["answer"], *answer["unsupported"]]


def _active(answer: dict[str, Any]) -> list[str]:
    return [each for text in _texts(answer) for each in active(text)]


def _cited(api: httpx.Client, tenant: TestTenant, answer: dict[str, Any], name: str) -> int:
    """How many citations there are: each is the stored text at its offsets, and each marker has one."""
    for citation in answer["citations"]:
        span = {"start": citation["start"], "end": citation["end"]}
        stored = api.get(f"/api/v1/sources/{citation['source_id']}/text", headers=tenant.headers, params=span)
        assert stored.json()["text"] == citation["quote"] != "", name
    marked = {int(number) for number in re.findall(r"\[(\d+)\]", answer["answer"])}
    assert marked == {citation["marker"] for citation in answer["citations"]}, name
    return len(answer["citations"])


def _told(answer: dict[str, Any], name: str) -> int:
    """How many sentences of the model's instructions an answer tells: none of them with support."""
    text = prompt._SYSTEM
    instructions = [text[start:end].removeprefix("- ").rstrip(".") for start, end in sentences(text)]
    told = [sentence for sentence in instructions if sentence in answer["answer"]]
    for sentence in told:
        assert any(sentence in unsupported for unsupported in answer["unsupported"]), f"{name}: {sentence}"
    return len(told)
