"""What the answer log takes and gives over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from functions.ask.replay import Change, Replay
from minirag.knowledge.answers import Logged
from minirag.runtime.http import Text


class PassageOut(BaseModel):
    """A passage that the answer was made from, best first, and where it stood in the lists."""

    chunk_id: UUID
    source_id: UUID
    start: int | None = None
    end: int | None = None
    score: float
    keyword: int | None
    vector: int | None


class LoggedCitationOut(BaseModel):
    """What a marker stood for; the quote is the source's text from `start` to `end`, as long as it is that version."""

    marker: int
    chunk_id: UUID
    source_id: UUID
    page: int | None
    section: str | None = None
    start: int
    end: int


class LoggedOut(BaseModel):
    """An answer that was given; `answer` is null once a document was deleted that it was made from.

    `asked_provider` and `asked_model` are what was named in the question; `prompt_hash` is SHA-256, in hexadecimal
    digits, of what a model was given, or would have been; `timings` are milliseconds by step. What is null was not kept
    when the answer was given.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    question: str
    answer: str | None
    outcome: str
    score: float
    answerability: float | None
    provider: str
    model: str
    finish: str | None
    asked_provider: str | None
    asked_model: str | None
    cached: str
    generation: int
    k: int
    filters: dict[str, Any]
    passages: list[PassageOut]
    citations: list[LoggedCitationOut]
    unsupported: list[str]
    prompt_version: str | None
    prompt_hash: str | None
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    cost_usd: float | None
    function_usd: float | None
    saved_usd: float | None
    prices: str | None
    duration_ms: int
    timings: dict[str, float]
    created_at: datetime


class LoggedPage(BaseModel):
    items: list[LoggedOut]
    next_cursor: str | None


class FeedbackIn(BaseModel):
    """What somebody thinks of an answer."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["up", "down"]
    comment: Annotated[Text, Field(max_length=2000)] = ""
    workspace_id: UUID | None = None


class FeedbackOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    user_id: UUID
    verdict: str
    comment: str
    created_at: datetime


class OneLoggedOut(LoggedOut):
    feedback: list[FeedbackOut]


class PlaceOut(BaseModel):
    """Where a passage stood: `rank` after fusion, and in the lists of words and of meaning, from 1."""

    model_config = ConfigDict(from_attributes=True)

    rank: int
    score: float
    keyword: int | None
    vector: int | None


class ComparedOut(BaseModel):
    """A passage then and now: same, moved, new, outranked (by others), gone (its document was deleted or replaced)."""

    model_config = ConfigDict(from_attributes=True)

    chunk_id: UUID
    source_id: UUID
    change: Change
    then: PlaceOut | None
    now: PlaceOut | None


class MadeOut(BaseModel):
    """What an answer was, or would be, made from."""

    generation: int
    prompt_version: str | None
    prompt_hash: str | None
    answerability: float | None


class ReplayOut(BaseModel):
    """What differs between when a question was answered and now; `same_prompt` is null if there is one prompt only."""

    answer_id: UUID
    same_prompt: bool | None
    then: MadeOut
    now: MadeOut
    passages: list[ComparedOut]

    @classmethod
    def of(cls, logged: Logged, replay: Replay) -> "ReplayOut":
        return cls(
            answer_id=logged.id,
            same_prompt=replay.same_prompt,
            then=_made(logged),
            now=_made(replay),
            passages=[ComparedOut.model_validate(one) for one in replay.passages],
        )


def _made(one: Logged | Replay) -> MadeOut:
    return MadeOut(
        generation=one.generation,
        prompt_version=one.prompt_version,
        prompt_hash=one.prompt_hash,
        answerability=one.answerability,
    )
