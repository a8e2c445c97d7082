"""Language models behind one small protocol; SDKs are imported on first use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


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
    """A draft answer with markers like [1] behind the sentences they support, and what it took."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int


class Provider(Protocol):
    """Turns a prompt into a draft answer."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:
        """Answer within `seconds`, or raise Unavailable, OutOfTime, or Unprocessable for a model that is not known."""
        ...
