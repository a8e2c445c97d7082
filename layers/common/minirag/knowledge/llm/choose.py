"""Which model answers."""

from functools import lru_cache
from typing import Final

from minirag.knowledge.llm import Provider
from minirag.knowledge.llm.anthropic import AnthropicProvider
from minirag.knowledge.llm.extractive import MODEL as EXTRACTIVE_MODEL
from minirag.knowledge.llm.extractive import Extractive
from minirag.knowledge.llm.openai import OpenAIProvider
from minirag.runtime.errors import Unprocessable
from minirag.runtime.settings import Settings

OPENAI: Final = OpenAIProvider.name
ANTHROPIC: Final = AnthropicProvider.name
EXTRACTIVE: Final = Extractive.name


def available(settings: Settings) -> list[str]:
    """The names of the providers that can answer here, the default one first."""
    keys = {OPENAI: settings.openai_api_key, ANTHROPIC: settings.anthropic_api_key}
    with_key = [name for name, key in keys.items() if key]
    return [*sorted(with_key, key=lambda name: name != settings.provider), EXTRACTIVE]


@lru_cache(maxsize=32)
def providers(settings: Settings, name: str | None, model: str | None) -> tuple[Provider, ...]:
    """Who answers, and after it who takes over if it fails: nobody for a caller who named a provider or a model.

    By default all that have a key, or the extractive answerer. Raises Unprocessable as `provider` does.
    """
    if name or model:
        return (provider(settings, name, model),)
    with_key = [one for one in available(settings) if one != EXTRACTIVE]
    return tuple(provider(settings, one, None) for one in with_key or [EXTRACTIVE])


@lru_cache(maxsize=32)
def provider(settings: Settings, name: str | None, model: str | None) -> Provider:
    """The provider `name` with `model`; by default OpenAI, Anthropic or the extractive one, whichever can answer.

    Raises Unprocessable if `name` is unknown or has no key here, or if the extractive answerer is asked for a model.
    """
    names = available(settings)
    chosen = name or names[0]
    room, named = settings.context_tokens, bool(model)
    if chosen == OPENAI and settings.openai_api_key:
        key, url = settings.openai_api_key, settings.openai_base_url
        return OpenAIProvider(model or settings.openai_model, key, url, room=room, named=named)
    if chosen == ANTHROPIC and settings.anthropic_api_key:
        key, url = settings.anthropic_api_key, settings.anthropic_base_url
        return AnthropicProvider(model or settings.anthropic_model, key, url, room=room, named=named)
    if chosen == EXTRACTIVE:
        if model not in {None, EXTRACTIVE_MODEL}:
            raise Unprocessable(
                f"The provider {EXTRACTIVE!r} has one model only, {EXTRACTIVE_MODEL!r}", code="model_unknown"
            )
        return Extractive()
    known = "has no API key here" if chosen in {OPENAI, ANTHROPIC} else "is not known"
    raise Unprocessable(f"The provider {chosen!r} {known}; available: {', '.join(names)}", code="provider_unavailable")
