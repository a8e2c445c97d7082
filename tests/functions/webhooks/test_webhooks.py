"""Stripe's webhook: only what Stripe signed is recorded, and once."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from functions.webhooks.handler import handler
from tests.conftest import WEBHOOK_SECRET
from tests.tenants import TestTenant

pytestmark = pytest.mark.usefixtures("system")


def signature(body: bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None, scheme: str = "v1") -> str:
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},{scheme}={digest}"


def call(body: bytes, header: str | None, *, encoded: bool = False, method: str = "POST") -> tuple[int, dict[str, Any]]:
    event = {
        "rawPath": "/",
        "headers": {} if header is None else {"stripe-signature": header},
        "requestContext": {"http": {"method": method}},
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


BODY = stripe_event()


@pytest.mark.parametrize(
    ("body", "header"),
    [
        pytest.param(BODY, None, id="no signature"),
        pytest.param(BODY, "", id="empty signature"),
        pytest.param(BODY, "t=1,v1=00", id="nonsense"),
        pytest.param(BODY, signature(BODY, secret="whsec_other"), id="another secret"),
        pytest.param(BODY, signature(BODY, scheme="v0"), id="v0 only"),
        pytest.param(BODY, signature(BODY, at=time.time() - 3600), id="an hour old"),
        pytest.param(json.dumps(json.loads(BODY), indent=1).encode(), signature(BODY), id="serialized anew"),
        pytest.param(BODY, "t=1,v1=\u00e9", id="a signature that is not ASCII"),
        pytest.param(b'{"id": NaN}', signature(b'{"id": NaN}'), id="not JSON"),
        pytest.param(
            b'{"id": "e", "type": "t", "n": 1e999}', signature(b'{"id": "e", "type": "t", "n": 1e999}'), id="infinite"
        ),
        pytest.param(b"[" * 100_000, signature(b"[" * 100_000), id="endlessly deep"),
        pytest.param(b"\xff\xfe", signature(b"\xff\xfe"), id="not UTF-8"),
        pytest.param(b"[]", signature(b"[]"), id="not an object"),
        pytest.param(b'{"id": 1, "type": null}', signature(b'{"id": 1, "type": null}'), id="wrong types"),
    ],
)
def test_what_stripe_did_not_sign_is_refused(
    body: bytes, header: str | None, superuser: psycopg.Connection[Any]
) -> None:
    before = superuser.execute("SELECT count(*) FROM organization_billing_events").fetchone()
    status, problem = call(body, header, encoded=True)
    assert status == 400
    assert problem["status"] == 400
    assert problem["request_id"].startswith("req_")
    assert superuser.execute("SELECT count(*) FROM organization_billing_events").fetchone() == before


def test_what_cannot_be_stored_is_replaced_and_the_event_recorded() -> None:
    body = json.dumps({"id": f"evt_{uuid4().hex}", "type": "t", "data": {"object": {"name": "a\0b\ud83d"}}}).encode()
    assert call(body, signature(body))[0] == 200


def test_another_method_is_not_found() -> None:
    assert call(b"", None, method="GET")[0] == 404
