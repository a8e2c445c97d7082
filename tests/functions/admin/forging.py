"""Tokens that are no session of ours: what an attacker would make of one, and what a mistake of ours could sign."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_DAY: Final = 24 * 3600
_LATER: Final = 3600


def forged(token: str, kid: str, secret: str, *, victim: str) -> dict[str, str]:
    """Every forgery of an attacker's own session, which our key signed; most of them say to be the victim's."""
    return (
        _by_algorithm(token, kid, secret, victim)
        | _by_key(token, kid, victim)
        | _by_claims(token, kid, secret)
        | _by_shape(token, victim)
    )


def _encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _claims(token: str, **changes: object) -> dict[str, Any]:
    text = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return {name: value for name, value in (found | changes).items() if value is not None}


def _made(header: object, claims: object, secret: bytes | None) -> str:
    """A token with this header, whatever it says, by HMAC with SHA-256; None: without a signature."""
    text = f"{_encoded(header)}.{_encoded(claims)}"
    return f"{text}." if secret is None else f"{text}.{_encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def _by_algorithm(token: str, kid: str, secret: str, victim: str) -> dict[str, str]:
    """The header names another algorithm, or none."""
    claims, mine = _claims(token, user_id=victim), _claims(token)
    ours = secret.encode()
    spellings = ("none", "None", "NONE", "nOnE", "", " none", None, False, 0, ["HS256"], {"alg": "HS256"})
    made = {
        f"alg {alg!r}, {how}": _made({"alg": alg, "kid": kid}, claims, key)
        for alg in spellings
        for how, key in (("unsigned", None), ("by an empty secret", b""), ("by our secret", ours))
    }
    # Signed by our own key, but by an algorithm that is not ours, or is not said to be.
    text = f"{_encoded({'alg': 'HS512', 'kid': kid})}.{_encoded(mine)}"
    return made | {
        "no alg": _made({"kid": kid}, mine, ours),
        "RS256 with a signature by HS256": _made({"alg": "RS256", "kid": kid}, mine, ours),
        "alg hs256 in small letters": _made({"alg": "hs256", "kid": kid}, mine, ours),
        "HS512 by our key": f"{text}.{_encoded(hmac.digest(ours, text.encode(), 'sha512'))}",
        "RS256 by a key of one's own": jwt.encode(
            claims, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": kid}
        ),
        "ES256 by a key of one's own": jwt.encode(
            claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": kid}
        ),
    }


def _by_key(token: str, kid: str, victim: str) -> dict[str, str]:
    """The signature is right, by a key that is not ours, wherever the header says it is."""
    claims, own = _claims(token, user_id=victim), b"a key of one's own, which is long enough"
    head = {"alg": "HS256", "typ": "JWT"}
    jwk = {"kty": "oct", "k": _encoded(own), "alg": "HS256"}
    kids: dict[str, tuple[object, bytes]] = {
        "kid of an empty file": ("../../../dev/null", b""),
        "kid of a file, absolute": ("/dev/null", b""),
        "kid of an address": ("https://evil.example/key", own),
        "kid with SQL": ("' UNION SELECT 'x' -- ", b"x"),
        "kid with a command": (f"{kid}|echo x", b"x"),
        "unknown kid": ("unknown", own),
        "empty kid": ("", b""),
        "kid in capitals": (kid.upper(), own),
        "kid with a space": (f"{kid} ", own),
        "kid that is null": (None, b""),
        "kid that is a number": (0, own),
        "kid that is a truth": (True, own),
        "kid that is a list": ([kid], own),
        "kid that is an object": ({"kid": kid}, own),
        "our kid and another secret": (kid, own),
        "our kid and an empty secret": (kid, b""),
        "our kid and its name for a secret": (kid, kid.encode()),
        "our kid and what everybody tries": (kid, b"secret"),
    }
    made = {name: _made(head | {"kid": value}, claims, key) for name, (value, key) in kids.items()}
    return made | {
        "no kid": _made(head, claims, own),
        "jwk": _made(head | {"kid": kid, "jwk": jwk}, claims, own),
        "jwk without a kid": _made(head | {"jwk": jwk}, claims, own),
        "jku": _made(head | {"kid": kid, "jku": "https://evil.example/jwks.json"}, claims, own),
        "x5u": _made(head | {"kid": kid, "x5u": "https://evil.example/x.pem"}, claims, own),
        "x5c": _made(head | {"kid": kid, "x5c": [_encoded(own)]}, claims, own),
    }


def _by_claims(token: str, kid: str, secret: str) -> dict[str, str]:
    """Our key has signed it, but not for a session that is good now: an attacker has no such thing."""
    now = int(time.time())
    epoch = _claims(token)["epoch"]
    changes: dict[str, dict[str, object]] = {
        "expired": {"iat": now - 2 * _DAY, "exp": now - 1},
        "iat in the future": {"iat": now + _LATER},
        "nbf in the future": {"nbf": now + _LATER},
        "another aud": {"aud": "another"},
        "aud of a sign-in": {"aud": "minirag-login"},
        "several aud": {"aud": ["minirag", "another"]},
        "another iss": {"iss": "https://evil.example"},
        "an exp in a hundred years": {"exp": now + 100 * 365 * _DAY},
        "an exp a second too late": {"exp": _claims(token)["exp"] + 1},
        "exp as text": {"exp": str(now + _LATER)},
        "a user who is nobody": {"user_id": str(uuid4())},
        "a user who is SQL": {"user_id": "' OR 1=1 --"},
        "the epoch before": {"epoch": epoch - 1},
        "the epoch after": {"epoch": epoch + 1},
        "an epoch that is a truth": {"epoch": True},
        "an epoch that is a falsehood": {"epoch": False},
        "an epoch that is text": {"epoch": str(epoch)},
        "an epoch that is no whole number": {"epoch": float(epoch)},
        "an epoch that is a list": {"epoch": [epoch]},
        "an epoch beyond the database": {"epoch": 2**63},
        **{f"no {name}": {name: None} for name in ("exp", "iat", "iss", "aud", "jti", "user_id", "epoch", "email")},
    }
    head = {"alg": "HS256", "kid": kid}
    made = {name: _made(head, _claims(token, **change), secret.encode()) for name, change in changes.items()}
    return made | {
        "claims that are a list": _made(head, [_claims(token)], secret.encode()),
        "claims that are no JSON": _made(head, b"{", secret.encode()),
        "crit": _made(head | {"crit": ["b64"]}, _claims(token), secret.encode()),
        "crit of what nobody knows": _made(head | {"crit": ["exp2"], "exp2": 1}, _claims(token), secret.encode()),
        "b64": _made(head | {"crit": ["b64"], "b64": False}, _claims(token), secret.encode()),
    }


def _by_shape(token: str, victim: str) -> dict[str, str]:
    """A good token, cut, stretched, or in the place of another."""
    header, claims, signature = token.split(".")
    others = _encoded(_claims(token, user_id=victim))
    return {
        "somebody else's user_id under the old signature": f"{header}.{others}.{signature}",
        "somebody else's header": f"{_encoded({'alg': 'HS256', 'kid': 'x'})}.{claims}.{signature}",
        "no signature": f"{header}.{claims}.",
        "two parts": f"{header}.{claims}",
        "a signature cut by a character": token[:-1],
        "a signature cut by half": f"{header}.{claims}.{signature[:20]}",
        "a signature of nothing": f"{header}.{claims}.{_encoded(bytes(32))}",
        "a signature of the hash alone": f"{header}.{claims}.{_encoded(hashlib.sha256(claims.encode()).digest())}",
        "a dot more": f"{token}.",
        "a dot before": f".{token}",
        "two dots": f"{header}..{claims}.{signature}",
        "dots alone": "....",
        "JWE in five parts": f"{_encoded({'alg': 'dir', 'enc': 'A128GCM'})}..{claims}.{others}.{signature}",
        "100 KB": f"{header}.{'A' * 100_000}.{signature}",
        "100 KB of header": f"{_encoded({'alg': 'HS256', 'x': 'x' * 75_000})}.{claims}.{signature}",
        "deep nesting": f"{_encoded(b'[' * 2000)}.{claims}.{signature}",
        "a key for a session": "mrag_" + "0" * 38,
        "null": "null",
        "a brace": "{}",
        "not ASCII": f"{token}é",
    }
