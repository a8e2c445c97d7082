"""An answer as it is given to one caller: what it took, and what is kept of it for them."""

from collections.abc import Iterator
from contextlib import contextmanager
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
class Receipt:
    """What giving an answer took: tokens, and dollars by the price table of version `prices`.

    `cost_usd` is all of it, None if a model's price is not known, `function_usd` of it the function's time; `saved_usd`
    is what the models took for whom the answer was made, and did not take again.
    """

    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    cost_usd: Decimal | None
    function_usd: Decimal
    saved_usd: Decimal | None
    prices: str


@dataclass(frozen=True, slots=True)
class Given:
    """An answer, whether it was made for this caller (miss), before (hit) or meanwhile (shared), and what that took."""

    id: UUID
    kept: Kept
    cached: Cached
    receipt: Receipt
    duration_ms: float

    def body(self, request_id: str) -> bytes:
        """The response, an AskOut."""
        receipt = self.receipt
        usage = UsageOut(
            prompt_tokens=receipt.prompt_tokens,
            completion_tokens=receipt.completion_tokens,
            embedding_tokens=receipt.embedding_tokens,
            cost_usd=None if receipt.cost_usd is None else float(receipt.cost_usd),
            function_usd=float(receipt.function_usd),
            saved_usd=None if receipt.saved_usd is None else float(receipt.saved_usd),
            prices=receipt.prices,
        )
        own = GivenOut(answer_id=self.id, cached=self.cached, usage=usage, request_id=request_id)
        return fragments.join(fragments.write(own), self.kept.body)


def receipt(facts: Facts, cached: Cached, duration_ms: float) -> Receipt:
    """What an answer took: the models only if they were called for it, the function's time in any case."""
    function_usd, prices = cost.function_usd(duration_ms), cost.version()
    if cached != "miss":
        return Receipt(0, 0, 0, function_usd, function_usd, facts.model_usd, prices)
    total = None if facts.model_usd is None else facts.model_usd + function_usd
    tokens = facts.prompt_tokens, facts.completion_tokens, facts.embedding_tokens
    return Receipt(*tokens, total, function_usd, Decimal(0), prices)


@contextmanager
def recorded(caller: Caller, question: Question, given: Given) -> Iterator[None]:
    """Keep the answer for who asked, and count what it cost; what is done within is done while the database does that.

    At the end of the block it is kept. Raises Unavailable then if it is not.
    """
    facts, receipt = given.kept.facts, given.receipt
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
        prompt_tokens=receipt.prompt_tokens,
        completion_tokens=receipt.completion_tokens,
        embedding_tokens=receipt.embedding_tokens,
        cost_usd=receipt.cost_usd,
        function_usd=receipt.function_usd,
        saved_usd=receipt.saved_usd,
        prices=receipt.prices,
        duration_ms=round(given.duration_ms),
        timings=facts.timings if given.cached == "miss" else {},
    )
    uncounted = receipt.function_usd if receipt.cost_usd is None else receipt.cost_usd
    if given.cached == "miss" and receipt.cost_usd is not None:
        uncounted -= facts.counted_usd
    with db.batch(caller.tenant) as tx:
        answers.record(
            tx,
            caller.workspace_id,
            asked,
            given.kept.row,
            api_key_id=caller.api_key_id,
            source_ids=facts.source_ids,
        )
        if uncounted:
            quotas.add_cost(tx, caller.workspace_id, uncounted)
        yield
