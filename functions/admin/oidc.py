"""Signing in by OpenID Connect: to the provider, and back with a proof of who came.

Between `begin` and `finish` the browser keeps the attempt. The caller signs it, and refuses a callback whose `state` is
not the attempt's. Libraries are imported on first use: together they cost half a second of a cold start.
"""

import hashlib
import hmac
import secrets
import unicodedata
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from functions.admin.oidc_provider import (
    ALGORITHMS,
    MALFORMED,
    NEW_KEYS_SECONDS,
    NONSENSE,
    TIMEOUT_SECONDS,
    Provider,
    keys_of,
    provider_of,
    unavailable,
    whole,
)
from minirag.runtime import telemetry
from minirag.runtime.errors import Unauthenticated, Unavailable
from minirag.tenancy import addresses

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session
    from joserfc.jwk import KeySet
    from joserfc.jwt import Token

_SCOPE: Final = "openid email profile"
_LEEWAY_SECONDS: Final = 60

_CODE_CHARS: Final = 4096
_SUBJECT_CHARS: Final = 255
_NAME_CHARS: Final = 200

_AGAIN: Final = "Sign in again; if that does not help, tell whoever runs this installation."


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are at the provider."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in under way."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider says it is: `subject` never changes, the address is verified and in lower case."""

    issuer: str
    subject: str
    email: str
    name: str


def begin(client: Client, *, login_hint: str | None = None) -> tuple[str, Attempt]:
    """Where to send the browser, and what it must bring back; raises Unavailable."""
    provider = provider_of(client.issuer)
    attempt = Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64))
    with _session(client, provider) as session:
        url, _ = session.create_authorization_url(
            provider.authorization_endpoint,
            state=attempt.state,
            nonce=attempt.nonce,
            code_verifier=attempt.verifier,
            prompt="select_account",
            login_hint=login_hint and login_hint.encode("utf-8", "replace").decode(),
        )
    return url, attempt


def finish(client: Client, attempt: Attempt, code: str) -> Identity:
    """Who signed in, from the code of a callback whose state is the attempt's.

    Raises Unauthenticated with code `sign_in_failed`, and Unavailable with `provider_unavailable`.
    """
    provider = provider_of(client.issuer)
    answer = _exchange(client, provider, attempt, code)
    token = _verified(client, provider, answer.get("id_token"))
    claims = token.claims
    _check_nonce(claims, attempt)
    _check_party(claims, client)
    _check_access_token(claims, answer.get("access_token"), token.header["alg"])
    email = _email(claims)
    return Identity(client.issuer, _subject(claims), email, _name(claims.get("name")) or email[:_NAME_CHARS])


def _exchange(client: Client, provider: Provider, attempt: Attempt, code: str) -> Mapping[str, Any]:
    """What the token endpoint gives for a code."""
    if not (code.isascii() and code.isprintable() and 0 < len(code) <= _CODE_CHARS):
        raise _refused("malformed code")
    from authlib.integrations.base_client import OAuthError

    with _session(client, provider) as session:
        session.register_compliance_hook("access_token_response", whole)
        try:
            answer: Mapping[str, Any] = session.fetch_token(
                provider.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
                allow_redirects=False,
                stream=True,
                timeout=TIMEOUT_SECONDS,
            )
        # Not `from error`: its description is the provider's, and may repeat what was sent.
        except OAuthError as error:
            raise _refused_by_provider(error.error) from None
        except NONSENSE as error:
            raise unavailable(type(error).__name__) from None
    return answer


def _session(client: Client, provider: Provider) -> "OAuth2Session":
    from authlib.integrations.requests_client import OAuth2Session

    return OAuth2Session(
        client.client_id,
        client.client_secret,
        token_endpoint_auth_method=provider.client_authentication,
        code_challenge_method="S256",
        scope=_SCOPE,
        redirect_uri=client.redirect_uri,
    )


def _verified(client: Client, provider: Provider, id_token: object) -> "Token":
    """The id_token, signed by the provider, for us, and of now."""
    from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
    from joserfc.jwt import JWTClaimsRegistry

    if not isinstance(id_token, str):
        raise _refused("no id_token")
    registry = JWTClaimsRegistry(
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "value": client.issuer},
        aud={"essential": True, "value": client.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        try:
            token = _decoded(id_token, keys_of(provider), provider)
        except InvalidKeyIdError:  # the provider may have new keys
            token = _decoded(id_token, keys_of(provider, kept_seconds=NEW_KEYS_SECONDS), provider)
        registry.validate(token.claims)
    # Not `from error`: what it quotes is of the token.
    except ExpiredTokenError:
        raise _refused("expired", "This sign-in has expired. Sign in again.") from None
    except (JoseError, *MALFORMED) as error:
        raise _refused(type(error).__name__) from None
    return token


def _decoded(id_token: str, keys: "KeySet", provider: Provider) -> "Token":
    from joserfc import jwt
    from joserfc.errors import SecurityWarning

    with warnings.catch_warnings():
        # Of EdDSA, because RFC 9864 gave it another name, which providers do not use yet.
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.decode(id_token, keys, algorithms=provider.algorithms)


def _check_nonce(claims: Mapping[str, Any], attempt: Attempt) -> None:
    if not _same(claims.get("nonce"), attempt.nonce):
        raise _refused("nonce", f"This answer belongs to another sign-in. {_AGAIN}")


def _check_party(claims: Mapping[str, Any], client: Client) -> None:
    """OpenID Connect Core, 3.1.3.7: a token for several names the one it was issued to, and that is us."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != client.client_id:
        raise _refused("azp")


