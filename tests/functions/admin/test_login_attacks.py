"""Attacks on signing in: answers of the provider that are not this browser's, pages of others, ways that lead away."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import psycopg
import pytest

from minirag.runtime import settings
from minirag.runtime.settings import SigningKey
from minirag.tenancy import tokens
from minirag.tenancy.credentials import ISSUER
from tests.fakes.oidc_server import OidcServer
from tests.functions.admin.signing_in import (
    FOREIGN_HEADERS,
    LOGIN,
    ORIGIN,
    PAGE,
    Browser,
    replayed,
    sessions_in,
    somebody,
)

pytestmark = pytest.mark.usefixtures("provider")


@dataclass
class Tally:
    """What was tried in this module, and what came of it."""

    attacks: int = 0
    sessions: list[str] = field(default_factory=list)

    def add(self, answer: httpx.Response) -> None:
        self.attacks += 1
        self.sessions += sessions_in(answer)


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    tally = Tally()
    yield tally
    print(f"\n{tally.attacks} attacks on the callback, {len(tally.sessions)} sessions")
    assert tally.sessions == []


class Scene:
    """Somebody on their way back from the provider, and all that an attacker may have of it."""

    def __init__(self, provider: OidcServer) -> None:
        self.provider = provider
        self.browser = Browser()
        self.url = self.browser.begin()
        self.brought = self.browser.at_provider(self.url)
        self.cookie = self.browser.http.cookies[LOGIN]

    @property
    def login(self) -> tokens.Login:
        return tokens.read_login(self.cookie, settings.current().session_keys, issuer=ISSUER)

    def with_cookie(self, cookie: str, name: str = LOGIN) -> httpx.Response:
        """What is brought back, with this cookie alone."""
        return Browser().back(self.brought, Cookie=f"{name}={cookie}")

    def signed(self, *keys: SigningKey, ago: timedelta = timedelta(0)) -> str:
        """The same attempt, signed by other keys or at another time."""
        signing = keys or settings.current().session_keys
        return tokens.sign_login(self.login, signing, issuer=ISSUER, now=datetime.now(UTC) - ago)

    def brings(self, **other: str) -> httpx.Response:
        """The same, but for this."""
        return self.browser.back(self.brought | other)


def in_another_browser(scene: Scene) -> httpx.Response:
    return Browser().back(scene.brought)


def in_a_browser_with_an_attempt_of_its_own(scene: Scene) -> httpx.Response:
    other = Browser()
    other.begin()
    return other.back(scene.brought)


def with_the_code_of_another_sign_in(scene: Scene) -> httpx.Response:
    other = Browser()
    return scene.brings(code=other.at_provider(other.begin())["code"])


def once_more(scene: Scene) -> httpx.Response:
    assert scene.browser.back(scene.brought).status_code == 303
    return scene.with_cookie(scene.cookie)


def once_more_with_a_fresh_code(scene: Scene) -> httpx.Response:
    assert scene.browser.back(scene.brought).status_code == 303
    fresh = scene.browser.at_provider(scene.url)
    assert (fresh["state"], fresh["code"] != scene.brought["code"]) == (scene.brought["state"], True)
    return Browser().back(fresh, Cookie=f"{LOGIN}={scene.cookie}")


def once_more_after_it_was_refused(scene: Scene) -> httpx.Response:
    assert scene.brings(code="invented").status_code == 401
    return scene.browser.back(scene.brought)


def by_a_session_for_an_attempt(scene: Scene) -> httpx.Response:
    other = Browser().sign_in(scene.provider, somebody())
    return scene.with_cookie(other.token)


def with_the_nonce_of_another(scene: Scene) -> httpx.Response:
    login = scene.login
    other = tokens.Login(login.state, "another", login.verifier, login.return_to)
    keys = settings.current().session_keys
    return scene.with_cookie(tokens.sign_login(other, keys, issuer=ISSUER, now=datetime.now(UTC)))


def with_the_verifier_of_another(scene: Scene) -> httpx.Response:
    login = scene.login
    other = tokens.Login(login.state, login.nonce, "v" * 86, login.return_to)
    keys = settings.current().session_keys
    return scene.with_cookie(tokens.sign_login(other, keys, issuer=ISSUER, now=datetime.now(UTC)))


def by_another_method(scene: Scene) -> httpx.Response:
    return scene.browser.http.post("/auth/callback", params=scene.brought, headers=PAGE)


CALLBACKS: dict[str, Callable[[Scene], httpx.Response]] = {
    "without the cookie": in_another_browser,
    "with another browser's cookie": in_a_browser_with_an_attempt_of_its_own,
    "with no cookie's value": lambda scene: scene.with_cookie(""),
    "with a cookie of nonsense": lambda scene: scene.with_cookie("x.y.z"),
    "with a session for a cookie": by_a_session_for_an_attempt,
    "with the cookie of an insecure page": lambda scene: scene.with_cookie(scene.cookie, "minirag_login"),
    "with a cookie by another key": lambda scene: scene.with_cookie(scene.signed(SigningKey("tests", "x" * 32))),
    "with a cookie by an unknown key": lambda scene: scene.with_cookie(scene.signed(SigningKey("x", "k" * 32))),
    "after ten minutes": lambda scene: scene.with_cookie(scene.signed(ago=timedelta(seconds=601))),
    "with a wrong state": lambda scene: scene.brings(state="x"),
    "with no state": lambda scene: scene.brings(state=""),
    "with a state in other letters": lambda scene: scene.brings(state=scene.brought["state"].swapcase()),
    "with a longer state": lambda scene: scene.brings(state=scene.brought["state"] + "\N{ZERO WIDTH SPACE}"),
    "with a state that is endless": lambda scene: scene.brings(state="x" * 2000),
    "without a code": lambda scene: scene.browser.back({"state": scene.brought["state"]}),
    "with no code's value": lambda scene: scene.brings(code=""),
    "with an invented code": lambda scene: scene.brings(code="invented"),
    "with a code that is endless": lambda scene: scene.brings(code="x" * 5000),
    "with line ends in the code": lambda scene: scene.brings(code="x\r\nSet-Cookie: minirag_session=injected"),
    "with the code of another sign-in": with_the_code_of_another_sign_in,
    "with the provider's error": lambda scene: scene.browser.back({"error": "access_denied"} | scene.brought),
    "once more": once_more,
    "once more with a fresh code": once_more_with_a_fresh_code,
    "once more after it was refused": once_more_after_it_was_refused,
    "with the nonce of another": with_the_nonce_of_another,
    "with the verifier of another": with_the_verifier_of_another,
    "by another method": by_another_method,
}


@pytest.mark.parametrize("way", CALLBACKS)
def test_no_callback_that_is_not_this_browsers_first_signs_anybody_in(
    provider: OidcServer, tally: Tally, way: str
) -> None:
    scene = Scene(provider)
    answer = CALLBACKS[way](scene)
    tally.add(answer)
    assert answer.status_code in {400, 401, 422}
    assert sessions_in(answer) == []
    assert "injected" not in str(answer.headers)


def test_the_attempts_of_these_attacks_are_good_but_for_what_is_wrong_with_them(provider: OidcServer) -> None:
    assert Scene(provider).brings().status_code == 303
    scene = Scene(provider)
    assert scene.with_cookie(scene.signed(ago=timedelta(seconds=590))).status_code == 303


MISBEHAVIOURS = [
    "wrong audience", "several audiences", "several audiences and another party", "no audience", "wrong issuer",
    "wrong nonce", "a nonce that is no text", "no nonce", "expired", "issued in the future", "no expiry",
    "no time of issue", "no subject", "wrong at_hash", "another key", "unknown key", "unsigned",
    "HS256 by the public key", "HS256 by a shared key", "changed afterwards", "no token", "nonsense",
    "HTML", "a redirect", "an error", "too many requests", "a list", "deep nesting", "a long body",
]  # fmt: skip


@pytest.mark.parametrize("kind", MISBEHAVIOURS)
def test_a_provider_that_misbehaves_signs_nobody_in(
    provider: OidcServer, superuser: psycopg.Connection[Any], tally: Tally, kind: str
) -> None:
    ada = somebody()
    provider.become(ada.subject, ada.email, ada.name)
    provider.misbehave(kind)
    answer = Browser().attempt()
    tally.add(answer)
    assert answer.status_code in {401, 503}
    assert answer.json()["type"].removeprefix("urn:minirag:problem:") in {"sign_in_failed", "provider_unavailable"}
    assert sessions_in(answer) == []
    assert superuser.execute("SELECT count(*) FROM users WHERE email = %s", (ada.email,)).fetchone() == (0,)


def test_an_address_that_the_provider_has_not_verified_signs_nobody_in(provider: OidcServer, tally: Tally) -> None:
    ada, mallory = somebody(), somebody()
    Browser().sign_in(provider, ada)
    provider.become(mallory.subject, ada.email, ada.name, email_verified=False)
    answer = Browser().attempt()
    tally.add(answer)
    assert (answer.status_code, sessions_in(answer)) == (401, [])


@pytest.mark.parametrize("kind", FOREIGN_HEADERS)
def test_a_page_of_another_site_does_not_finish_a_sign_in(provider: OidcServer, tally: Tally, kind: str) -> None:
    scene = Scene(provider)
    post = scene.browser.http.post
    for form in ({"json": scene.brought}, {"data": scene.brought}):
        answer = post("/auth/callback", headers=FOREIGN_HEADERS[kind], **form)  # type: ignore[arg-type]
        tally.add(answer)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:minirag:problem:cross_site")
        assert sessions_in(answer) == []
    # It was the headers: the attempt is still good.
    assert post("/auth/callback", headers=PAGE, json=scene.brought).status_code == 200


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
        "https:evil.example", "javascript:alert(1)", "data:text/html,x", "evil.example", "@evil.example",
        ".evil.example", "", " /", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example",
        "/\0/evil.example", "/\x0b/evil.example", "/ /evil.example", "/\N{FULLWIDTH SOLIDUS}evil.example", "/é",
        "/\x85/evil.example", "/\r\nSet-Cookie: minirag_session=injected", "/\r\n\r\n<script>", "/" + "a" * 498 + "é",
    ],
)  # fmt: skip
def test_a_sign_in_leads_nowhere_but_to_a_path_of_ours(provider: OidcServer, wanted: str) -> None:
    ada = somebody()
    provider.become(ada.subject, ada.email, ada.name)
    answer = Browser().attempt(wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert len(sessions_in(answer)) == 1
    assert "injected" not in str(answer.headers)


@pytest.mark.parametrize(
    "wanted",
    [
        "/", "/%09/evil.example", "/%5cevil.example", "/%2f%2fevil.example", "/%0d%0aSet-Cookie:%20x=injected",
        "/.//evil.example", "/..//evil.example", "/?next=https://evil.example", "/#//evil.example", "/a\\b", "/<\">",
    ],
)  # fmt: skip
def test_a_path_that_only_looks_like_a_way_out_stays_here(provider: OidcServer, wanted: str) -> None:
    ada = somebody()
    provider.become(ada.subject, ada.email, ada.name)
    answer = Browser().attempt(wanted)
    location = answer.headers["location"]
    assert urlsplit(urljoin(f"{ORIGIN}/auth/callback", location))[:2] == ("https", "minirag.test")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert location.isprintable()
    assert len(answer.headers.get_list("set-cookie")) == 2


def test_a_way_that_is_too_long_is_refused_before_anything_begins() -> None:
    assert Browser().http.get("/auth/google", params={"return_to": "/" + "a" * 500}).status_code == 422


def test_an_attempt_says_nothing_of_the_session_that_was_there(api: httpx.Client, provider: OidcServer) -> None:
    """A browser that signs in anew gets a new session: nobody can prepare one for somebody else."""
    browser = Browser().sign_in(provider, somebody())
    before = browser.token
    browser.sign_in(provider, somebody())
    assert browser.token != before
    assert replayed(api, before).json()["user"] != replayed(api, browser.token).json()["user"]
