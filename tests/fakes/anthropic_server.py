"""Anthropic's messages, as far as the product uses them."""

import re
from collections.abc import Callable
from typing import Any

from tests.fakes.loopback import LoopbackServer, Reply, Request, sse
from tests.fakes.openai_server import first_sentence_cited

MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-sonnet-5")


class AnthropicServer(LoopbackServer):
    """`completion` makes the answer from the last message."""

    def __init__(self, completion: Callable[[str], str] = first_sentence_cited) -> None:
        super().__init__()
        self.completion = completion

    @property
    def url(self) -> str:
        """For ANTHROPIC_BASE_URL."""
        return self.origin

    def authorized(self, headers: dict[str, str]) -> bool:
        # The SDK sends the former since its version 2.
        return super().authorized(headers) or headers.get("x-api-key") == self.key

    def error(self, status: int, **details: str) -> object:
        message = f"invalid x-api-key {self.key}" if status == 401 else "The request failed."
        return {"type": "error", "error": {"type": "api_error", "message": message, **details}, "request_id": "req_1"}

    def answer(self, request: Request) -> Reply:
        body = request.body
        if request.path != "/v1/messages" or body["model"] not in MODELS:
            return Reply(404, self.error(404, type="not_found_error"))
        if body["model"] == "claude-sonnet-5" and "temperature" in body:
            return Reply(400, self.error(400, type="invalid_request_error"))
        tokens = len(f"{body['system']} {body['messages'][-1]['content']}".split())
        if self.context_tokens is not None and tokens > self.context_tokens:
            message = f"prompt is too long: {tokens} tokens > {self.context_tokens} maximum"
            return Reply(400, self.error(400, type="invalid_request_error", message=message))
        text = self.completion(body["messages"][-1]["content"])
        usage = {
            "input_tokens": tokens,
            "output_tokens": len(text.split()),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 7,
        }
        if body.get("stream"):
            return Reply(200, None, events=_streamed(body["model"], text, usage))
        return Reply(200, _message(body["model"], text, "end_turn", usage))

    def end(self, reason: str, text: str = "") -> None:
        """The reason is a stop_reason."""
        self.say(_message(MODELS[0], text, reason, {"input_tokens": 1, "output_tokens": 1}))


def _message(model: str, text: str, reason: str | None, usage: dict[str, int]) -> dict[str, Any]:
    content = [{"type": "text", "text": text}] if text else []
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content}
    return {**answer, "stop_reason": reason, "stop_sequence": None, "usage": usage}


def _streamed(model: str, text: str, usage: dict[str, int]) -> list[bytes]:
    """The answer a word at a time between the events that frame it."""
    block = {"index": 0}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": _message(model, "", None, {**usage, "output_tokens": 1})},
        {"type": "content_block_start", **block, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    events += [
        {"type": "content_block_delta", **block, "delta": {"type": "text_delta", "text": word}}
        for word in re.findall(r"\s*\S+", text)
    ]
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [
        {"type": "content_block_stop", **block},
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": usage["output_tokens"]}},
        {"type": "message_stop"},
    ]
    return [sse(event["type"], event) for event in events]
