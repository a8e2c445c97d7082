"""Signed tokens (JWT, RFC 7519): the session of a signed-in user, and a sign-in under way. Pure.

One fixed algorithm, HMAC with SHA-256; the header's `kid` names a key of ours and nothing else. New tokens are signed
with the first key, those signed with the others stay good until they end, so that keys can be rotated.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import jwt

from minirag.runtime.settings import SigningKey

ALGORITHM: Final = "HS256"
SESSION_SECONDS: Final = 7 * 24 * 3600
LOGIN_SECONDS: Final = 600

_SESSION: Final = "minirag"
_LOGIN: Final = "minirag-login"
_LONGEST: Final = 4096


class BadToken(Exception):
    """A token that is not ours, not whole, over, or for something else; why is not told to who sent it."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a session's token says. It is good while the user's epoch is the same and it was not logged out of."""

    id: UUID
    user_id: UUID
    email: str
    role: str
    epoch: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Login:
    """A sign-in between the redirect to the provider and the callback: what only this browser has."""

    state: str
    nonce: str
    verifier: str
    return_to: str


def new_session(user_id: UUID, *, email: str, role: str, epoch: int, now: datetime) -> Session:
    """A session of seven days from `now`."""
    ends = now.replace(microsecond=0) + timedelta(seconds=SESSION_SECONDS)
    return Session(uuid4(), user_id, email, role, epoch, ends)


def sign_session(session: Session, keys: Sequence[SigningKey], *, issuer: str) -> str:
    """The token of a session, for its cookie."""
    claims = {
        "jti": str(session.id),
        "user_id": str(session.user_id),
        # Written out, a long address in another script would outgrow what browsers keep; the database has it anyway.
        "email": session.email if session.email.isascii() else "",
        "role": session.role,
        "epoch": session.epoch,
    }
    return _sign(claims, keys, issuer, _SESSION, session.expires_at, SESSION_SECONDS)


def read_session(token: str, keys: Sequence[SigningKey], *, issuer: str) -> Session:
    """The session of a token. Raises BadToken."""
    claims = _read(token, keys, issuer, _SESSION, SESSION_SECONDS, ("jti", "user_id", "email", "role", "epoch"))
    epoch, email, role = claims["epoch"], claims["email"], claims["role"]
    if type(epoch) is not int or not -(2**31) <= epoch < 2**31 or type(email) is not str or type(role) is not str:
        raise BadToken
    return Session(
        _uuid(claims["jti"]), _uuid(claims["user_id"]), email, role, epoch, datetime.fromtimestamp(claims["exp"], UTC)
    )


def sign_login(login: Login, keys: Sequence[SigningKey], *, issuer: str, now: datetime) -> str:
    """The token of a sign-in under way, good for ten minutes."""
    claims = {"state": login.state, "nonce": login.nonce, "verifier": login.verifier, "return_to": login.return_to}
    return _sign(claims, keys, issuer, _LOGIN, now + timedelta(seconds=LOGIN_SECONDS), LOGIN_SECONDS)


def read_login(token: str, keys: Sequence[SigningKey], *, issuer: str) -> Login:
    """The sign-in of a token. Raises BadToken."""
    names = ("state", "nonce", "verifier", "return_to")
    claims = _read(token, keys, issuer, _LOGIN, LOGIN_SECONDS, names)
    values = [claims[name] for name in names]
    if not all(type(value) is str for value in values):
        raise BadToken
    return Login(*values)


def _sign(
    claims: Mapping[str, object], keys: Sequence[SigningKey], issuer: str, audience: str, ends: datetime, seconds: int
) -> str:
    expires = int(ends.timestamp())
    body = {**claims, "iss": issuer, "aud": audience, "iat": expires - seconds, "exp": expires}
    return jwt.encode(body, keys[0].secret, ALGORITHM, headers={"kid": keys[0].kid})


def _read(
    token: str, keys: Sequence[SigningKey], issuer: str, audience: str, seconds: int, names: tuple[str, ...]
) -> dict[str, Any]:
    if len(token) > _LONGEST or not all(map(_is_canonical, token.split("."))):
        raise BadToken
    try:
        header = jwt.get_unverified_header(token)
        # The kid only chooses among our keys: it is no path and no address. What else a header has is not looked at,
        # but for the algorithm, which PyJWT holds against the one that we take.
        secret = next(key.secret for key in keys if key.kid == header.get("kid"))
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            [ALGORITHM],
            audience=audience,
            issuer=issuer,
            options={"require": ["exp", "iat", "iss", "aud", *names], "strict_aud": True},
        )
    except (jwt.PyJWTError, StopIteration, ValueError, OverflowError, RecursionError) as error:
        raise BadToken from error
    moments = (claims["iat"], claims["exp"])
    if not all(type(moment) is int for moment in moments) or not 0 < claims["exp"] - claims["iat"] <= seconds:
        raise BadToken
    return claims


def _is_canonical(part: str) -> bool:
    """Whether a part of a token is spelled as we spell it: base64 has others for the same bytes, and for their end."""
    try:
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return False
    return urlsafe_b64encode(data).decode().rstrip("=") == part


def _uuid(text: object) -> UUID:
    try:
        return UUID(str(text))
    except ValueError as error:
        raise BadToken from error
