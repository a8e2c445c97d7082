"""Lambda entry point of Stripe's webhook, behind its own function URL: 200 once an event is recorded."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from functions.webhooks import stripe_events
from minirag.runtime import db, problem, settings, telemetry
from minirag.runtime.errors import Malformed, MiniRagError, NotFound, Unavailable
from minirag.tenancy import billing


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401, ARG001  AWS's context object
    """Verify and record one event (function URL, payload format 2.0)."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    request_id = problem.request_id_from(headers)
    telemetry.begin(request_id, function="webhooks")
    try:
        new = _record(event, headers, request_id)
    except MiniRagError as error:
        telemetry.event("webhook.refused", code=error.code, status=error.status)
        extra = {"content-type": problem.MEDIA_TYPE, **error.headers()}
        return _response(error.status, problem.of(error, request_id), request_id, extra)
    return _response(200, {"received": True, "duplicate": not new}, request_id, {"content-type": "application/json"})


def _record(event: Mapping[str, Any], headers: Mapping[str, str], request_id: str) -> bool:
    """Record the event; False if it was recorded before."""
    if event["requestContext"]["http"]["method"] != "POST" or event.get("rawPath") != "/":
        raise NotFound("Stripe's events are taken as POST /.")
    secrets = settings.current().stripe_webhook_secrets
    if not secrets:
        raise Unavailable("No webhook secret is set: set MINIRAG_STRIPE_WEBHOOK_SECRET.", code="not_configured")
    stripe_event = stripe_events.verify(_body(event), headers.get("stripe-signature", ""), secrets)
    with db.transaction(db.NOBODY) as tx:
        new = billing.record_event(
            tx,
            event_id=stripe_event.id,
            event_type=stripe_event.type,
            customer_id=stripe_event.customer_id,
            payload=stripe_event.payload,
            request_id=request_id,
            ip=event["requestContext"]["http"].get("sourceIp"),
        )
    telemetry.event("webhook.recorded", event_type=stripe_event.type, duplicate=not new)
    return new


def _body(event: Mapping[str, Any]) -> bytes:
    """The raw bytes that were signed."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode()
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise Malformed("The body is not valid base64.") from error


def _response(status: int, body: Mapping[str, Any], request_id: str, headers: Mapping[str, str]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"x-request-id": request_id, **headers}, "body": json.dumps(body)}
