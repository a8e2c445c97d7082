"""Signing in by OpenID Connect, against a real provider that behaves, and one that does not."""

import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from functions.admin import oidc, oidc_provider
from functions.admin.oidc import Attempt, Client, Identity
from minirag.runtime import telemetry
from minirag.runtime.errors import MiniRagError, Unauthenticated, Unavailable
from tests.fakes.oidc_server import OidcServer
from tests.fakes.site import Site, page

CALLBACK = "http://127.0.0.1:8080/auth/callback"
METADATA = "/.well-known/openid-configuration"
ADA = ("1", "ada@example.com", "Ada Lovelace")


@pytest.fixture(scope="module")
def server() -> Iterator[OidcServer]:
    with OidcServer() as started:
        yield started


@pytest.fixture
def provider(server: OidcServer) -> OidcServer:
    """The provider as it should be, of which this process knows nothing."""
    server.reset()
    forget()
    return server


@pytest.fixture
def client(provider: OidcServer) -> Client:
    return Client(provider.issuer, provider.client_id, provider.client_secret, CALLBACK)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass."""
    passed = 0.0

    def run(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        monkeypatch.setattr(oidc_provider, "monotonic", lambda: monotonic() + passed)

    return run


def forget() -> None:
    oidc_provider._providers.clear()
    oidc_provider._keys.clear()


def callback(url: str) -> dict[str, str]:
    """What the browser brings back from the provider."""
    answer = httpx.get(url, verify=False)  # loads no certificates
    assert answer.status_code == 302
    target = answer.headers["Location"]
    assert target.startswith(CALLBACK + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


def started(client: Client, **options: str) -> tuple[Attempt, str]:
    """A sign-in up to the callback: the attempt and its code."""
    url, attempt = oidc.begin(client, **options)
    brought = callback(url)
    assert brought["state"] == attempt.state
    return attempt, brought["code"]


def sign_in(client: Client, **options: str) -> Identity:
    attempt, code = started(client, **options)
    return oidc.finish(client, attempt, code)


def refused(client: Client, attempt: Attempt, code: str) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        oidc.finish(client, attempt, code)
    assert caught.value.code == "sign_in_failed"
    assert_tells_no_secret(caught.value, client, attempt, code)
    return caught.value


def unavailable(client: Client, attempt: Attempt | None = None, code: str = "") -> None:
    with pytest.raises(Unavailable) as caught:
        oidc.finish(client, attempt, code) if attempt else oidc.begin(client)
    assert caught.value.code == "provider_unavailable"
    assert caught.value.detail.startswith("The identity provider cannot be reached right now")


def assert_tells_no_secret(error: MiniRagError, client: Client, attempt: Attempt, code: str) -> None:
    told = "".join(traceback.format_exception(error))
    for secret in (client.client_secret, attempt.nonce, attempt.verifier, code):
        assert secret not in told


def test_who_signs_in_comes_back_as_whom_the_provider_says_they_are(client: Client, provider: OidcServer) -> None:
    assert sign_in(client) == Identity(provider.issuer, *ADA)


def test_the_browser_is_sent_with_all_that_the_way_back_is_checked_by(client: Client, provider: OidcServer) -> None:
    url, attempt = oidc.begin(client, login_hint="ada@example.com")
    assert url.startswith(f"{provider.issuer}/authorize?")
    sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert len(sent.pop("code_challenge")) == 43
    assert sent == {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": CALLBACK,
        "scope": "openid email profile",
        "state": attempt.state,
        "nonce": attempt.nonce,
        "prompt": "select_account",
        "login_hint": "ada@example.com",
        "code_challenge_method": "S256",
    }
    assert attempt.verifier not in url


def test_no_two_attempts_share_anything(client: Client) -> None:
    (_, first), (_, second) = oidc.begin(client), oidc.begin(client)
    values = {first.state, first.nonce, first.verifier, second.state, second.nonce, second.verifier}
    assert len(values) == 6
    assert all(len(value) >= 43 for value in values)


def test_a_login_hint_is_sent_and_whatever_it_is_does_no_harm(client: Client, provider: OidcServer) -> None:
    provider.become("7", "grace@example.com", "Grace Hopper")
    provider.become(*ADA)
    assert sign_in(client, login_hint="grace@example.com").subject == "7"
    assert sign_in(client, login_hint="&code=\ud800é").subject == "1"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "EdDSA"])
def test_every_algorithm_that_is_accepted_works(client: Client, provider: OidcServer, algorithm: str) -> None:
    provider.new_keys(algorithm)
    assert sign_in(client).subject == "1"


@pytest.mark.parametrize("algorithm", ["RS512", "ES384"])
def test_an_algorithm_that_is_not_accepted_is_of_no_use(client: Client, provider: OidcServer, algorithm: str) -> None:
    provider.new_keys(algorithm)
    unavailable(client)


def test_only_algorithms_that_the_provider_lists_are_accepted(client: Client, provider: OidcServer) -> None:
    provider.advertise(id_token_signing_alg_values_supported=["ES256"])
    refused(client, *started(client))


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"], None])
def test_the_secret_is_sent_in_a_way_that_the_provider_takes(
    client: Client, provider: OidcServer, methods: list[str] | None
) -> None:
    provider.advertise(token_endpoint_auth_methods_supported=methods)
    assert sign_in(client).subject == "1"


@pytest.mark.parametrize(
    "kind", ["several audiences and us as party", "just expired", "right at_hash"]
)  # a clock may be late by a minute
def test_what_may_vary_is_accepted(client: Client, provider: OidcServer, kind: str) -> None:
    provider.misbehave(kind)
    assert sign_in(client).subject == "1"


def test_another_verifier_is_refused(client: Client) -> None:
    attempt, code = started(client)
    _, other = oidc.begin(client)
    refused(client, Attempt(attempt.state, attempt.nonce, other.verifier), code)


def test_a_code_is_good_once(client: Client) -> None:
    attempt, code = started(client)
    assert oidc.finish(client, attempt, code).subject == "1"
    refused(client, attempt, code)


def test_the_code_of_another_sign_in_is_refused(client: Client) -> None:
    attempt, _ = started(client)
    _, code = started(client)
    refused(client, attempt, code)


@pytest.mark.parametrize("code", ["", "invented", "\ud800", "a\nb", "é", "x" * 5000, "&client_id=other"])
def test_a_code_that_the_provider_never_gave_is_refused(client: Client, code: str) -> None:
    _, attempt = oidc.begin(client)
    with pytest.raises(Unauthenticated, match="Sign in again"):
        oidc.finish(client, attempt, code)


def test_a_nonce_of_another_attempt_is_refused(client: Client) -> None:
    attempt, code = started(client)
    _, other = oidc.begin(client)
    assert "another sign-in" in refused(client, Attempt(attempt.state, other.nonce, attempt.verifier), code).detail


@pytest.mark.parametrize(
    "kind",
    [
        "wrong audience",
        "no audience",
        "several audiences",
        "several audiences and another party",
        "wrong issuer",
        "wrong nonce",
        "a nonce that is no text",
        "no nonce",
        "expired",
        "issued in the future",
        "no expiry",
        "no time of issue",
        "no subject",
    ],
)
def test_claims_that_are_not_for_this_sign_in_are_refused(client: Client, provider: OidcServer, kind: str) -> None:
    provider.misbehave(kind)
    refused(client, *started(client))


@pytest.mark.parametrize(
    "kind",
    [
        "another key",
        "unknown key",
        "unsigned",
        "HS256 by the public key",
        "HS256 by a shared key",
        "changed afterwards",
        "wrong at_hash",
        "no token",
        "nonsense",
    ],
)
def test_tokens_that_the_provider_did_not_sign_are_refused(client: Client, provider: OidcServer, kind: str) -> None:
    provider.misbehave(kind)
    refused(client, *started(client))


@pytest.mark.parametrize("verified", [False, "false", "True", 1, None, [], {}])
def test_an_address_that_is_not_verified_is_refused(client: Client, provider: OidcServer, verified: object) -> None:
    provider.become(*ADA, email_verified=verified)
    assert "not verified your e-mail address" in refused(client, *started(client)).detail


def test_a_provider_that_says_true_as_text_is_understood(client: Client, provider: OidcServer) -> None:
    provider.become(*ADA, email_verified="true")
    assert sign_in(client).email == "ada@example.com"


@pytest.mark.parametrize(
    "email",
    [
        *("", None, 7, "ada", "@example.com", "ada@", "a" * 320 + "@example.com"),
        *(f"ada{character}@example.com" for character in "\0 \n\u202e\ud800"),
    ],
)
def test_an_address_that_is_none_is_refused(client: Client, provider: OidcServer, email: Any) -> None:
    provider.become("1", email, "Ada Lovelace")
    assert "e-mail address" in refused(client, *started(client)).detail


def test_an_address_is_known_in_one_form(client: Client, provider: OidcServer) -> None:
    provider.become("1", " Ada@Example.COM\n", "Ada Lovelace")
    assert sign_in(client).email == "ada@example.com"


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (" Ada\n\tLovelace ", "Ada Lovelace"),
        ("A\0d\ud800a\x1b[0m", "Ada[0m"),
        ("Ŵ" * 300, "Ŵ" * 200),
        ("\0 \0", "ada@example.com"),
        (None, "ada@example.com"),
        ({"first": "Ada"}, "ada@example.com"),
    ],
)
def test_a_name_fits_one_line_and_is_the_address_without_one(
    client: Client, provider: OidcServer, given: Any, known: str
) -> None:
    provider.become("1", "ada@example.com", given)
    assert sign_in(client).name == known


@pytest.mark.parametrize("subject", ["", "x" * 256, "1\0", "\ud800", 1, None])
def test_a_subject_that_cannot_be_kept_is_refused(client: Client, provider: OidcServer, subject: Any) -> None:
    provider.become(subject, "ada@example.com", "Ada Lovelace")
    refused(client, *started(client))


def test_a_client_that_the_provider_does_not_know_is_said_to_be_a_mistake_of_the_installation(client: Client) -> None:
    wrong = Client(client.issuer, client.client_id, "another-secret", CALLBACK)
    assert "Tell whoever runs it" in refused(wrong, *started(wrong)).detail


def test_metadata_and_keys_are_asked_for_once_an_hour(
    client: Client, provider: OidcServer, later: Callable[[float], None]
) -> None:
    def asked() -> tuple[int, int]:
        return provider.asked(METADATA), provider.asked("/jwks")

    metadata, keys = asked()
    for _ in range(3):
        sign_in(client)
        later(1199)
    assert asked() == (metadata + 1, keys + 1)
    later(4)
    sign_in(client)
    assert asked() == (metadata + 2, keys + 2)


def test_new_keys_are_learnt_at_most_once_a_minute(
    client: Client, provider: OidcServer, later: Callable[[float], None]
) -> None:
    sign_in(client)
    keys = provider.asked("/jwks")
    provider.new_keys("RS256")
    refused(client, *started(client))
    assert provider.asked("/jwks") == keys
    later(61)
    assert sign_in(client).subject == "1"
    assert provider.asked("/jwks") == keys + 1
    provider.misbehave("unknown key")
    refused(client, *started(client))
    later(61)
    refused(client, *started(client))
    refused(client, *started(client))
    assert provider.asked("/jwks") == keys + 2


def test_a_key_of_an_unknown_kind_does_not_spoil_the_others() -> None:
    known = {"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    unknown: list[Any] = [{"kty": "AKP"}, {"kty": "OKP", "crv": "X9"}, {"kty": "RSA", "n": "*", "e": 5}, {}, None, 7]
    assert [key.kid for key in oidc_provider._usable({"keys": [*unknown, known]})] == ["1"]


NO_ANSWER = [
    "HTML",
    "a redirect",
    "an error",
    "too many requests",
    "a list",
    "deep nesting",
    "a long body",
    "an endless body",
]


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_metadata_that_is_none_makes_the_provider_unavailable(client: Client, provider: OidcServer, kind: str) -> None:
    provider.misbehave(kind, at=METADATA)
    unavailable(client)
    provider.reset()
    assert sign_in(client).subject == "1"


@pytest.mark.parametrize("path", ["/token", "/jwks"])
@pytest.mark.parametrize("kind", NO_ANSWER)
def test_answers_that_are_none_make_the_provider_unavailable(
    client: Client, provider: OidcServer, kind: str, path: str
) -> None:
    attempt, code = started(client)
    provider.misbehave(kind, at=path)
    unavailable(client, attempt, code)
    assert provider.asked("/elsewhere") == 0


@pytest.mark.parametrize("path", [METADATA, "/token", "/jwks"])
@pytest.mark.parametrize("kind", ["nothing", "a slow body"])
def test_no_answer_is_waited_for_long(
    client: Client, provider: OidcServer, kind: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (oidc_provider.TIMEOUT_SECONDS, oidc_provider._ANSWER_SECONDS) == (5, 10)
    attempt, code = started(client)
    forget()
    provider.misbehave(kind, at=path)
    for module in (oidc, oidc_provider):
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(oidc_provider, "_ANSWER_SECONDS", 0.3)
    unavailable(client, attempt, code)


def test_a_provider_that_is_down_is_unavailable() -> None:
    with OidcServer() as other:
        gone = Client(other.issuer, other.client_id, other.client_secret, CALLBACK)
        attempt, code = started(gone)
    unavailable(gone, attempt, code)
    forget()
    unavailable(gone)


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "{issuer}/", None, ["{issuer}"]])
def test_metadata_of_another_issuer_is_not_believed(client: Client, provider: OidcServer, issuer: Any) -> None:
    provider.advertise(issuer=issuer.format(issuer=provider.issuer) if isinstance(issuer, str) else issuer)
    unavailable(client)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", ["http://provider.example/", "ftp://127.0.0.1/", "//", "http://[", "", None, 7])
def test_endpoints_are_secure_or_on_this_machine(client: Client, provider: OidcServer, name: str, url: object) -> None:
    provider.advertise(**{name: url})
    unavailable(client)


def test_an_issuer_is_secure_or_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_provider, "_fetch", lambda url: pytest.fail(f"{url} was asked"))
    for issuer in ("http://provider.example", "http://127.0.0.1.example", "ftp://127.0.0.1", "provider.example", ""):
        unavailable(Client(issuer, "id", "secret", CALLBACK))


def test_an_issuer_may_end_with_a_slash() -> None:
    with Site() as site:
        issuer = f"http://127.0.0.1:{site.port}/"
        unavailable(Client(issuer, "id", "secret", CALLBACK))
    assert site.requests[0].startswith(b"GET /.well-known/openid-configuration HTTP")


def test_endpoints_of_a_secure_issuer_stay_off_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {
        "issuer": "https://provider.example",
        "authorization_endpoint": "https://provider.example/authorize",
        "token_endpoint": "http://127.0.0.1/token",
        "jwks_uri": "https://provider.example/jwks",
        "id_token_signing_alg_values_supported": ["RS256"],
    }
    forget()
    monkeypatch.setattr(oidc_provider, "_fetch", lambda _: metadata)
    unavailable(Client("https://provider.example", "id", "secret", CALLBACK))
    metadata["token_endpoint"] = "https://provider.example/token"
    url, _ = oidc.begin(Client("https://provider.example", "id", "secret", CALLBACK))
    assert url.startswith("https://provider.example/authorize?")


def test_a_token_endpoint_that_answers_with_wrong_types_is_refused_or_unavailable(client: Client) -> None:
    _, attempt = oidc.begin(client)
    known = oidc_provider._providers[client.issuer]
    for body in (
        b'{"expires_in": {"a": 1}}',
        b'{"expires_in": 1e999}',
        b'{"id_token": 7}',
        b'{"id_token": "a.b.c"}',
    ):
        with Site(page(body, "application/json")) as site:
            endpoint = f"http://127.0.0.1:{site.port}/"
            changed = {name: getattr(known, name) for name in known.__slots__} | {"token_endpoint": endpoint}
            oidc_provider._providers[client.issuer] = oidc_provider.Provider(**changed)
            with pytest.raises((Unauthenticated, Unavailable)):
                oidc.finish(client, attempt, "code")


def test_nothing_secret_is_logged(
    client: Client, provider: OidcServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    monkeypatch.setattr(telemetry, "event", lambda name, **fields: events.append(f"{name} {fields}"))
    caplog.set_level(logging.DEBUG)
    for kind in ("right at_hash", "wrong nonce", "expired", "unsigned", "HTML"):
        provider.misbehave(kind)
        attempt, code = started(client)
        caplog.clear()  # of the browser's requests
        with suppress(MiniRagError):
            oidc.finish(client, attempt, code)
        assert "POST /token" in caplog.text
        for secret in (client.client_secret, attempt.nonce, attempt.verifier, code, "eyJ", "ada@example.com"):
            assert secret not in caplog.text + "".join(events)
    assert len(events) == 4
    assert client.client_secret not in repr(client)
    assert attempt.verifier not in repr(attempt)


def test_nothing_heavy_is_loaded_before_the_first_sign_in() -> None:
    program = (
        "import sys, functions.admin.oidc; print([m for m in ('authlib', 'joserfc', 'requests') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
