"""An answer as it is given to one caller: what it took, and what is kept of it for them."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from functions.ask.bodies import GivenOut, UsageOut
from functions.ask.kept import Facts, Kept
from functions.ask.question import Question
from minirag.knowledge import answers, cost
from minirag.runtime import db, fragments
from minirag.runtime.characters import storable
from minirag.runtime.single_flight import Cached
from minirag.tenancy import quotas
from minirag.tenancy.identity import Caller


@dataclass(frozen=True, slots=True)
class Given:
    """An answer, whether it was made for this caller (miss), before (hit) or meanwhile (shared), and what that took."""

    id: UUID
    kept: Kept
    cached: Cached
    usage: UsageOut
    duration_ms: float

    def body(self, request_id: str) -> bytes:
        """The response, an AskOut."""
        own = GivenOut(answer_id=self.id, cached=self.cached, usage=self.usage, request_id=request_id)
        return fragments.join(self.kept.answer, fragments.write(own), self.kept.passages)


def usage(facts: Facts, cached: Cached, duration_ms: float) -> UsageOut:
    """What an answer took: the models only if they were called for it, the function's time in any case."""
    made = cached == "miss"
    function_usd, models_usd = cost.function_usd(duration_ms), facts.model_usd if made else Decimal(0)
    return UsageOut(
        prompt_tokens=facts.prompt_tokens if made else 0,
        completion_tokens=facts.completion_tokens if made else 0,
        embedding_tokens=facts.embedding_tokens if made else 0,
        cost_usd=None if models_usd is None else models_usd + function_usd,
        function_usd=function_usd,
        saved_usd=Decimal(0) if made else facts.model_usd,
        prices=cost.version(),
    )


def record(caller: Caller, question: Question, given: Given) -> None:
    """Keep the answer for who asked, and count the function's time; what models took was counted when they had it."""
    facts, usage = given.kept.facts, given.usage
    asked = answers.Asked(
        id=given.id,
        user_id=caller.user_id,
        # A question may hold what is no character.
        question=storable(question.query),
        asked_provider=question.provider,
        asked_model=question.model,
        cached=given.cached,
        generation=caller.generation,
        k=question.k,
        filters=question.filters.given(),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        embedding_tokens=usage.embedding_tokens,
        cost_usd=usage.cost_usd,
        function_usd=usage.function_usd,
        saved_usd=usage.saved_usd,
        prices=usage.prices,
        duration_ms=round(given.duration_ms),
        timings=facts.timings if given.cached == "miss" else {},
    )
    row, source_ids = given.kept.row, facts.source_ids
    with db.batch(caller.tenant) as tx:
        answers.record(tx, caller.workspace_id, asked, row, api_key_id=caller.api_key_id, source_ids=source_ids)
        if usage.function_usd:
            quotas.add_cost(tx, caller.workspace_id, usage.function_usd)
