"""Cursor pagination: newest first, by (created_at, id)."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from minirag.runtime.errors import Malformed

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of the page before."""

    created_at: datetime
    id: UUID

    def encode(self) -> str:
        """The cursor as an opaque string."""
        return base64.urlsafe_b64encode(f"{self.created_at.isoformat()} {self.id}".encode()).decode()


def decode(cursor: str | None) -> Cursor | None:
    """The cursor of a request; raises Malformed if it is not one of ours."""
    if cursor is None:
        return None
    try:
        moment, _, row = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        created_at, row_id = datetime.fromisoformat(moment), UUID(row)
    except (ValueError, binascii.Error) as error:
        raise Malformed("The cursor is not valid. Use the next_cursor of the page before, or none.") from error
    if created_at.tzinfo is None:
        raise Malformed("The cursor is not valid. Use the next_cursor of the page before, or none.")
    return Cursor(created_at, row_id)


class Row(Protocol):
    """What can be listed."""

    @property
    def created_at(self) -> datetime: ...

    @property
    def id(self) -> UUID: ...


def next_cursor(rows: Sequence[Row], limit: int) -> str | None:
    """The cursor behind the first `limit` of `rows`, if there are more than that."""
    return Cursor(rows[limit - 1].created_at, rows[limit - 1].id).encode() if len(rows) > limit else None
