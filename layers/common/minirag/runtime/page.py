"""Cursor pagination: newest first, by (created_at, id)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from minirag.runtime.errors import Malformed

Id = TypeVar("Id")
Id_co = TypeVar("Id_co", covariant=True)

# A bigint has at most so many.
_DIGITS: Final = 18

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Cursor(Generic[Id]):
    """The last row of the page before."""

    created_at: datetime
    id: Id

    def encode(self) -> str:
        """The cursor as an opaque string."""
        return base64.urlsafe_b64encode(f"{self.created_at.isoformat()} {self.id}".encode()).decode()


def decode(cursor: str | None) -> Cursor[UUID] | None:
    """The cursor of a request; raises Malformed if it is not one of ours."""
    return _decode(cursor, UUID)


def decode_numbered(cursor: str | None) -> Cursor[int] | None:
    """The same where rows have numbers."""
    return _decode(cursor, _number)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise ValueError(text)
    return int(text)


def _decode(cursor: str | None, parse: Callable[[str], Id]) -> Cursor[Id] | None:
    if cursor is None:
        return None
    try:
        moment, _, row = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        created_at, row_id = datetime.fromisoformat(moment), parse(row)
    except (ValueError, binascii.Error) as error:
        raise Malformed("The cursor is not valid. Use the next_cursor of the page before, or none.") from error
    if created_at.tzinfo is None:
        raise Malformed("The cursor is not valid. Use the next_cursor of the page before, or none.")
    return Cursor(created_at, row_id)


class Row(Protocol[Id_co]):
    """What can be listed."""

    @property
    def created_at(self) -> datetime: ...

    @property
    def id(self) -> Id_co: ...


def next_cursor(rows: Sequence[Row[object]], limit: int) -> str | None:
    """The cursor behind the first `limit` of `rows`, if there are more than that."""
    return Cursor(rows[limit - 1].created_at, rows[limit - 1].id).encode() if len(rows) > limit else None
