"""A question, as it is asked of the whole way: what, within which bounds, of whom."""

from dataclasses import dataclass

from minirag.knowledge.filters import Filters


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, within which bounds, and who should answer."""

    query: str
    k: int
    filters: Filters
    provider: str | None = None
    model: str | None = None
