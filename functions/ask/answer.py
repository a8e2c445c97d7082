"""The whole way of a question: retrieve, prompt, complete, verify, and say what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter
from typing import Final
from uuid import UUID, uuid4

from functions.ask import cite, prompt, support
from functions.ask.rank import Candidate, Fusion
from functions.ask.retrieve import Retrieved, retrieve
from minirag.knowledge import answers, texts
from minirag.knowledge.chunks import Chunk
from minirag.knowledge.cost import cost_usd
from minirag.knowledge.embeddings.choose import embedder as choose_embedder
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.llm import Completion, Passage
from minirag.knowledge.llm.choose import EXTRACTIVE
from minirag.knowledge.llm.choose import provider as choose_provider
from minirag.runtime import db, settings, telemetry
from minirag.runtime.characters import storable
from minirag.tenancy import quotas
from minirag.tenancy.identity import Caller

_NEAREST: Final = 3


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, within which bounds, and who should answer."""

    query: str
    k: int
    filters: Filters
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote that was found in the stored text: `quote` is the source's canonical text[start:end]."""

    marker: int
    chunk_id: UUID
    source_id: UUID
    name: str
    page: int | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took; `cost_usd` None if a price is not known."""

    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose every citation was checked, or a plain sentence that there is none."""

    id: UUID
    text: str
    outcome: str
    score: float
    found: Sequence[tuple[Candidate, Chunk]]
    citations: Sequence[Citation]
    provider: str
    model: str
    usage: Usage


def search(caller: Caller, question: Question, *, seconds: float) -> Retrieved:
    """Retrieval alone."""
    return retrieve(
        caller,
        question.query,
        k=question.k,
        filters=question.filters,
        embedder=choose_embedder(settings.current(), caller.embedding_model),
        seconds=seconds,
        fusion=Fusion(settings.current().fusion),
    )


def answer(caller: Caller, question: Question, *, seconds: float) -> Answer:
    """Answer `question` from the caller's workspace within `seconds`.

    The cache and the single flight belong around all that follows: under a key made of `caller.generation`, which
    came with the caller's identity, and is not looked up again.
    """
    started = perf_counter()
    provider = choose_provider(settings.current(), question.provider, question.model)
    retrieved = search(caller, question, seconds=seconds)
    passages = [
        Passage(marker, chunk.id, chunk.source_id, chunk.source_name, chunk.content, candidate.score)
        for marker, (candidate, chunk) in enumerate(retrieved.found, 1)
    ]
    completion, prompt_hash = Completion("", provider.model, 0, 0), None
    # A model says itself when the passages do not answer; the extractive answerer would always find a sentence.
    if passages and (provider.name != EXTRACTIVE or _answerable(question, retrieved)):
        left = seconds - (perf_counter() - started)
        weights = {term: retrieved.statistics.idf(term) for term in terms(question.query, retrieved.language)}
        asked = prompt.build(question.query, passages, weights, retrieved.language)
        prompt_hash = prompt.digest(asked)
        completion = provider.complete(asked, seconds=left)
    draft = "" if prompt.declined(completion.text) else completion.text
    verified, citations = _verify(caller, draft, passages, retrieved)
    answered = bool(citations)
    answer = Answer(
        id=uuid4(),
        text=verified.text if answered else _no_answer(retrieved),
        outcome="answered" if answered else "no_answer",
        score=verified.score if answered else 0.0,
        found=retrieved.found,
        citations=citations if answered else [],
        provider=provider.name,
        model=completion.model,
        usage=_usage(completion, retrieved),
    )
    took_ms = (perf_counter() - started) * 1000
    _record(caller, question, answer, prompt_hash, took_ms)
    telemetry.event(
        "ask.completed",
        answer_id=str(answer.id),
        outcome=answer.outcome,
        provider=provider.name,
        chunks=len(passages),
        citations=len(citations),
        duration_ms=round(took_ms, 1),
    )
    return answer


