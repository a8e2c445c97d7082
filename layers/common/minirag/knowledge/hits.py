"""Hits: what a search found, before anything is read of it."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk, by its place in its source, and its score in the list it was found in."""

    source_id: UUID
    ordinal: int
    score: float
