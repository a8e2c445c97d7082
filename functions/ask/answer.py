"""The whole way of a question: what was answered before at this generation, or a new answer; kept, and priced."""

from collections.abc import Sequence
from time import perf_counter
from typing import Final
from uuid import uuid4

from functions.ask import prompt
from functions.ask.compose import compose
from functions.ask.given import Given, record, usage
from functions.ask.kept import FORM, Kept
from functions.ask.question import Question
from minirag.knowledge import cost
from minirag.knowledge.llm import Provider
from minirag.knowledge.llm.choose import providers as choose_providers
from minirag.runtime import cache, settings, single_flight, telemetry
from minirag.runtime.single_flight import Done
from minirag.tenancy.identity import Caller

_KEPT_SECONDS: Final = 3600
_KEPT_MAKESHIFT_SECONDS: Final = 10  # what may be better in a moment


def answer(caller: Caller, question: Question, *, seconds: float) -> Given:
    """Answer `question` from the caller's workspace within `seconds`.

    The key is made once, of the generation that came with the caller's identity, which is not looked up again: what is
    found under it was made from what was committed then, or later.
    """
    started = perf_counter()
    providers = choose_providers(settings.current(), question.provider, question.model)

    def work() -> Done:
        # Whoever takes the place of one that died has waited for it.
        made = compose(caller, question, providers, seconds=seconds - (perf_counter() - started))
        return Done(Kept.of(made).pack(), _KEPT_MAKESHIFT_SECONDS if made.makeshift else _KEPT_SECONDS)

    key = _key(caller, question, providers)
    packed, cached = single_flight.once("query", key, work, seconds=seconds)
    try:
        kept = Kept.unpack(packed)
    except ValueError:
        # It is not ours, or was damaged: nobody is to find it again.
        telemetry.event("ask.unreadable")
        single_flight.forget("query", key)
        packed, cached = single_flight.once("query", key, work, seconds=seconds - (perf_counter() - started))
        kept = Kept.unpack(packed)
    took_ms = (perf_counter() - started) * 1000
    given = Given(uuid4(), kept, cached, usage(kept.facts, cached, took_ms), took_ms)
    record(caller, question, given)
    telemetry.bind(
        answer_id=str(given.id),
        outcome=kept.facts.outcome,
        cached=cached,
        provider=kept.facts.provider,
        chunks=kept.facts.chunks,
        citations=kept.facts.citations,
        answer_ms=round(took_ms, 1),
    )
    return given


def _key(caller: Caller, question: Question, providers: Sequence[Provider]) -> str:
    """What two questions have in common that may have the same answer."""
    current = settings.current()
    return cache.key(
        settings.VERSION,
        FORM,
        prompt.VERSION,
        caller.workspace_id,
        caller.generation,
        [[provider.name, provider.model, provider.room] for provider in providers],
        [current.openai_base_url, current.anthropic_base_url, cost.version()],
        current.fusion,
        question.query.strip(),
        question.k,
        question.filters.given(),
    )
