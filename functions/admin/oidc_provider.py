"""An OpenID provider as it describes itself: its endpoints, algorithms and keys, kept by this process for an hour.

Every answer is bounded in time and size, and no redirect is followed.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from minirag.runtime import telemetry
from minirag.runtime.errors import Unavailable

if TYPE_CHECKING:
    from joserfc.jwk import KeySet
    from requests import Response

# Signatures that only the provider can make, and the hash that `at_hash` is made with.
ALGORITHMS: Final = {"RS256": "sha256", "ES256": "sha256", "PS256": "sha256", "EdDSA": "sha512"}

TIMEOUT_SECONDS: Final = 5.0  # to connect, and between two pieces of an answer
KEPT_SECONDS: Final = 3600.0
NEW_KEYS_SECONDS: Final = 60.0

# What an answer raises that is not what it should be; all errors of requests are OSErrors.
NONSENSE: Final = (OSError, ValueError, TypeError, ArithmeticError, RecursionError)
# What joserfc raises beside its own errors, of what is no object where it expects one.
MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)

_ANSWER_SECONDS: Final = 10.0  # a body as a whole, which may come in very small pieces
_ANSWER_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_LATER: Final = (408, 425, 429)


@dataclass(frozen=True, slots=True)
class Provider:
    """What we use of a discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    algorithms: tuple[str, ...]
    client_authentication: str
    fetched_at: float


@dataclass(frozen=True, slots=True)
class _Keys:
    keys: "KeySet"
    fetched_at: float


# Of this process, by issuer.
_providers: Final[dict[str, Provider]] = {}
_keys: Final[dict[str, _Keys]] = {}


def provider_of(issuer: str) -> Provider:
    """The provider as it describes itself, which is believed for an hour."""
    known = _providers.get(issuer)
    if known is not None and monotonic() - known.fetched_at < KEPT_SECONDS:
        return known
    loopback = _on_loopback(issuer)
    if not _trusted(issuer, loopback=loopback):
        raise unavailable("issuer is not https")
    metadata = _fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if metadata.get("issuer") != issuer:
        raise unavailable("metadata of another issuer")
    listed = metadata.get("id_token_signing_alg_values_supported")
    algorithms = tuple(name for name in ALGORITHMS if isinstance(listed, list) and name in listed)
    # joserfc takes no algorithms for all that it recommends, HS256 among them.
    if not algorithms:
        raise unavailable("no algorithm that is accepted")
    methods = metadata.get("token_endpoint_auth_methods_supported")
    posted = isinstance(methods, list) and "client_secret_post" in methods
    provider = Provider(
        issuer=issuer,
        authorization_endpoint=_endpoint(metadata, "authorization_endpoint", loopback=loopback),
        token_endpoint=_endpoint(metadata, "token_endpoint", loopback=loopback),
        jwks_uri=_endpoint(metadata, "jwks_uri", loopback=loopback),
        algorithms=algorithms,
        client_authentication="client_secret_post" if posted else "client_secret_basic",
        fetched_at=monotonic(),
    )
    _providers[issuer] = provider
    return provider


def _endpoint(metadata: Mapping[str, Any], name: str, *, loopback: bool) -> str:
    url = metadata.get(name)
    if not isinstance(url, str) or not _trusted(url, loopback=loopback):
        raise unavailable(f"{name} is not https")
    return url


def _trusted(url: str, *, loopback: bool) -> bool:
    """Whether a URL is https, or plain http that does not leave this machine where that is allowed."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (loopback and _on_loopback(url)))


def _on_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme == "http" and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False


def keys_of(provider: Provider, *, kept_seconds: float = KEPT_SECONDS) -> "KeySet":
    """The provider's keys, not older than so many seconds."""
    known = _keys.get(provider.issuer)
    if known is None or monotonic() - known.fetched_at >= kept_seconds:
        known = _keys[provider.issuer] = _Keys(_usable(_fetch(provider.jwks_uri)), monotonic())
    return known.keys


def _usable(jwks: Mapping[str, Any]) -> "KeySet":
    """The keys of a set that joserfc knows; one of a kind that is new must not spoil the others."""
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry, Key, KeySet

    keys: list[Key] = []
    listed = jwks.get("keys")
    for entry in listed if isinstance(listed, list) else []:
        try:
            keys.append(JWKRegistry.import_key(entry))
        except (JoseError, *MALFORMED):
            continue
    if not keys:
        raise unavailable("no key that can be used")
    return KeySet(keys)


def _fetch(url: str) -> dict[str, Any]:
    """The JSON object at a URL of the provider."""
    import requests

    try:
        headers = {"Accept": "application/json"}
        with requests.get(
            url, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
        ) as response:
            found = whole(response).json() if response.status_code == requests.codes.ok else None
    except NONSENSE as error:
        raise unavailable(type(error).__name__) from error
    if not isinstance(found, dict):
        raise unavailable("no JSON object")
    return found


def whole(response: "Response") -> "Response":
    """A response with its body read, as much as we take; requests by itself reads whatever comes, however long."""
    from urllib3.exceptions import HTTPError

    if 300 <= response.status_code < 400 or response.status_code in _LATER:
        response.close()
        raise unavailable(f"HTTP {response.status_code}")
    deadline = monotonic() + _ANSWER_SECONDS
    body = io.BytesIO()
    try:
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            body.write(piece)
            if body.tell() > _ANSWER_BYTES or monotonic() > deadline:
                raise unavailable("an answer without an end")
    except HTTPError as error:
        raise unavailable(type(error).__name__) from error
    finally:
        response.close()
    body.seek(0)
    response.raw = body
    return response


def unavailable(reason: str) -> Unavailable:
    """For the person always the same; `reason` for whoever reads the logs, in words of ours."""
    telemetry.event("sign_in.provider_unavailable", reason=reason)
    detail = (
        "The identity provider cannot be reached right now, or does not answer as it should. Try again in a minute."
    )
    return Unavailable(detail, code="provider_unavailable")
