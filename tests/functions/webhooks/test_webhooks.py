"""Stripe's webhook: only what Stripe signed is recorded, and once."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from functions.webhooks.handler import handler
from minirag.runtime import settings
from tests.conftest import WEBHOOK_SECRET
from tests.tenants import TestTenant

pytestmark = pytest.mark.usefixtures("system")


def signature(body: bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None, scheme: str = "v1") -> str:
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},{scheme}={digest}"


def call(
    body: bytes, header: str | None, *, encoded: bool = False, method: str = "POST", request_id: str = ""
) -> tuple[int, dict[str, Any]]:
    event = {
        "rawPath": "/",
        "headers": {"x-request-id": request_id} | ({} if header is None else {"stripe-signature": header}),
        "requestContext": {"http": {"method": method, "sourceIp": "203.0.113.7"}},
        "body": base64.b64encode(body).decode() if encoded else body.decode("utf-8", "surrogateescape"),
        "isBase64Encoded": encoded,
    }
    response = handler(event, None)
    return response["statusCode"], json.loads(response["body"])


def stripe_event(customer: str | None = None) -> bytes:
    subscription = {"object": "subscription", "id": "sub_1", "customer": customer}
    event = {"id": f"evt_{uuid4().hex}", "type": "customer.subscription.updated", "data": {"object": subscription}}
    return json.dumps(event).encode()


def test_a_signed_event_is_recorded_for_the_organization_of_its_customer(
    tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    body = stripe_event(tenant.customer_id)
    assert call(body, signature(body)) == (200, {"received": True, "duplicate": False})
    rows = superuser.execute(
        "SELECT organization_id, event_type FROM organization_billing_events WHERE event_id = %s",
        (json.loads(body)["id"],),
    ).fetchall()
    assert rows == [(tenant.organization_id, "customer.subscription.updated")]


def test_an_event_delivered_again_is_recorded_once(superuser: psycopg.Connection[Any]) -> None:
    body = stripe_event()
    answers = [call(body, signature(body), encoded=encoded)[1]["duplicate"] for encoded in (False, True, False)]
    assert answers == [False, True, True]
    count = "SELECT count(*) FROM organization_billing_events WHERE event_id = %s"
    assert superuser.execute(count, (json.loads(body)["id"],)).fetchone() == (1,)


Mutation = Callable[[bytes], tuple[bytes, str | None]]


def signed(body: bytes) -> tuple[bytes, str]:
    return body, signature(body)


def two_wrong(body: bytes) -> tuple[bytes, str]:
    """As during a rotation of the secret, but neither is ours."""
    other = signature(body, secret="whsec_other")
    return body, f"{other},v1={'0' * 64}"


def moved(body: bytes) -> tuple[bytes, str]:
    """A recorded signature, whose time is made newer."""
    old = signature(body, at=time.time() - 3600)
    return body, f"t={int(time.time())},{old.partition(',')[2]}"


# What is wrong with an event that Stripe signed, made when it is sent: a signature is good for five minutes.
MUTATIONS: dict[str, Mutation] = {
    "no signature": lambda body: (body, None),
    "empty signature": lambda body: (body, ""),
    "nonsense": lambda body: (body, "t=1,v1=00"),
    "a time alone": lambda body: (body, f"t={int(time.time())}"),
    "a signature without a time": lambda body: (body, signature(body).partition(",")[2]),
    "another secret": lambda body: (body, signature(body, secret="whsec_other")),
    "an empty secret": lambda body: (body, signature(body, secret="")),
    "two signatures, both wrong": two_wrong,
    "v0 only": lambda body: (body, signature(body, scheme="v0")),
    "v2 only": lambda body: (body, signature(body, scheme="v2")),
    "an hour old": lambda body: (body, signature(body, at=time.time() - 3600)),
    "just too old": lambda body: (body, signature(body, at=time.time() - 302)),
    "of the future": lambda body: (body, signature(body, at=time.time() + 3600)),
    "a changed time": moved,
    "a cut signature": lambda body: (body, signature(body)[:-1]),
    "a signature in capitals": lambda body: (body, signature(body).upper().replace("V1", "v1").replace("T=", "t=")),
    "a signature that is not ASCII": lambda body: (body, f"{signature(body)}é"),
    "the header of another event": lambda body: (body, signature(stripe_event())),
    "serialized anew": lambda body: (json.dumps(json.loads(body), indent=1).encode(), signature(body)),
    "a truncated body": lambda body: (body[:-1], signature(body)),
    "a longer body": lambda body: (body + b"\n", signature(body)),
    "a changed byte": lambda body: (body.replace(b"updated", b"deleted"), signature(body)),
    "no body": lambda body: (b"", signature(body)),
}
NO_EVENTS: dict[str, bytes] = {
    "not UTF-8": b"\xff\xfe",
    "not JSON": b'{"id": NaN}',
    "cut JSON": b'{"id": "e", "type": "t"',
    "infinite": b'{"id": "e", "type": "t", "n": 1e999}',
    "endlessly deep": b"[" * 100_000,
    "not an object": b"[]",
    "wrong types": b'{"id": 1, "type": null}',
    "no id": b'{"type": "t"}',
}
REFUSED = MUTATIONS | {name: lambda _, body=body: signed(body) for name, body in NO_EVENTS.items()}


def assert_refused(answer: tuple[int, dict[str, Any]]) -> None:
    status, problem = answer
    assert status == 400
    assert problem["status"] == 400
    assert problem["request_id"].startswith("req_")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_stripe_did_not_sign_or_is_no_event_is_refused(
    kind: str, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    rows = "SELECT (SELECT count(*) FROM organization_billing_events), (SELECT count(*) FROM audit_log)"
    before = superuser.execute(rows).fetchone()
    body = stripe_event(tenant.customer_id)
    assert_refused(call(*REFUSED[kind](body), encoded=True))
    assert superuser.execute(rows).fetchone() == before
    # It was what was changed: as Stripe signed it, it is good.
    assert call(*signed(body))[0] == 200


@pytest.mark.parametrize("broken", ["%", "A", "é", "e30\n%%"])
def test_a_body_that_is_not_the_base64_that_it_claims_to_be_is_refused(broken: str) -> None:
    headers = {"stripe-signature": signature(b"{}")}
    context = {"http": {"method": "POST"}}
    event = {"rawPath": "/", "headers": headers, "requestContext": context, "body": broken, "isBase64Encoded": True}
    response = handler(event, None)
    assert_refused((response["statusCode"], json.loads(response["body"])))


def test_during_a_rotation_either_secret_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MINIRAG_STRIPE_WEBHOOK_SECRET", f"whsec_new,{WEBHOOK_SECRET}")
        settings.current.cache_clear()
        for secret in ("whsec_new", WEBHOOK_SECRET):
            body = stripe_event()
            assert call(body, signature(body, secret=secret))[0] == 200
        body = stripe_event()
        assert_refused(call(body, signature(body, secret="whsec_older")))
    settings.current.cache_clear()


def test_a_recorded_event_leaves_one_line_in_the_audit_log(
    tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    body = stripe_event(tenant.customer_id)
    for _ in range(2):
        call(body, signature(body), request_id="stripe-1")
    rows = superuser.execute(
        "SELECT action, target, detail, request_id, ip, user_id FROM audit_log WHERE organization_id = %s",
        (tenant.organization_id,),
    ).fetchall()
    detail = {"type": "customer.subscription.updated"}
    assert rows == [("billing.event", json.loads(body)["id"], detail, "stripe-1", "203.0.113.7", None)]


def test_what_cannot_be_stored_is_replaced_and_the_event_recorded() -> None:
    body = json.dumps({"id": f"evt_{uuid4().hex}", "type": "t", "data": {"object": {"name": "a\0b\ud83d"}}}).encode()
    assert call(body, signature(body))[0] == 200


def test_another_method_is_not_found() -> None:
    assert call(b"", None, method="GET")[0] == 404
