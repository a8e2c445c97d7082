"""What a question may be confined to. The same conditions stand, as static text, in every search statement."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on the source of a chunk; None lets everything through, tags match if one of them does."""

    source_ids: list[UUID] | None = None
    types: list[str] | None = None
    tags: list[str] | None = None
    language: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The values of the statements' placeholders."""
        return asdict(self)
