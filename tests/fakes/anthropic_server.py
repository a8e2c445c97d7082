"""Anthropic's messages, as far as the product uses them."""

from collections.abc import Callable

from tests.fakes.loopback import LoopbackServer, Reply, Request
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
        text = self.completion(body["messages"][-1]["content"])
        usage = {
            "input_tokens": len(f"{body['system']} {body['messages'][-1]['content']}".split()),
            "output_tokens": len(text.split()),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 7,
        }
        answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "usage": usage}
        ending = {"stop_reason": "end_turn", "stop_sequence": None}
        return Reply(200, {**answer, **ending, "content": [{"type": "text", "text": text}]})
