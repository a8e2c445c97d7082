"""Answers by OpenAI, or by any server that speaks its chat completions."""

import re
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from minirag.knowledge import sdk
from minirag.knowledge.llm import Completion, ContextOverflow, Finish, LongerAnswer, Prompt, tokens
from minirag.knowledge.llm.draft import draft

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletion

_ANSWER_TOKENS: Final = 800
# Models that think first accept no temperature, and their thoughts count as tokens of the answer.
_THINKING_TOKENS: Final = 4096
_THINKS: Final = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)")
_OWN_HOSTS: Final = (".openai.com", ".azure.com")
# How vLLM, llama.cpp, LiteLLM and others say what OpenAI says by a code.
_OVERFLOW: Final = re.compile(r"context[ _](?:length|size|window)|max_tokens must be at least 1", re.IGNORECASE)
# Thoughts that a server leaves in the answer.
_THOUGHTS: Final = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


class OpenAIProvider:
    """Chat completions, temperature 0 where the model accepts one."""

    name = "openai"

    def __init__(
        self, model: str, key: str, base_url: str | None, *, room: int | None = None, named: bool = True
    ) -> None:
        """`room`: tokens that a prompt may have; `named`: the caller chose the model, and may have chosen wrongly."""
        self.model = model
        self.room = room
        self._key = key
        self._base_url = base_url
        self._named = named
        self._own = base_url is None or (urlsplit(base_url).hostname or "").endswith(_OWN_HOSTS)
        self._thinks = _THINKS.match(model.rpartition("/")[2]) is not None

    @property
    def answer_tokens(self) -> int:
        """Tokens of the longest answer, thoughts included."""
        return _THINKING_TOKENS if self._thinks else _ANSWER_TOKENS

    def count(self, text: str) -> int:
        """Tokens of a text; of a model that is not OpenAI's, by their newest encoding."""
        return tokens.count(text, self.model)

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:
        """Answer within `seconds`; raises as `Provider.complete` does."""
        started = monotonic()
        client = sdk.openai_client(self._key, self._base_url)
        vendor = sdk.openai_vendor("MINIRAG_OPENAI_MODEL", selectable=self._named)

        def request(left: float) -> Completion:
            return self._request(client, prompt, left)

        return sdk.call(vendor, request, seconds=seconds - (monotonic() - started))

    def _request(self, client: "openai.OpenAI", prompt: Prompt, seconds: float) -> Completion:
        import openai

        try:
            answer = client.chat.completions.create(
                model=self.model,
                messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
                timeout=seconds,
                **self._bounds(),
            )
        except openai.APIStatusError as error:
            if error.code == "content_filter":
                return Completion("", self.model, 0, 0, self.name, "content_filter")
            if error.status_code in sdk.TOO_LONG and (
                error.code == "context_length_exceeded" or _OVERFLOW.search(f"{error.type} {error.message}")
            ):
                raise ContextOverflow(f"the passages are longer than {self.model} reads; ask for fewer") from None
            # The name of a model, or of a deployment of one, does not always tell that it thinks.
            if self._thinks or error.param not in {"temperature", "max_tokens"}:
                raise
            self._thinks = True
            raise LongerAnswer(f"{self.model} thinks before it answers; ask again") from None
        return self._read(answer, prompt)

    def _bounds(self) -> dict[str, Any]:
        if self._thinks:
            return {"max_completion_tokens": self.answer_tokens}
        # Ollama, and llama.cpp until 2026, ignore the newer name, and so would write without end.
        return {"max_completion_tokens" if self._own else "max_tokens": self.answer_tokens, "temperature": 0}

    def _read(self, answer: "ChatCompletion", prompt: Prompt) -> Completion:
        choice = answer.choices[0]
        text = (choice.message.content or "").strip()
        if thoughts := _THOUGHTS.match(text):
            text = text[thoughts.end() :]
        finish: Finish = "length" if choice.finish_reason == "length" else "stop"
        if choice.finish_reason == "content_filter":
            text, finish = "", "content_filter"
        elif choice.message.refusal:
            text, finish = "", "refusal"
        # Not every server tells what it counted.
        usage = answer.usage
        return draft(
            self,
            text,
            finish,
            prompt,
            model=answer.model,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
        )
