"""An answer as it is given to one caller: what it took, and what is kept of it for them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from functions.ask.compose import Answer
from functions.ask.question import Question
from minirag.knowledge import answers, cost
from minirag.runtime import db
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
    answer: Answer
    cached: Cached
    receipt: Receipt
    duration_ms: float


def receipt(answer: Answer, cached: Cached, duration_ms: float) -> Receipt:
    """What an answer took: the models only if they were called for it, the function's time in any case."""
    function_usd, prices = cost.function_usd(duration_ms), cost.version()
    if cached != "miss":
        return Receipt(0, 0, 0, function_usd, function_usd, answer.model_usd, prices)
    total = None if answer.model_usd is None else answer.model_usd + function_usd
    tokens = answer.prompt_tokens, answer.completion_tokens, answer.embedding_tokens
    return Receipt(*tokens, total, function_usd, Decimal(0), prices)


def record(caller: Caller, question: Question, given: Given) -> None:
    """Keep the answer for who asked, and count what it cost."""
    answer, receipt = given.answer, given.receipt
    logged = answers.Logged(
        id=given.id,
        user_id=caller.user_id,
        # A question may hold what is no character.
        question=storable(question.query),
        answer=answer.text,
        outcome=answer.outcome,
        score=answer.score,
        answerability=answer.answerability,
        provider=answer.provider,
        model=answer.model,
        finish=answer.finish,
        asked_provider=question.provider,
        asked_model=question.model,
        cached=given.cached,
        generation=caller.generation,
        k=question.k,
        filters=question.filters.given(),
        passages=[
            {
                "chunk_id": str(chunk.id),
                "source_id": str(chunk.source_id),
                "start": chunk.start_offset,
                "end": chunk.end_offset,
                "score": round(candidate.score, 6),
                "keyword": candidate.keyword_rank,
                "vector": candidate.vector_rank,
            }
            for candidate, chunk in answer.found
        ],
        citations=[
            {
                "marker": one.marker,
                "chunk_id": str(one.chunk_id),
                "source_id": str(one.source_id),
                "page": one.page,
                "section": one.section,
                "start": one.start,
                "end": one.end,
            }
            for one in answer.citations
        ],
        unsupported=answer.unsupported,
        prompt_version=answer.prompt_version,
        prompt_hash=bytes.fromhex(answer.prompt_hash) if answer.prompt_hash else None,
        prompt_tokens=receipt.prompt_tokens,
        completion_tokens=receipt.completion_tokens,
        embedding_tokens=receipt.embedding_tokens,
        cost_usd=receipt.cost_usd,
        function_usd=receipt.function_usd,
        saved_usd=receipt.saved_usd,
        prices=receipt.prices,
        duration_ms=round(given.duration_ms),
        timings=answer.timings if given.cached == "miss" else {},
        created_at=datetime.now(UTC),
    )
    uncounted = receipt.function_usd if receipt.cost_usd is None else receipt.cost_usd
    if given.cached == "miss" and receipt.cost_usd is not None:
        uncounted -= answer.counted_usd
    source_ids = list({chunk.source_id for _, chunk in answer.found})
    with db.batch(caller.tenant) as tx:
        answers.record(tx, caller.workspace_id, logged, api_key_id=caller.api_key_id, source_ids=source_ids)
        if uncounted:
            quotas.add_cost(tx, caller.workspace_id, uncounted)
