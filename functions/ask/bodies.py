"""What the question API takes and gives."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from functions.ask.compose import Citation
from functions.ask.explain import Explanation, Outcome
from functions.ask.rank import Candidate
from minirag.knowledge.chunks import Chunk
from minirag.knowledge.hits import Standing
from minirag.runtime import settings
from minirag.runtime.http import Text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _not_too_long(text: str) -> str:
    limit = settings.current().max_query_chars
    if len(text) > limit:
        raise ValueError(f"has {len(text)} characters; at most {limit} are accepted")
    return text


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("must carry a time zone, like 2026-01-31T00:00:00Z")
    return moment


Moment = Annotated[datetime, AfterValidator(_aware)]
Names = Annotated[list[Annotated[Text, Field(max_length=64)]], Field(max_length=100)]


class FiltersIn(BaseModel):
    """What the search is confined to; a source matches if all given conditions hold."""

    model_config = ConfigDict(extra="forbid")

    source_ids: Annotated[list[UUID], Field(max_length=1000)] | None = None
    types: Names | None = None
    tags: Names | None = None
    language: Annotated[Text, Field(max_length=35)] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


class QuestionIn(BaseModel):
    """What is asked, and where."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[str, Field(min_length=1), AfterValidator(_not_blank), AfterValidator(_not_too_long)]
    k: Annotated[int, Field(ge=1, le=50)] = 8
    filters: FiltersIn | None = None
    workspace_id: UUID | None = None


class ExplainIn(BaseModel):
    """A document of which to tell why it did or did not come up."""

    model_config = ConfigDict(extra="forbid")

    source_id: UUID


class SearchIn(QuestionIn):
    """A question, without an answer wanted."""

    explain: ExplainIn | None = None


class AskIn(QuestionIn):
    """A question."""

    provider: Annotated[Text, Field(max_length=64)] | None = None
    model: Annotated[Text, Field(max_length=128)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOut:
    name: str
    type: str | None
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksOut:
    """Where the chunk stood in each list, from 1; None if it was not among the candidates there."""

    keyword: int | None
    vector: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOut:
    """A passage: `content` is the source's canonical text[start:end]."""

    id: UUID
    source_id: UUID
    source: SourceOut
    content: str
    page: int | None
    section: str | None
    start: int
    end: int
    score: float
    ranks: RanksOut

    @classmethod
    def of(cls, candidate: Candidate, chunk: Chunk) -> "ChunkOut":
        return cls(
            id=chunk.id,
            source_id=chunk.source_id,
            source=SourceOut(name=chunk.source_name, type=chunk.source_type, uri=chunk.source_uri),
            content=chunk.content,
            page=chunk.page,
            section=chunk.section,
            start=chunk.start_offset,
            end=chunk.end_offset,
            score=round(candidate.score, 6),
            ranks=RanksOut(keyword=candidate.keyword_rank, vector=candidate.vector_rank),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CitationOut:
    """What a marker of the answer stands for: `quote` is the source's canonical text[start:end]."""

    marker: int
    chunk_id: UUID
    source_id: UUID
    name: str
    page: int | None
    section: str | None
    start: int
    end: int
    quote: str

    @classmethod
    def of(cls, citation: Citation) -> "CitationOut":
        return cls(
            marker=citation.marker,
            chunk_id=citation.chunk_id,
            source_id=citation.source_id,
            name=citation.name,
            page=citation.page,
            section=citation.section,
            start=citation.start,
            end=citation.end,
            quote=citation.quote,
        )


# Exact inside, and a JSON number outside.
Dollars = Annotated[Decimal, PlainSerializer(float, return_type=float)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageOut:
    """What giving an answer took: tokens, and dollars by the price table of version `prices`.

    `cost_usd` is all of it, null if a model's price is not known, `function_usd` of it the function's time; `saved_usd`
    is what the models took for whom the answer was made, and did not take again.
    """

    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    cost_usd: Dollars | None
    function_usd: Dollars
    saved_usd: Dollars | None
    prices: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingOut:
    """The best chunk of a document in a list: `chunk` is its number in the document, `rank` counts from 1."""

    chunk: int
    score: float
    rank: int
    estimated: bool

    @classmethod
    def of(cls, standing: Standing | None) -> "StandingOut | None":
        if standing is None:
            return None
        return cls(
            chunk=standing.ordinal,
            score=round(standing.score, 6),
            rank=standing.rank,
            estimated=standing.estimated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationOut:
    """What became of a document, and where it stands by words, by meaning and after fusion."""

    source_id: UUID
    outcome: Outcome
    detail: str
    unmet_filters: list[str]
    keyword: StandingOut | None
    vector: StandingOut | None
    fused: StandingOut | None

    @classmethod
    def of(cls, explanation: Explanation) -> "ExplanationOut":
        return cls(
            source_id=explanation.source_id,
            outcome=explanation.outcome,
            detail=explanation.detail,
            unmet_filters=explanation.unmet,
            keyword=StandingOut.of(explanation.keyword),
            vector=StandingOut.of(explanation.vector),
            fused=StandingOut.of(explanation.fused),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOut:
    chunks: list[ChunkOut]
    count: int
    explanation: ExplanationOut | None
    request_id: str


@dataclass(frozen=True, kw_only=True)
class AnswerOut:
    """What everybody who asks the same is given."""

    answer: str
    outcome: str
    citations: list[CitationOut]
    score: float
    answerability: float | None
    unsupported: list[str]
    provider: str
    model: str


@dataclass(frozen=True, kw_only=True)
class PassagesOut:
    """The passages that it was made from, best first."""

    count: int
    chunks: list[ChunkOut]


@dataclass(frozen=True, kw_only=True)
class GivenOut:
    """What is this caller's of it."""

    answer_id: UUID
    cached: str
    usage: UsageOut
    request_id: str


# It has the members of all three, the last one's first; they are written apart and joined.
@dataclass(frozen=True, kw_only=True)
class AskOut(PassagesOut, GivenOut, AnswerOut):
    """An answer.

    `score` is the supported share of its sentences, `unsupported` are the others; `answerability` how likely it is
    that the passages answer the question; `outcome` answered or no_answer; `cached` hit, miss or shared.
    """
