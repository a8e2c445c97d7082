"""A new answer: retrieve, prompt, complete, verify. What comes out is the same for all who ask the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter
from typing import Final
from uuid import UUID

from functions.ask import prompt, spend, support
from functions.ask.citing.markers import without_markers
from functions.ask.citing.verify import Verified, verify
from functions.ask.harmless import harmless
from functions.ask.question import Question
from functions.ask.rank import Candidate, Fusion
from functions.ask.retrieve import Retrieved, retrieve
from minirag.knowledge import texts
from minirag.knowledge.chunks import Chunk
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
    price is not known. `timings` are milliseconds by step. `makeshift`: it may be another in a moment, because the
    question could not be embedded, another provider stood in, or the model gave nothing.
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
    timings: dict[str, float]
    makeshift: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an answer is made from: the passages that were found, and the prompt, None if there are none."""

    retrieved: Retrieved
    prompt: Prompt | None
    signals: support.Signals | None


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
    return evidence(question.query, retrieved, room=provider.room, count=provider.count)


def evidence(
    query: str, retrieved: Retrieved, *, room: int | None = None, count: Callable[[str], int] | None = None
) -> Evidence:
    """What a question is answered from, of what was found; with `room`, no more tokens than that, as `count` counts."""
    if not retrieved.found:
        return Evidence(retrieved, None, None)
    passages = [
        Passage(marker, chunk.id, chunk.source_id, chunk.source_name, chunk.content, candidate.score)
        for marker, (candidate, chunk) in enumerate(retrieved.found, 1)
    ]
    weights = {term: retrieved.statistics.idf(term) for term in terms(query, retrieved.language)}
    asked = prompt.build(query, passages, weights, retrieved.language, room=room, count=count)
    cosine = retrieved.found[0][0].vector_score if retrieved.embedding_model == support.FITTED_MODEL else None
    contents = [passage.content for passage in passages]
    signals = support.signals(query, contents, retrieved.statistics, cosine, retrieved.language)
    return Evidence(retrieved, asked, signals)


def compose(caller: Caller, question: Question, providers: Sequence[Provider], *, seconds: float) -> Answer:
    """Answer `question` from the caller's workspace within `seconds`, by the first of `providers` that can."""
    started = perf_counter()
    basis = gather(caller, question, providers[0], seconds=seconds)
    spend.count_embedding(caller, basis.retrieved)
    gathered = perf_counter()
    completion, asked = Completion("", providers[0].model, 0, 0, provider=providers[0].name), basis.prompt
    hopeful = asked is not None and _worth_asking(basis, providers[0])
    if asked is not None and hopeful:
        completion, asked = spend.complete(caller, providers, asked, seconds=seconds - (gathered - started))
    completed = perf_counter()
    draft = "" if prompt.declined(completion.text) else harmless(completion.text)
    verified, citations = _verify(caller, draft, basis.retrieved, asked.passages if asked else ())
    answered = bool(citations)
    timings = {"gather": gathered - started, "complete": completed - gathered, "verify": perf_counter() - completed}
    return Answer(
        text=harmless(
            verified.text if answered else _no_answer(basis.retrieved, filtered=bool(question.filters.given()))
        ),
        outcome="answered" if answered else "no_answer",
        score=verified.score if answered else 0.0,
        answerability=support.probability(basis.signals) if basis.signals else None,
        unsupported=[harmless(sentence) for sentence in verified.unsupported] if answered else [],
        found=basis.retrieved.found,
        citations=citations,
        provider=completion.provider,
        model=completion.model,
        finish=completion.finish,
        prompt_version=prompt.VERSION,
        prompt_hash=prompt.digest(asked) if asked else None,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        embedding_tokens=basis.retrieved.embedding_tokens,
        model_usd=_model_usd(spend.written_usd(completion, providers), spend.embedded_usd(basis.retrieved)),
        timings={step: round(took * 1000, 2) for step, took in timings.items()},
        makeshift=basis.retrieved.degraded
        or completion.provider != providers[0].name
        or (hopeful and not completion.text),
    )


def _worth_asking(basis: Evidence, provider: Provider) -> bool:
    """Whether to look for an answer at all: extracting would always find some sentence, a model says itself.

    But not even a model is asked where there is nothing to hope for.
    """
    assert basis.signals is not None
    if provider.name == EXTRACTIVE:
        return support.answerable(basis.signals)
    return not support.hopeless(basis.signals)


def _verify(
    caller: Caller, draft: str, retrieved: Retrieved, shown: Sequence[Passage]
) -> tuple[Verified, list[Citation]]:
    """Check the citations of a draft from the passages `shown` against the canonical text as it is stored."""
    chunks = {marker: chunk for marker, (_, chunk) in enumerate(retrieved.found[: len(shown)], 1)}
    stored: dict[int, texts.Slice] = {}
    if draft:
        with db.snapshot(caller.tenant) as tx:
            stored = {
                marker: texts.read(tx, caller.workspace_id, chunk.source_id, chunk.start_offset, chunk.end_offset)
                for marker, chunk in chunks.items()
            }
    verified = verify(draft, shown, {marker: one.text for marker, one in stored.items()})
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


def _no_answer(retrieved: Retrieved, *, filtered: bool) -> str:
    names = (without_markers(chunk.source_name) for _, chunk in retrieved.found)
    nearest = list(dict.fromkeys(names))[:_NEAREST]
    if not nearest and filtered:
        return "I don't know: in the documents that the filters let through there is nothing about this."
    if not nearest:
        return "I don't know: there is nothing in the documents about this."
    return f"I don't know: the documents do not answer this. Nearest to it: {', '.join(nearest)}."


def _model_usd(written: Decimal | None, embedded: Decimal | None) -> Decimal | None:
    return None if written is None or embedded is None else written + embedded
