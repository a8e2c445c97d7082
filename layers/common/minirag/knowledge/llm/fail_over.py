"""An answer by the first provider that can give one."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from minirag.knowledge.llm import Completion, ContextOverflow, Prompt, Provider
from minirag.runtime import telemetry
from minirag.runtime.errors import OutOfTime, Unavailable

# Of the time left, what a provider may take while there is another to turn to.
_SHARE: Final = 0.6

Shorten = Callable[[Prompt], Prompt | None]


def complete(
    providers: Sequence[Provider], prompt: Prompt, *, seconds: float, shorten: Shorten | None = None
) -> tuple[Completion, Prompt]:
    """Complete `prompt` within `seconds` by the first provider, or by the next if that one fails.

    A prompt that a model finds too long is made shorter by `shorten`, as often as it gives another: the prompt that
    was answered comes with the answer. Raises what the last provider asked raises; a mistake of the caller's is not
    asked again.
    """
    deadline = monotonic() + seconds
    for provider, following in zip(providers, [*providers[1:], None], strict=True):
        left = deadline - monotonic()
        try:
            return _complete(provider, prompt, left if following is None else _SHARE * left, shorten)
        except (Unavailable, OutOfTime) as error:
            if following is None or monotonic() >= deadline:
                raise
            telemetry.event("ask.failed_over", provider=provider.name, to=following.name, code=error.code)
    raise ValueError("there is no provider to ask")


def _complete(provider: Provider, prompt: Prompt, seconds: float, shorten: Shorten | None) -> tuple[Completion, Prompt]:
    deadline = monotonic() + seconds
    while True:
        try:
            return provider.complete(prompt, seconds=deadline - monotonic()), prompt
        except ContextOverflow:
            shorter = shorten(prompt) if shorten else None
            if shorter is None:
                raise
            telemetry.event("ask.shortened", provider=provider.name, passages=len(shorter.passages))
            prompt = shorter
