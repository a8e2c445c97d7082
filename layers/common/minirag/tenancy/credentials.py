"""What a request shows of who sent it: an API key, or the cookie of a session."""

from collections.abc import Mapping
from typing import Final

from minirag.runtime import settings
from minirag.runtime.errors import Unauthenticated
from minirag.tenancy import api_keys, browser, tokens
from minirag.tenancy.tokens import Session

ISSUER: Final = "mini-rag"
"""Who issues our tokens; the address of a deployment may change, its sessions need not end by that."""


def credential(method: str, headers: Mapping[str, str]) -> bytes | Session:
    """The SHA-256 of the API key of a request (X-API-Key, or Authorization: Bearer), or else its session.

    `headers` are looked up in lower case. Nothing of it has been looked up yet: that is `identity.identify`.
    Raises Unauthenticated, and Forbidden if a page of another site sent the cookie along with a change.
    """
    key = headers.get("x-api-key", "").strip()
    if not key:
        kind, _, value = headers.get("authorization", "").partition(" ")
        key = value.strip() if kind.lower() == "bearer" else ""
    if key:
        if not api_keys.well_formed(key):
            raise Unauthenticated("The API key is not valid. Check that it was copied whole.")
        return api_keys.hash_key(key)
    token = browser.cookie(headers, browser.SESSION)
    if not token:
        raise Unauthenticated("No API key was sent, and there is no session. Send a key as the header X-API-Key.")
    try:
        session = tokens.read_session(token, settings.current().session_keys, issuer=ISSUER)
    except tokens.BadToken as error:
        raise Unauthenticated("The session is over. Sign in again.", code="session_over") from error
    browser.check_same_origin(method, headers)
    return session
