"""API keys: `mrag_`, 32 random base62 characters (190 bits) and a checksum of 6. Only their SHA-256 is stored."""

import hashlib
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from psycopg.rows import class_row

from minirag.runtime.db import Connection

SCOPES: Final = frozenset({"read", "write", "admin"})

_PREFIX: Final = "mrag_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM: Final = 32
_CHECKSUM: Final = 6
_SHOWN: Final = 12

_INSERT: Final = """
INSERT INTO api_keys (id, key_hash, prefix, user_id, workspace_id, scopes, description, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
RETURNING id, prefix, user_id, workspace_id, scopes, description, created_at, expires_at
"""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment it is known whole; `prefix` is what may be shown later."""

    key: str
    key_hash: bytes
    prefix: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key. Without a workspace it may choose among those of its user."""

    id: UUID
    prefix: str
    user_id: UUID
    workspace_id: UUID | None
    scopes: list[str]
    description: str
    created_at: datetime
    expires_at: datetime | None


def _checksum(random: str) -> str:
    number, digits = zlib.crc32(random.encode()), ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def hash_key(key: str) -> bytes:
    """What is stored and looked up instead of the key: 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def new_key() -> NewKey:
    """Make a key from the system's random source."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    key = _PREFIX + random + _checksum(random)
    return NewKey(key, hash_key(key), key[:_SHOWN])


def well_formed(key: str) -> bool:
    """Whether the checksum holds: a mistyped key is refused without asking the database."""
    body = key.removeprefix(_PREFIX)
    return (
        key.startswith(_PREFIX)
        and len(body) == _RANDOM + _CHECKSUM
        and body.isascii()
        and _checksum(body[:_RANDOM]) == body[_RANDOM:]
    )


def create(
    tx: Connection,
    new: NewKey,
    *,
    user_id: UUID,
    workspace_id: UUID | None,
    scopes: frozenset[str],
    description: str,
    expires_at: datetime | None,
) -> ApiKey:
    """Store a new key for `user_id`, tied to `workspace_id` if that is given."""
    values = (uuid4(), new.key_hash, new.prefix, user_id, workspace_id, sorted(scopes), description, expires_at)
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        stored = cursor.execute(_INSERT, values).fetchone()
    assert stored is not None
    return stored
