"""Stripe's webhook events: from raw bytes and a signature to an event that is really Stripe's. Pure."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from stripe import SignatureVerificationError, WebhookSignature

from minirag.runtime.characters import storable
from minirag.runtime.errors import Malformed

# Seconds a signature stays good; without a tolerance a recorded request could be replayed for ever.
_TOLERANCE: Final = 300


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """An event as Stripe signed it."""

    id: str
    type: str
    customer_id: str | None
    payload: dict[str, Any]


def verify(body: bytes, signature: str, secrets: Sequence[str]) -> StripeEvent:
    """The event of a webhook request, signed with one of `secrets` (two during a rotation).

    Raises Malformed if no signature holds, it is older than 300 s, or the body is no event.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("The body is not UTF-8.") from error
    if not any(_signed(text, signature, secret) for secret in secrets):
        raise Malformed("The Stripe-Signature header does not match the body, or is too old.", code="bad_signature")
    try:
        payload = _storable(json.loads(text, parse_constant=_refuse, parse_float=_finite))
        event_id, event_type = payload["id"], payload["type"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed("The body is not a Stripe event.") from error
    if not isinstance(event_id, str) or not isinstance(event_type, str):
        raise Malformed("The body is not a Stripe event.")
    return StripeEvent(event_id, event_type, _customer(payload), payload)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    return float(number) if isfinite(float(number)) else _refuse(number)


def _storable(value: Any) -> Any:  # noqa: ANN401  whatever JSON holds
    """The value with what PostgreSQL cannot store, NUL and lone surrogates, replaced."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _signed(text: str, signature: str, secret: str) -> bool:
    if not signature.isascii():  # Stripe's library compares it as bytes
        return False
    try:
        if not WebhookSignature.verify_header(text, signature, secret, _TOLERANCE):
            return False
    except SignatureVerificationError:
        return False
    # Stripe's library looks for what is too old alone; what is dated ahead could be replayed for as long.
    fields = dict(part.split("=", 1) for part in signature.split(",") if "=" in part)
    return int(fields["t"]) <= time.time() + _TOLERANCE


def _customer(payload: dict[str, Any]) -> str | None:
    """The customer an event is about: its object's `customer`, or the object itself if it is one."""
    data = payload.get("data")
    stripe_object = data.get("object") if isinstance(data, dict) else None
    if not isinstance(stripe_object, dict):
        return None
    customer = stripe_object.get("id") if stripe_object.get("object") == "customer" else stripe_object.get("customer")
    return customer if isinstance(customer, str) else None
