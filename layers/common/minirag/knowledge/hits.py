"""Hits: what a search found, before anything is read of it."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


class Hit(NamedTuple):
    """A chunk, by its place in its source, and its score in the list it was found in.

    A question makes hundreds: a tuple is made four times as fast as a frozen dataclass.
    """

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
