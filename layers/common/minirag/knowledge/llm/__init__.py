"""Language models behind one small protocol; SDKs are imported on first use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from minirag.runtime.errors import MiniRagError, Unavailable

# Why an answer ended: it was finished, it was cut off, or the vendor's filter or the model itself would not give one.
Finish = Literal["stop", "length", "content_filter", "refusal"]


class ContextOverflow(Unavailable):
    """The prompt is longer than the model reads; one of fewer passages may not be."""

    code = "context_overflow"


class LongerAnswer(MiniRagError):
    """The model thinks before it answers, which was not known: `answer_tokens` are more now. Ask it again."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk as it is shown to a model: `marker` is the number a citation uses, 1-based."""

    marker: int
    chunk_id: UUID
    source_id: UUID
    name: str
    content: str
    score: float


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a provider answers from: ready texts for a model, their parts for the extractive answerer.

    `term_weights` maps the question's analyzed terms to their inverse document frequency; `language` is the
    question's, None if it is not known.
    """

    system: str
    user: str
    question: str
    passages: tuple[Passage, ...]
    term_weights: Mapping[str, float]
    version: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A draft answer with markers like [1] behind the sentences they support, and what it took.

    `provider` is who wrote it. The text is empty if nobody was asked, or if the answer was filtered or refused.
    """

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    provider: str = ""
    finish: Finish = "stop"


class Provider(Protocol):
    """Turns a prompt into a draft answer."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def room(self) -> int | None:
        """Tokens that a prompt may have, instructions and question included; None if any number."""
        ...

    @property
    def answer_tokens(self) -> int:
        """The most tokens that an answer may cost."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text, before it is sent."""
        ...

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:
        """Answer within `seconds`.

        Raises ContextOverflow, LongerAnswer, Unavailable, OutOfTime, or Unprocessable for a model that the caller named
        and nobody knows.
        """
        ...
