"""What a question may be confined to. The same conditions stand, as static text, in every search statement."""

from collections.abc import Sequence
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

    def given(self) -> dict[str, Any]:
        """The conditions that were set, as JSON holds them."""
        conditions = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        return {
            name: [str(one) for one in value] if isinstance(value, list) else str(value)
            for name, value in conditions.items()
        }

    def unmet(
        self, source_id: UUID, *, kind: str | None, tags: Sequence[str], language: str | None, created_at: datetime
    ) -> list[str]:
        """The conditions that a source does not meet, by name: what the statements say, of one source."""
        met = {
            "source_ids": self.source_ids is None or source_id in self.source_ids,
            "types": self.types is None or kind in self.types,
            "tags": self.tags is None or not set(tags).isdisjoint(self.tags),
            "language": self.language is None or language == self.language,
            "created_after": self.created_after is None or created_at >= self.created_after,
            "created_before": self.created_before is None or created_at < self.created_before,
        }
        return [name for name, holds in met.items() if not holds]
