"""Cross-origin requests (CORS, the Fetch standard): from the origins of a list, with a key, without cookies."""

from typing import Final

from fastapi import Request

from minirag.runtime import settings

METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
HEADERS: Final = "Authorization, Content-Type, X-API-Key, X-Request-ID"
_EXPOSED: Final = (
    "RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Cache, X-Request-ID"
)
_MAX_AGE_SECONDS: Final = 3600


def is_preflight(request: Request) -> bool:
    """Whether a browser asks if it may send the real request."""
    return request.method == "OPTIONS"


def headers(request: Request) -> list[tuple[str, str]]:
    """What the response to `request` says of other origins; nothing where it names none, or one that is not listed.

    Credentials are never allowed: a page of another origin sends a key, which it has to know, and no cookie.
    """
    allowed, origin = settings.current().cors_origins, request.headers.get("origin")
    if not allowed or origin is None:
        return []
    # What is answered depends on it, listed or not.
    vary = [("vary", "Origin")]
    if origin not in allowed:
        return vary
    found = [*vary, ("access-control-allow-origin", origin), ("access-control-expose-headers", _EXPOSED)]
    if is_preflight(request):
        found += [
            ("access-control-allow-methods", METHODS),
            ("access-control-allow-headers", HEADERS),
            ("access-control-max-age", str(_MAX_AGE_SECONDS)),
        ]
    return found
