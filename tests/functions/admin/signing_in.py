"""Browsers and people for the tests of signing in, over the real handlers and a real provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from functions.admin import oidc_provider
from minirag.runtime import settings
from tests.fakes.oidc_server import OidcServer
from tests.transport import HandlerTransport

ORIGIN: Final = "https://minirag.test"
SESSION: Final = "__Host-minirag_session"
LOGIN: Final = "__Host-minirag_login"
KEY: Final = "tests:" + "k" * 32
PAGE: Final = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
"""What browsers add to the requests of our own pages."""

FOREIGN_HEADERS: Final[dict[str, dict[str, str]]] = {
    "none at all": {},
    "another origin": {"Origin": "https://evil.example"},
    "an origin that begins like ours": {"Origin": f"{ORIGIN}.evil.example"},
    "an origin that ends like ours": {"Origin": "https://evil-minirag.test"},
    "our host without TLS": {"Origin": "http://minirag.test"},
    "our host at another port": {"Origin": f"{ORIGIN}:8443"},
    "no origin to speak of": {"Origin": "null"},
    "an empty origin": {"Origin": ""},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour": {"Sec-Fetch-Site": "same-site"},
    "the address bar": {"Sec-Fetch-Site": "none"},
    "another site as our origin": {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    "another origin as our site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    "our page as referrer": {"Referer": f"{ORIGIN}/"},
}
"""What comes with the requests of others' pages, and what an attacker might wish came with them."""


@contextmanager
def configured(server: OidcServer, **more: str) -> Iterator[None]:
    """Let people sign in at this provider, which behaves, and of which this process knows nothing yet."""
    server.reset()
    oidc_provider._providers.clear()
    oidc_provider._keys.clear()
    variables = {
        "MINIRAG_PUBLIC_URL": ORIGIN,
        "MINIRAG_SESSION_KEYS": KEY,
        "MINIRAG_OIDC_ISSUER": server.issuer,
        "MINIRAG_OIDC_CLIENT_ID": server.client_id,
        "MINIRAG_OIDC_CLIENT_SECRET": server.client_secret,
    }
    with changed(**variables, **more):
        yield


@contextmanager
def changed(**variables: str) -> Iterator[None]:
    """Run with other settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        settings.current.cache_clear()
        yield
    settings.current.cache_clear()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the provider."""

    subject: str
    email: str
    name: str


def somebody() -> Person:
    """A person whom nobody knows yet."""
    number = uuid4().hex
    return Person(number, f"{number}@example.com", "Ada Lovelace")


class Browser:
    """A browser as far as signing in goes: it keeps cookies, and goes where it is sent one step at a time."""

    def __init__(self) -> None:
        self.http = httpx.Client(transport=HandlerTransport(), base_url=ORIGIN)

    def begin(self, return_to: str | None = None) -> str:
        """The provider's address that we send this browser to."""
        answer = self.http.get("/auth/google", params=None if return_to is None else {"return_to": return_to})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def at_provider(self, url: str) -> dict[str, str]:
        """What the provider has this browser bring back: `code` and `state`."""
        answer = httpx.get(url, verify=False)  # loads no certificates
        assert answer.status_code == 302
        target = urlsplit(answer.headers["location"])
        assert f"{target.scheme}://{target.netloc}{target.path}" == f"{ORIGIN}/auth/callback"
        return {name: values[0] for name, values in parse_qs(target.query).items()}

    def back(self, brought: dict[str, str], **headers: str) -> httpx.Response:
        """Our answer when the provider sends the browser back."""
        return self.http.get("/auth/callback", params=brought, headers=headers)

    def attempt(self, return_to: str | None = None, **headers: str) -> httpx.Response:
        """A sign-in from end to end, whatever becomes of it."""
        return self.back(self.at_provider(self.begin(return_to)), **headers)

    def sign_in(self, server: OidcServer, person: Person) -> "Browser":
        """Be this person from now on."""
        server.become(person.subject, person.email, person.name)
        answer = self.attempt()
        assert answer.status_code == 303, answer.text
        return self

    @property
    def token(self) -> str:
        """The session, as a thief would have it."""
        return self.http.cookies[SESSION]

    def get(self, path: str) -> httpx.Response:
        """What a page of ours reads."""
        return self.http.get(path)

    def post(self, path: str, body: object = None) -> httpx.Response:
        """What a page of ours sends."""
        return self.http.post(path, json=body, headers=PAGE)

    def me(self) -> dict[str, Any]:
        """Who we say that this browser's person is."""
        answer = self.get("/auth/me")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def replayed(api: httpx.Client, token: str) -> httpx.Response:
    """Our answer to who has this session's token, and nothing else."""
    return api.get("/auth/me", headers={"Cookie": f"{SESSION}={token}"})


def sessions_in(answer: httpx.Response) -> list[str]:
    """The sessions that an answer gives away, under whatever name."""
    cookies = answer.headers.get_list("set-cookie")
    return [one for one in cookies if "minirag_session" in one and "minirag_session=;" not in one.replace('""', "")]