def _record(caller: Caller, question: Question, answer: Answer, prompt_hash: bytes | None, took_ms: float) -> None:
    """Keep the answer for who asked, and count what it cost."""
    logged = answers.Logged(
        id=answer.id,
        user_id=caller.user_id,
        # A question may hold what is no character, and so may what a model writes.
        question=storable(question.query),
        answer=storable(answer.text),
        outcome=answer.outcome,
        score=answer.score,
        provider=answer.provider,
        model=answer.model,
        generation=caller.generation,
        k=question.k,
        filters=question.filters.given(),
        passages=[
            {
                "chunk_id": str(chunk.id),
                "source_id": str(chunk.source_id),
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
                "start": one.start,
                "end": one.end,
            }
            for one in answer.citations
        ],
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
        embedding_tokens=answer.usage.embedding_tokens,
        cost_usd=answer.usage.cost_usd,
        duration_ms=round(took_ms),
        created_at=datetime.now(UTC),
    )
    source_ids = list({chunk.source_id for _, chunk in answer.found})
    with db.transaction(caller.tenant) as tx:
        answers.record(
            tx,
            caller.workspace_id,
            logged,
            api_key_id=caller.api_key_id,
            source_ids=source_ids,
            prompt_hash=prompt_hash,
        )
        if answer.usage.cost_usd:
            quotas.add_cost(tx, caller.workspace_id, answer.usage.cost_usd)


def _answerable(question: Question, retrieved: Retrieved) -> bool:
    cosine = retrieved.cosine if retrieved.embedding_model == support.FITTED_MODEL else None
    contents = [chunk.content for _, chunk in retrieved.found]
    return support.answerable(
        support.signals(question.query, contents, retrieved.statistics, cosine, retrieved.language)
    )


def _verify(
    caller: Caller, draft: str, passages: Sequence[Passage], retrieved: Retrieved
) -> tuple[cite.Verified, list[Citation]]:
    """Check the draft's citations against the canonical text, read again from the store."""
    chunks = {passage.marker: chunk for passage, (_, chunk) in zip(passages, retrieved.found, strict=True)}
    stored: dict[int, texts.Slice] = {}
    if draft:
        with db.snapshot(caller.tenant) as tx:
            stored = {
                marker: texts.read(tx, caller.workspace_id, chunk.source_id, chunk.start_offset, chunk.end_offset)
                for marker, chunk in chunks.items()
            }
    verified = cite.verify(draft, passages, {marker: one.text for marker, one in stored.items()})
    citations = [
        Citation(
            marker=span.marker,
            chunk_id=chunks[span.marker].id,
            source_id=chunks[span.marker].source_id,
            name=chunks[span.marker].source_name,
            page=stored[span.marker].page_at(chunks[span.marker].start_offset + span.start),
            start=chunks[span.marker].start_offset + span.start,
            end=chunks[span.marker].start_offset + span.end,
            quote=span.quote,
        )
        for span in verified.spans
    ]
    return verified, citations


def _no_answer(retrieved: Retrieved) -> str:
    names = (cite.without_markers(chunk.source_name) for _, chunk in retrieved.found)
    nearest = list(dict.fromkeys(names))[:_NEAREST]
    if not nearest:
        return "I don't know: there is nothing in the documents about this."
    return f"I don't know: the documents do not answer this. Nearest to it: {', '.join(nearest)}."


def _usage(completion: Completion, retrieved: Retrieved) -> Usage:
    generation = cost_usd(completion.model, completion.prompt_tokens, completion.completion_tokens)
    embedding = (
        Decimal(0)
        if retrieved.embedding_model is None
        else cost_usd(retrieved.embedding_model, retrieved.embedding_tokens, 0)
    )
    return Usage(
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        embedding_tokens=retrieved.embedding_tokens,
        cost_usd=generation + embedding if generation is not None and embedding is not None else None,
    )
