"""What a vendor sent, as a draft answer: no longer than an answer is, and with figures that can be counted."""

from collections.abc import Callable
from typing import Final

from minirag.knowledge.llm import Completion, Finish, Prompt, Provider
from minirag.runtime.characters import storable
from minirag.runtime.errors import Unavailable

SPENT: Final = "model_spent"
"""The code of an answer that cost all of its tokens and says nothing."""

# Far above what so many tokens hold; servers that know no bound write on and on.
_LONGEST: Final = 20_000
_LONGEST_NAME: Final = 128
_MOST_TOKENS: Final = 10_000_000


def draft(
    provider: Provider,
    text: str,
    finish: Finish,
    prompt: Prompt,
    *,
    model: object,
    prompt_tokens: object,
    completion_tokens: object,
) -> Completion:
    """A completion; tokens that are not told, or cannot be, are counted here.

    Raises Unavailable, with the code SPENT, if all its tokens were spent before it said anything.
    """
    if len(text) > _LONGEST:
        text, finish = text[:_LONGEST], "length"
    if not text.strip() and finish == "length":
        detail = f"{provider.model} spent all its tokens before it answered; try another model"
        raise Unavailable(detail, code=SPENT)
    return Completion(
        storable(text),
        storable(model)[:_LONGEST_NAME] if isinstance(model, str) and model else provider.model,
        _told(prompt_tokens, lambda: provider.count(f"{prompt.system}\n{prompt.user}")),
        _told(completion_tokens, lambda: provider.count(text)),
        provider.name,
        finish,
    )


def _told(tokens: object, counted: Callable[[], int]) -> int:
    if isinstance(tokens, int | float) and 0 <= tokens <= _MOST_TOKENS:
        return int(tokens)
    return counted()
