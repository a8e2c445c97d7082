"""Tokens of sessions and of sign-ins: what we signed is read, for what it was signed and as long; nothing else is."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.runtime.settings import SigningKey
from minirag.tenancy import tokens
from minirag.tenancy.tokens import BadToken, Login, Session

ISSUER = "mini-rag"
OLD = SigningKey("old", "o" * 32)
NEW = SigningKey("new", "n" * 32)
NOW = datetime.now(UTC)
DAY = 24 * 3600

ADA = tokens.new_session(uuid4(), email="ada@example.com", role="user", epoch=3, now=NOW)
TOKEN = tokens.sign_session(ADA, [NEW], issuer=ISSUER)
LOGIN = Login("a state", "a nonce", "a verifier", "/documents")


def read(token: str, *keys: SigningKey, issuer: str = ISSUER) -> Session:
    return tokens.read_session(token, keys or (NEW,), issuer=issuer)


def refused(token: str, *keys: SigningKey, issuer: str = ISSUER) -> None:
    with pytest.raises(BadToken):
        read(token, *keys, issuer=issuer)


def part(token: str, index: int) -> dict[str, Any]:
    """The header (0) or the claims (1) of a token, as anybody can read them."""
    text = token.split(".")[index]
    value: dict[str, Any] = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return value


def signed(**changes: object) -> str:
    """Ada's token with other claims, by our key; None leaves a claim out."""
    claims = {name: value for name, value in (part(TOKEN, 1) | changes).items() if value is not None}
    return jwt.encode(claims, NEW.secret, "HS256", headers={"kid": NEW.kid})


def test_a_session_comes_back_as_it_was_signed() -> None:
    assert read(TOKEN) == ADA
    assert ADA.expires_at == NOW.replace(microsecond=0) + timedelta(days=7)


def test_a_session_token_says_who_until_when_for_whom_and_by_which_key() -> None:
    assert part(TOKEN, 0) == {"alg": "HS256", "typ": "JWT", "kid": "new"}
    issued = int(NOW.timestamp())
    assert part(TOKEN, 1) == {
        "jti": str(ADA.id),
        "user_id": str(ADA.user_id),
        "email": "ada@example.com",
        "role": "user",
        "epoch": 3,
        "iss": "mini-rag",
        "aud": "minirag",
        "iat": issued,
        "exp": issued + 7 * DAY,
    }


def test_a_sign_in_comes_back_as_it_was_signed_for_ten_minutes() -> None:
    token = tokens.sign_login(LOGIN, [NEW], issuer=ISSUER, now=datetime.now(UTC))
    assert tokens.read_login(token, [NEW], issuer=ISSUER) == LOGIN
    claims = part(token, 1)
    assert claims["exp"] - claims["iat"] == 600
    over = tokens.sign_login(LOGIN, [NEW], issuer=ISSUER, now=datetime.now(UTC) - timedelta(seconds=601))
    with pytest.raises(BadToken):
        tokens.read_login(over, [NEW], issuer=ISSUER)


def test_no_two_sessions_are_one() -> None:
    user = uuid4()
    made = [tokens.new_session(user, email="a@b", role="user", epoch=0, now=NOW) for _ in range(100)]
    assert len({session.id for session in made}) == 100


def test_the_first_key_signs_and_what_the_others_signed_stays_good_until_they_are_gone() -> None:
    before = tokens.sign_session(ADA, [OLD], issuer=ISSUER)
    assert part(tokens.sign_session(ADA, [NEW, OLD], issuer=ISSUER), 0)["kid"] == "new"
    assert read(before, NEW, OLD) == ADA
    refused(before, NEW)
    refused(before)


def test_a_kid_says_which_key_and_no_other_is_tried() -> None:
    refused(jwt.encode(part(TOKEN, 1), OLD.secret, "HS256", headers={"kid": "new"}), NEW, OLD)
    refused(jwt.encode(part(TOKEN, 1), NEW.secret, "HS256"), NEW, OLD)


def test_without_keys_nothing_is_read() -> None:
    with pytest.raises(BadToken):
        tokens.read_session(TOKEN, [], issuer=ISSUER)


def test_a_sign_in_is_no_session_and_a_session_no_sign_in() -> None:
    refused(tokens.sign_login(LOGIN, [NEW], issuer=ISSUER, now=datetime.now(UTC)))
    with pytest.raises(BadToken):
        tokens.read_login(TOKEN, [NEW], issuer=ISSUER)
    # Not even one that has all that the other needs, and is as short.
    now = int(datetime.now(UTC).timestamp())
    short = {"state": "s", "nonce": "n", "verifier": "v", "return_to": "/", "iat": now, "exp": now + 600}
    with pytest.raises(BadToken):
        tokens.read_login(signed(**short), [NEW], issuer=ISSUER)
    assert tokens.read_login(signed(**short, aud="minirag-login"), [NEW], issuer=ISSUER).state == "s"
    refused(signed(**short, aud="minirag-login"))


