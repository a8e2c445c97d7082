"""Hits: what a search found, before anything is read of it."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk, by its place in its source, and its score in the list it was found in."""

    source_id: UUID
    ordinal: int
    score: float


@dataclass(frozen=True, slots=True)
class Standing:
    """The best chunk of a source in a list of all that a search may find, and its rank there, from 1.

    `estimated`: the rank was not counted exactly.
    """

    ordinal: int
    score: float
    rank: int
    estimated: bool = False
