"""OpenAI's chat completions and embeddings, as far as the product uses them."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fakes.loopback import LoopbackServer, Reply, Request

CHAT_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "gpt-5-mini")
EMBEDDING_MODELS = ("text-embedding-3-small", "text-embedding-3-large")


def first_sentence_cited(prompt: str) -> str:
    """What a dutiful model might say: the first sentence of passage [1], with its marker."""
    passage = re.search(r"\[1\][^\n]*\n(.+?)(?:\n\n|\Z)", prompt, re.DOTALL)
    return f"{passage.group(1).partition('. ')[0].rstrip('.')}. [1]" if passage else "NO_ANSWER"


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

    def _chat(self, body: dict[str, Any]) -> Reply:
        if body["model"].startswith("gpt-5") and "temperature" in body:
            return Reply(400, self.error(400, code="unsupported_value", param="temperature"))
        text = self.completion(body["messages"][-1]["content"])
        prompt_tokens = sum(len(message["content"].split()) for message in body["messages"])
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(text.split()),
            "total_tokens": prompt_tokens + len(text.split()),
        }
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1760000000, "model": body["model"]}
        return Reply(200, {**answer, "choices": [choice], "usage": usage})

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
