"""A new answer: retrieve, prompt, complete, verify. What comes out is the same for all who ask the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter
from typing import Final
from uuid import UUID

from functions.ask import prompt, spend, support
from functions.ask.citing.verify import Verified, verify, without_markers
from functions.ask.harmless import harmless
from functions.ask.question import Question
from functions.ask.rank import Candidate, Fusion
from functions.ask.retrieve import Retrieved, retrieve
from minirag.knowledge import texts
from minirag.knowledge.chunks import Chunk
from minirag.knowledge.cost import cost_usd
from minirag.knowledge.embeddings.choose import embedder as choose_embedder
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.llm import Completion, Passage, Prompt, Provider
from minirag.knowledge.llm.choose import EXTRACTIVE
from minirag.runtime import db, settings
from minirag.tenancy.identity import Caller

_NEAREST: Final = 3


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote that was found in the stored text: `quote` is the source's canonical text[start:end]."""

    marker: int
    chunk_id: UUID
    source_id: UUID
    name: str
    page: int | None
    section: str | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer whose every citation was checked, or a plain sentence that there is none.

    `score` is the supported share of its sentences, `unsupported` are the others; `answerability` the probability that
    what was retrieved answers the question, None where nothing was. `model_usd` is what the models took, None if a
    price is not known; `counted_usd` of it is counted against the month's limit already. `timings` are milliseconds by
    step. `degraded`: the question could not be embedded, and was answered by its words.
    """

    text: str
    outcome: str
    score: float
    answerability: float | None
    unsupported: list[str]
    found: list[tuple[Candidate, Chunk]]
    citations: list[Citation]
    provider: str
    model: str
    finish: str
    prompt_version: str
    prompt_hash: str | None  # in hexadecimal digits
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    model_usd: Decimal | None
    counted_usd: Decimal
    timings: dict[str, float]
    degraded: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an answer is made from: the passages that were found, and the prompt, None if there are none."""

    retrieved: Retrieved
    prompt: Prompt | None
    signals: support.Signals | None

    @property
    def shown(self) -> list[tuple[Candidate, Chunk]]:
        """The passages that fit the prompt, by their markers from 1."""
        return self.retrieved.found[: len(self.prompt.passages)] if self.prompt else []


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


def gather(caller: Caller, question: Question, provider: Provider, *, seconds: float) -> Evidence:
    """The passages for a question, and the prompt that a provider would be given."""
    retrieved = search(caller, question, seconds=seconds)
    if not retrieved.found:
        return Evidence(retrieved, None, None)
    passages = [
        Passage(marker, chunk.id, chunk.source_id, chunk.source_name, chunk.content, candidate.score)
        for marker, (candidate, chunk) in enumerate(retrieved.found, 1)
    ]
    weights = {term: retrieved.statistics.idf(term) for term in terms(question.query, retrieved.language)}
    asked = prompt.build(
        question.query, passages, weights, retrieved.language, room=provider.room, count=provider.count
    )
    cosine = retrieved.found[0][0].vector_score if retrieved.embedding_model == support.FITTED_MODEL else None
    contents = [passage.content for passage in passages]
    signals = support.signals(question.query, contents, retrieved.statistics, cosine, retrieved.language)
    return Evidence(retrieved, asked, signals)


def compose(caller: Caller, question: Question, providers: Sequence[Provider], *, seconds: float) -> Answer:
    """Answer `question` from the caller's workspace within `seconds`, by the first of `providers` that can."""
    started = perf_counter()
    evidence = gather(caller, question, providers[0], seconds=seconds)
    gathered = perf_counter()
    completion, counted = Completion("", providers[0].model, 0, 0, provider=providers[0].name), Decimal(0)
    if evidence.prompt is not None and _worth_asking(evidence, providers[0]):
        left = seconds - (gathered - started)
        completion, counted = spend.complete(caller, providers, evidence.prompt, seconds=left)
    completed = perf_counter()
    draft = "" if prompt.declined(completion.text) else harmless(completion.text)
    verified, citations = _verify(caller, draft, evidence)
    answered = bool(citations)
    timings = {"gather": gathered - started, "complete": completed - gathered, "verify": perf_counter() - completed}
    return Answer(
        text=harmless(verified.text if answered else _no_answer(evidence.retrieved)),
        outcome="answered" if answered else "no_answer",
        score=verified.score if answered else 0.0,
        answerability=support.probability(evidence.signals) if evidence.signals else None,
        unsupported=[harmless(sentence) for sentence in verified.unsupported] if answered else [],
        found=evidence.retrieved.found,
        citations=citations,
        provider=completion.provider,
        model=completion.model,
        finish=completion.finish,
        prompt_version=prompt.VERSION,
        prompt_hash=prompt.digest(evidence.prompt).hex() if evidence.prompt else None,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        embedding_tokens=evidence.retrieved.embedding_tokens,
        model_usd=_model_usd(spend.written_usd(completion, providers), evidence.retrieved),
        counted_usd=counted,
        timings={step: round(took * 1000, 2) for step, took in timings.items()},
        degraded=evidence.retrieved.degraded,
    )


def _worth_asking(evidence: Evidence, provider: Provider) -> bool:
    """Whether to look for an answer at all: extracting would always find some sentence, a model says itself.

    But not even a model is asked where there is nothing to hope for.
    """
    assert evidence.signals is not None
    if provider.name == EXTRACTIVE:
        return support.answerable(evidence.signals)
    return not support.hopeless(evidence.signals)


def _verify(caller: Caller, draft: str, evidence: Evidence) -> tuple[Verified, list[Citation]]:
    """Check the draft's citations against the canonical text, read again from the store."""
    chunks = {marker: chunk for marker, (_, chunk) in enumerate(evidence.shown, 1)}
    stored: dict[int, texts.Slice] = {}
    if draft:
        with db.snapshot(caller.tenant) as tx:
            stored = {
                marker: texts.read(tx, caller.workspace_id, chunk.source_id, chunk.start_offset, chunk.end_offset)
                for marker, chunk in chunks.items()
            }
    passages = evidence.prompt.passages if evidence.prompt else ()
    verified = verify(draft, passages, {marker: one.text for marker, one in stored.items()})
    citations = []
    for span in verified.spans:
        chunk = chunks[span.marker]
        start, end = chunk.start_offset + span.start, chunk.start_offset + span.end
        citations.append(
            Citation(
                marker=span.marker,
                chunk_id=chunk.id,
                source_id=chunk.source_id,
                name=chunk.source_name,
                page=stored[span.marker].page_at(start),
                section=chunk.section,
                start=start,
                end=end,
                quote=span.quote,
            )
        )
    return verified, citations


def _no_answer(retrieved: Retrieved) -> str:
    names = (without_markers(chunk.source_name) for _, chunk in retrieved.found)
    nearest = list(dict.fromkeys(names))[:_NEAREST]
    if not nearest:
        return "I don't know: there is nothing in the documents about this."
    return f"I don't know: the documents do not answer this. Nearest to it: {', '.join(nearest)}."


def _model_usd(written: Decimal | None, retrieved: Retrieved) -> Decimal | None:
    if retrieved.embedding_model is None:
        return written
    embedded = cost_usd(retrieved.embedding_model, retrieved.embedding_tokens, 0)
    return None if written is None or embedded is None else written + embedded
