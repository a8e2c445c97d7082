"""The whole way of a question: what was answered before at this generation, or a new answer; and its price."""

import json
from collections.abc import Sequence
from hashlib import sha256
from time import perf_counter
from typing import Final
from uuid import uuid4

from functions.ask import prompt
from functions.ask.compose import compose
from functions.ask.given import Given, receipt
from functions.ask.kept import FORM, Kept
from functions.ask.question import Question
from minirag.knowledge.llm import Provider
from minirag.knowledge.llm.choose import providers as choose_providers
from minirag.runtime import cache, settings, single_flight, telemetry
from minirag.runtime.single_flight import Done
from minirag.tenancy.identity import Caller

_KEPT_SECONDS: Final = 3600
# What another provider wrote in place of the one that was asked, or was found without the question's vector: all may be
# well again in a moment.
_KEPT_MAKESHIFT_SECONDS: Final = 10

# What was kept in another form is not found.
_FORM: Final = sha256(json.dumps(FORM, sort_keys=True).encode()).hexdigest()[:16]


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
        whole = made.provider == providers[0].name and not made.degraded
        return Done(Kept.of(made).pack(), _KEPT_SECONDS if whole else _KEPT_MAKESHIFT_SECONDS)

    packed, cached = single_flight.once("query", _key(caller, question, providers), work, seconds=seconds)
    try:
        kept = Kept.unpack(packed)
    except ValueError:
        # It is not ours, or was damaged.
        telemetry.event("ask.unreadable")
        kept, cached = Kept.unpack(work().value), "miss"
    took_ms = (perf_counter() - started) * 1000
    given = Given(uuid4(), kept, cached, receipt(kept.facts, cached, took_ms), took_ms)
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
        _FORM,
        prompt.VERSION,
        caller.workspace_id,
        caller.generation,
        [[provider.name, provider.model, provider.room] for provider in providers],
        current.fusion,
        question.query.strip(),
        question.k,
        question.filters.given(),
    )
