"""Answers by Anthropic."""

import re
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final

from minirag.knowledge import sdk
from minirag.knowledge.llm import Completion, ContextOverflow, Finish, Prompt, tokens
from minirag.knowledge.llm.draft import draft

if TYPE_CHECKING:
    import anthropic
    from anthropic.types import Message

_ANSWER_TOKENS: Final = 800
# Models from Claude 4.7 on may think first, which counts as tokens of the answer, and refuse a temperature. The SDK
# has no parameter for it any more; its migration guide sends it as a part of the body.
_THINKING_TOKENS: Final = 4096
_SAMPLES: Final = re.compile(r"claude-(?:3|(?:haiku|sonnet|opus)-4-[0-6](?:$|-))")
# Anthropic's tokenizer is not public, and counting by its API is a call more.
_MORE_TOKENS: Final = 1.15
_OVERFLOW: Final = re.compile(r"prompt is too long|context (?:limit|window)", re.IGNORECASE)
_FILTERED: Final = re.compile(r"content filtering policy", re.IGNORECASE)
_CUT: Final = frozenset({"max_tokens", "model_context_window_exceeded"})


class AnthropicProvider:
    """Messages, temperature 0 where the model accepts one."""

    name = "anthropic"

    def __init__(
        self, model: str, key: str, base_url: str | None, *, room: int | None = None, named: bool = True
    ) -> None:
        """`room`: tokens that a prompt may have; `named`: the caller chose the model, and may have chosen wrongly."""
        self.model = model
        self.room = room
        self._key = key
        self._base_url = base_url
        self._named = named
        self._samples = _SAMPLES.match(model) is not None

    @property
    def answer_tokens(self) -> int:
        """Tokens of the longest answer, thoughts included."""
        return _ANSWER_TOKENS if self._samples else _THINKING_TOKENS

    def count(self, text: str) -> int:
        """About the tokens of a text: as OpenAI's newest models count, and 15 % more."""
        return ceil(tokens.count(text) * _MORE_TOKENS)

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:
        """Answer within `seconds`; raises as `Provider.complete` does."""
        started = monotonic()
        client = sdk.anthropic_client(self._key, self._base_url)
        vendor = sdk.anthropic_vendor("MINIRAG_ANTHROPIC_MODEL", selectable=self._named)

        def request(left: float) -> Completion:
            return self._request(client, prompt, left)

        return sdk.call(vendor, request, seconds=seconds - (monotonic() - started))

    def _request(self, client: "anthropic.Anthropic", prompt: Prompt, seconds: float) -> Completion:
        import anthropic

        try:
            answer = client.messages.create(
                model=self.model,
                system=prompt.system,
                messages=[{"role": "user", "content": prompt.user}],
                max_tokens=self.answer_tokens,
                extra_body={"temperature": 0} if self._samples else None,
                timeout=seconds,
            )
        except anthropic.APIStatusError as error:
            if error.status_code in sdk.TOO_LONG and (error.status_code == 413 or _OVERFLOW.search(error.message)):
                raise ContextOverflow(f"the passages are longer than {self.model} reads; ask for fewer") from None
            if error.status_code == 400 and _FILTERED.search(error.message):
                return Completion("", self.model, 0, 0, self.name, "content_filter")
            raise
        return self._read(answer, prompt)

    def _read(self, answer: "Message", prompt: Prompt) -> Completion:
        text = "".join(block.text for block in answer.content if block.type == "text")
        finish: Finish = "length" if answer.stop_reason in _CUT else "stop"
        if answer.stop_reason == "refusal":
            text, finish = "", "refusal"
        usage = answer.usage
        read = usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        return draft(
            self,
            text,
            finish,
            prompt,
            model=answer.model,
            prompt_tokens=read,
            completion_tokens=usage.output_tokens,
        )
