"""Answers by OpenAI, or by any server that speaks its chat completions."""

import re
from typing import Final

from minirag.knowledge import sdk
from minirag.knowledge.llm import Completion, Prompt
from minirag.runtime.errors import Unavailable

_ANSWER_TOKENS: Final = 800
# Models that think first accept no temperature, and their thoughts count as tokens of the answer.
_THINKING_TOKENS: Final = 4096
_THINKS = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)")


class OpenAIProvider:
    """Chat completions, temperature 0 where the model accepts one."""

    name = "openai"

    def __init__(self, model: str, key: str, base_url: str | None) -> None:
        self.model = model
        self._key = key
        self._base_url = base_url

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:
        """Answer within `seconds`; raises Unavailable, OutOfTime, or Unprocessable for a model that does not exist."""
        client = sdk.openai_client(self._key, self._base_url)
        import openai

        thinks = _THINKS.match(self.model) is not None

        def request(left: float) -> Completion:
            answer = client.chat.completions.create(
                model=self.model,
                messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
                max_completion_tokens=_THINKING_TOKENS if thinks else _ANSWER_TOKENS,
                temperature=openai.omit if thinks else 0,
                timeout=left,
            )
            choice = answer.choices[0]
            text = choice.message.content or ""
            if not text and choice.finish_reason == "length":
                raise Unavailable(f"{self.model} spent all its tokens before it answered; try another model")
            prompted = answer.usage.prompt_tokens if answer.usage else 0
            completed = answer.usage.completion_tokens if answer.usage else 0
            return Completion(text, answer.model or self.model, prompted, completed)

        return sdk.call(sdk.openai_vendor("MINIRAG_OPENAI_MODEL", selectable=True), request, seconds=seconds)