def _check_access_token(claims: Mapping[str, Any], access_token: object, algorithm: str) -> None:
    """OpenID Connect Core, 3.1.3.6: if `at_hash` is there, it is half the hash of the access token."""
    if "at_hash" not in claims:
        return
    token = access_token.encode("utf-8", "surrogatepass") if isinstance(access_token, str) else b""
    digest = hashlib.new(ALGORITHMS[algorithm], token).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not token or not _same(claims["at_hash"], half):
        raise _refused("at_hash")


def _same(given: object, wanted: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _subject(claims: Mapping[str, Any]) -> str:
    subject: str = claims["sub"]
    if len(subject) > _SUBJECT_CHARS or not subject.isprintable():
        raise _refused("subject")
    return subject


def _email(claims: Mapping[str, Any]) -> str:
    verified, value = claims.get("email_verified"), claims.get("email")
    if not (verified is True or verified == "true"):
        raise _refused(
            "unverified email",
            "The identity provider has not verified your e-mail address. Verify it there, or use another account.",
        )
    try:
        return addresses.normal(value.strip() if isinstance(value, str) else "")
    except ValueError:
        sentence = "The identity provider gives no usable e-mail address of yours. Use another account."
        raise _refused("email", sentence) from None


def _name(value: object) -> str:
    """A name that fits one line: words by single spaces, without control characters and lone surrogates."""
    words = " ".join(value.split()) if isinstance(value, str) else ""
    kept = "".join(character for character in words if unicodedata.category(character) not in ("Cc", "Cs"))
    return kept.strip()[:_NAME_CHARS].rstrip()


def _refused_by_provider(error: object) -> Unauthenticated | Unavailable:
    """The error for one of RFC 6749, 5.2."""
    if error in ("server_error", "temporarily_unavailable"):
        return unavailable("server_error")
    if error in ("invalid_client", "unauthorized_client"):
        detail = "The identity provider does not know this installation. Tell whoever runs it to check its client."
        return _refused("client", detail)
    return _refused("code", f"The identity provider does not accept this sign-in, which may be too old. {_AGAIN}")


def _refused(reason: str, detail: str | None = None) -> Unauthenticated:
    """For the person `detail`; `reason` for whoever reads the logs, in words of ours."""
    telemetry.event("sign_in.refused", reason=reason)
    return Unauthenticated(
        detail or f"What the identity provider says could not be verified. {_AGAIN}", code="sign_in_failed"
    )
