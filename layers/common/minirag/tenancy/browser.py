"""What browsers carry: the session's cookie, and the headers by which a page of another site is told apart.

A cookie comes along whatever page sent the request, so a request that changes something by it must come from our own
origin (Origin, or Sec-Fetch-Site, which no page can set). Keys in a header need no such thing: only our pages' scripts,
or those that have the key, send them.
"""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from minirag.runtime import settings
from minirag.runtime.errors import Forbidden

SESSION: Final = "minirag_session"
LOGIN: Final = "minirag_login"

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    """The value of our cookie `name`, or None; `headers` are looked up in lower case."""
    wanted = _full(name)
    for pair in headers.get("cookie", "").split(";"):
        given, _, value = pair.strip(" \t").partition("=")
        if given == wanted:
            return value.strip('"')
    return None


def set_cookie(name: str, value: str, *, seconds: int) -> str:
    """A Set-Cookie header that gives our cookie `name` a value for so long; 0 takes it away.

    Not readable by scripts, not sent along by other sites' pages except when a link leads here; by HTTPS only, and from
    this host alone (`__Host-`, RFC 6265bis 4.1.3.2), where the public address is HTTPS.
    """
    made: SimpleCookie = SimpleCookie()
    made[_full(name)] = value
    morsel = made[_full(name)]
    morsel["path"] = "/"
    morsel["max-age"] = seconds
    morsel["httponly"] = True
    morsel["samesite"] = "Lax"
    if _secure():
        morsel["secure"] = True
    return morsel.OutputString()


def check_same_origin(method: str, headers: Mapping[str, str]) -> None:
    """Raise Forbidden if a request that changes something did not come from a page of ours."""
    if method in _SAFE:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    # Both where both are there: neither may name another site.
    if (site is not None or origin is not None) and site in {None, "same-origin"} and origin in {None, _origin()}:
        return
    raise Forbidden(
        "A request that changes something by a session's cookie must come from a page of this site. Programs send an "
        "API key instead.",
        code="cross_site",
    )


def _origin() -> str | None:
    """Our own origin, as browsers write it."""
    parts = urlsplit(settings.current().public_url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme else None


def _secure() -> bool:
    return (settings.current().public_url or "").startswith("https://")


def _full(name: str) -> str:
    return f"__Host-{name}" if _secure() else name
