"""OpenAI's chat completions and embeddings, as far as the product uses them."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fakes.loopback import LoopbackServer, Reply, Request, sse

# The last is a deployment's own name, which does not tell that its model thinks first.
THINKING_MODELS = ("gpt-5-mini", "my-deployment")
CHAT_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", *THINKING_MODELS)
EMBEDDING_MODELS = ("text-embedding-3-small", "text-embedding-3-large")


def first_sentence_cited(prompt: str) -> str:
    """What a dutiful model might say: the first sentence of the first passage, with its marker."""
    passage = re.search(r'<passage marker="(\d+)" source="[^"]*">\n(.+?)\n</passage>', prompt, re.DOTALL)
    return f"{passage[2].partition('. ')[0].rstrip('.')}. [{passage[1]}]" if passage else "NO_ANSWER"


def vector(text: str, dimension: int) -> list[float]:
    """A unit vector that is near to those of texts with the same words, and the same at every run."""
    total = np.zeros(dimension)
    for word in re.findall(r"\w+", text.casefold()) or [""]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(dimension)
    return [float(value) for value in total / np.linalg.norm(total)]


class OpenAIServer(LoopbackServer):
    """`completion` makes the answer of a chat from its last message."""

    def __init__(self, completion: Callable[[str], str] = first_sentence_cited) -> None:
        super().__init__()
        self.completion = completion

    @property
    def url(self) -> str:
        """For OPENAI_BASE_URL."""
        return f"{self.origin}/v1"

    def error(self, status: int, **details: str) -> object:
        # The vendor's message quotes a part of the key.
        message = f"Incorrect API key provided: {self.key}." if status == 401 else "The request failed."
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **details}}

    def answer(self, request: Request) -> Reply:
        known = {"/v1/chat/completions": CHAT_MODELS, "/v1/embeddings": EMBEDDING_MODELS}.get(request.path, ())
        if request.body["model"] not in known:
            return Reply(404, self.error(404, code="model_not_found"))
        if request.path == "/v1/embeddings":
            return self._embeddings(request.body)
        return self._chat(request.body)

    def end(self, reason: str, text: str = "") -> None:
        """`refusal` is said beside the text; any other reason is a finish_reason."""
        refused = reason == "refusal"
        choice = {"finish_reason": "stop" if refused else reason}
        message = {"role": "assistant", "content": None if refused else text, "refusal": text if refused else None}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choices = [{"index": 0, "message": message, **choice}]
        self.say({**_CHAT, "model": CHAT_MODELS[0], "choices": choices, "usage": usage})

    def _chat(self, body: dict[str, Any]) -> Reply:
        if body["model"] in THINKING_MODELS:
            for param in {"temperature", "max_tokens"} & body.keys():
                return Reply(400, self.error(400, code="unsupported_value", param=param))
        prompt_tokens = sum(len(message["content"].split()) for message in body["messages"])
        if self.context_tokens is not None and prompt_tokens > self.context_tokens:
            return Reply(400, self.error(400, code="context_length_exceeded", param="messages"))
        text = self.completion(body["messages"][-1]["content"])
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(text.split()),
            "total_tokens": prompt_tokens + len(text.split()),
        }
        if body.get("stream"):
            return Reply(200, None, events=_streamed(body, text, usage))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
        return Reply(200, {**_CHAT, "model": body["model"], "choices": [choice], "usage": usage})

    def _embeddings(self, body: dict[str, Any]) -> Reply:
        texts = body["input"]
        if not texts or len(texts) > 2048 or not all(texts):
            return Reply(400, self.error(400, param="input"))
        own = 1536 if body["model"] == "text-embedding-3-small" else 3072
        data = []
        for index, text in enumerate(texts):
            values = vector(text, own)[: body.get("dimensions", own)]
            coded = base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()
            embedding = coded if body.get("encoding_format") == "base64" else values
            data.append({"object": "embedding", "index": index, "embedding": embedding})
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Reply(200, {"object": "list", "data": data, "model": body["model"], "usage": usage})


_CHAT: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1760000000}


def _streamed(body: dict[str, Any], text: str, usage: dict[str, int]) -> list[bytes]:
    """The answer a word at a time, the usage last, and only if asked for."""
    head = {**_CHAT, "object": "chat.completion.chunk", "model": body["model"]}
    with_usage = bool(body.get("stream_options", {}).get("include_usage"))
    more = {"usage": None} if with_usage else {}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in re.findall(r"\s*\S+", text)]
    deltas.append(({}, "stop"))
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], **more}
        for delta, reason in deltas
    ]
    if with_usage:
        chunks.append({**head, "choices": [], "usage": usage})
    return [*(sse(None, chunk) for chunk in chunks), sse(None, "[DONE]")]
