"""Answers by Anthropic."""

import re
from typing import Final

from minirag.knowledge import sdk
from minirag.knowledge.llm import Completion, Prompt
from minirag.runtime.errors import Unavailable

_ANSWER_TOKENS: Final = 800
# Models from Claude 4.7 on may think first, which counts as tokens of the answer, and refuse a temperature. The SDK
# has no parameter for it any more; its migration guide sends it as a part of the body.
_THINKING_TOKENS: Final = 4096
_SAMPLES = re.compile(r"claude-(?:3|(?:haiku|sonnet|opus)-4-[0-6](?:$|-))")


class AnthropicProvider:
    """Messages, temperature 0 where the model accepts one."""

    name = "anthropic"

    def __init__(self, model: str, key: str, base_url: str | None) -> None:
        self.model = model
        self._key = key
        self._base_url = base_url

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:
        """Answer within `seconds`; raises Unavailable, OutOfTime, or Unprocessable for a model that does not exist."""
        client = sdk.anthropic_client(self._key, self._base_url)
        samples = _SAMPLES.match(self.model) is not None

        def request(left: float) -> Completion:
            answer = client.messages.create(
                model=self.model,
                system=prompt.system,
                messages=[{"role": "user", "content": prompt.user}],
                max_tokens=_ANSWER_TOKENS if samples else _THINKING_TOKENS,
                extra_body={"temperature": 0} if samples else None,
                timeout=left,
            )
            text = "".join(block.text for block in answer.content if block.type == "text")
            if not text and answer.stop_reason == "max_tokens":
                raise Unavailable(f"{self.model} spent all its tokens before it answered; try another model")
            usage = answer.usage
            prompted = usage.input_tokens
            prompted += (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
            return Completion(text, answer.model or self.model, prompted, usage.output_tokens)

        return sdk.call(sdk.anthropic_vendor("MINIRAG_ANTHROPIC_MODEL", selectable=True), request, seconds=seconds)