def test_the_token_of_another_issuer_is_refused() -> None:
    refused(TOKEN, issuer="another")


# What our key signed is believed, so these are of no attacker: they are what a mistake of ours could sign.
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": int(NOW.timestamp()) + 7 * DAY + 1}, id="a second longer than seven days"),
        pytest.param({"exp": int(NOW.timestamp()) + 100 * 365 * DAY}, id="a hundred years"),
        pytest.param({"iat": 0}, id="issued long ago for long"),
        pytest.param({"exp": float(int(NOW.timestamp()) + DAY)}, id="an end that is no whole number"),
        pytest.param({"iat": float(int(NOW.timestamp()))}, id="a beginning that is no whole number"),
        pytest.param({"exp": str(int(NOW.timestamp()) + DAY)}, id="an end that is text"),
        pytest.param({"exp": True, "iat": False}, id="an end that is a truth"),
        pytest.param({"exp": 10**30}, id="an end beyond all time"),
        pytest.param({"exp": int(NOW.timestamp()) - 1, "iat": int(NOW.timestamp()) - DAY}, id="over"),
        pytest.param({"iat": int(NOW.timestamp()) + 3600}, id="issued in the future"),
        pytest.param({"nbf": int(NOW.timestamp()) + 3600}, id="not yet good"),
        pytest.param({"aud": "minirag-login"}, id="for something else"),
        pytest.param({"aud": ["minirag", "another"]}, id="for others too"),
        pytest.param({"iss": "another"}, id="by another"),
        pytest.param({"user_id": "../../etc/passwd"}, id="of a path"),
        pytest.param({"user_id": 1}, id="of a number"),
        pytest.param({"jti": "x"}, id="of no id"),
        pytest.param({"epoch": True}, id="an epoch that is a truth"),
        pytest.param({"epoch": "3"}, id="an epoch that is text"),
        pytest.param({"epoch": 3.0}, id="an epoch that is no whole number"),
        pytest.param({"epoch": 2**31}, id="an epoch that the database cannot hold"),
        pytest.param({"email": 1}, id="an address that is none"),
        pytest.param({"role": ["admin"]}, id="a role that is none"),
        *(
            pytest.param({name: None}, id=f"no {name}")
            for name in ("exp", "iat", "iss", "aud", "jti", "user_id", "email", "role", "epoch")
        ),
    ],
)
def test_a_token_that_is_not_quite_one_is_refused_though_we_signed_it(changes: dict[str, object]) -> None:
    refused(signed(**changes))


def test_the_test_before_changes_what_it_says_and_nothing_else() -> None:
    assert read(signed()) == ADA


POSITIONS = st.integers(0, len(TOKEN) - 1)
# Those of base64, and any others.
CHARACTERS = st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/") | st.characters()


@given(POSITIONS, CHARACTERS)
def test_no_token_with_one_character_changed_is_read(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    if changed != TOKEN:
        refused(changed)


@given(POSITIONS)
def test_no_token_with_one_character_missing_is_read(position: int) -> None:
    refused(TOKEN[:position] + TOKEN[position + 1 :])


@given(POSITIONS, CHARACTERS)
def test_no_token_with_one_character_more_is_read(position: int, character: str) -> None:
    refused(TOKEN[:position] + character + TOKEN[position:])


@pytest.mark.parametrize("more", ["=", "==", "====", "!!!!", "\n", " ", ".", "\0"])
def test_a_token_has_one_spelling(more: str) -> None:
    refused(TOKEN + more)
    refused(more + TOKEN)


@given(st.text(max_size=200) | st.lists(st.text(max_size=40), min_size=2, max_size=5).map(".".join))
def test_whatever_is_no_token_is_refused_and_nothing_worse(text: str) -> None:
    refused(text)


@given(st.dictionaries(st.sampled_from(("alg", "kid", "typ", "crit", "b64", "jku", "zip")), st.text() | st.integers()))
def test_a_header_that_we_did_not_sign_is_refused(header: dict[str, object]) -> None:
    written = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    refused(".".join((written, *TOKEN.split(".")[1:])))


@given(st.uuids(), st.text(max_size=60), st.sampled_from(("user", "admin")), st.integers(-(2**31), 2**31 - 1))
def test_any_session_comes_back(user_id: UUID, email: str, role: str, epoch: int) -> None:
    session = tokens.new_session(user_id, email=email, role=role, epoch=epoch, now=NOW)
    # An address in another script is left out: written as escapes it could outgrow what browsers keep.
    expected = session if email.isascii() else replace(session, email="")
    assert read(tokens.sign_session(session, [NEW], issuer=ISSUER)) == expected
