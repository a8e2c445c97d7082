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
from minirag.runtime.page import Cursor

SCOPES: Final = frozenset({"read", "write", "admin"})

_PREFIX: Final = "mrag_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM: Final = 32
_CHECKSUM: Final = 6
_SHOWN: Final = 12

_INSERT: Final = """
INSERT INTO api_keys (id, key_hash, prefix, user_id, workspace_id, scopes, description, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
RETURNING id, prefix, user_id, workspace_id, scopes, description, created_at, expires_at, revoked_at, last_used_at
"""
_PAGE: Final = """
SELECT id, prefix, user_id, workspace_id, scopes, description, created_at, expires_at, revoked_at, last_used_at
FROM api_keys
WHERE (workspace_id = %(workspace_id)s OR (workspace_id IS NULL AND user_id = %(user_id)s))
  AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
"""
_LOCK: Final = """
SELECT id, prefix, user_id, workspace_id, scopes, description, created_at, expires_at, revoked_at, last_used_at
FROM api_keys
WHERE id = %(key_id)s AND (workspace_id = %(workspace_id)s OR (workspace_id IS NULL AND user_id = %(user_id)s))
FOR UPDATE
"""
_REVOKE: Final = "UPDATE api_keys SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL"
_EXPIRE: Final = """
UPDATE api_keys SET expires_at = least(expires_at, now() + make_interval(secs => %s)) WHERE id = %s
"""
_FIND: Final = "SELECT * FROM find_api_keys(%s, %s, %s, %s, %s, %s)"
_REVOKE_ANY: Final = "SELECT revoke_api_key(%s)"


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
    revoked_at: datetime | None
    last_used_at: datetime | None

    def good_at(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


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


def page(
    tx: Connection, workspace_id: UUID, user_id: UUID | None, *, after: Cursor[UUID] | None, limit: int
) -> list[ApiKey]:
    """The keys tied to the workspace, and those of `user_id`, if given, that are tied to none; newest first."""
    values = {
        "workspace_id": workspace_id, "user_id": user_id, "limit": limit,
        "at": after.created_at if after else None, "id": after.id if after else None,
    }  # fmt: skip
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(_PAGE, values).fetchall()


def lock(tx: Connection, key_id: UUID, workspace_id: UUID, user_id: UUID | None) -> ApiKey | None:
    """One of the keys that `page` lists, which stays as it is until the transaction ends."""
    values = {"key_id": key_id, "workspace_id": workspace_id, "user_id": user_id}
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(_LOCK, values).fetchone()


def revoke(tx: Connection, key_id: UUID) -> None:
    """End a key now."""
    tx.execute(_REVOKE, (key_id,))


def expire(tx: Connection, key_id: UUID, *, seconds: int) -> None:
    """Let a key end so many seconds from now, if it does not earlier."""
    tx.execute(_EXPIRE, (seconds, key_id))


def find_all(
    tx: Connection,
    *,
    key_id: UUID | None = None,
    user_id: UUID | None = None,
    workspace_id: UUID | None = None,
    after: Cursor[UUID] | None = None,
    limit: int,
) -> list[ApiKey]:
    """Keys of all tenants, newest first, for operators."""
    at, row_id = (after.created_at, after.id) if after else (None, None)
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(_FIND, (key_id, user_id, workspace_id, at, row_id, limit)).fetchall()


def revoke_any(tx: Connection, key_id: UUID) -> bool:
    """End a key of any tenant now, for operators; False if there is no such key."""
    row = tx.execute(_REVOKE_ANY, (key_id,)).fetchone()
    return row is not None and bool(row[0])
