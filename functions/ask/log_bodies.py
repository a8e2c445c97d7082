"""What the answer log takes and gives over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from minirag.runtime.http import Text


class PassageOut(BaseModel):
    """A passage that the answer was made from, best first, and where it stood in the lists."""

    chunk_id: UUID
    source_id: UUID
    score: float
    keyword: int | None
    vector: int | None


class LoggedCitationOut(BaseModel):
    """What a marker stood for; the quote is the source's text from `start` to `end`, as long as it is that version."""

    marker: int
    chunk_id: UUID
    source_id: UUID
    page: int | None
    start: int
    end: int


class LoggedOut(BaseModel):
    """An answer that was given; `answer` is null once a document was deleted that it was made from."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    question: str
    answer: str | None
    outcome: str
    score: float
    provider: str
    model: str
    generation: int
    k: int
    filters: dict[str, Any]
    passages: list[PassageOut]
    citations: list[LoggedCitationOut]
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    cost_usd: float | None
    duration_ms: int
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
