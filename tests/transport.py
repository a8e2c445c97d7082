"""An httpx transport that turns requests into API Gateway events and calls the handlers in this process."""

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx

from infra.routes import ROUTES
from local.event import HttpRequest, rest_event
from local.response import rest_response


def context(seconds: float = 29.0) -> Any:
    """What Lambda gives a handler beside the event."""
    return SimpleNamespace(
        aws_request_id="test", function_name="test", get_remaining_time_in_millis=lambda: int(seconds * 1000)
    )


def _function_of(method: str, path: str) -> tuple[str, str]:
    parts = path.split("/")
    for route in ROUTES:
        wanted = route.path.split("/")
        if route.method != method or len(wanted) != len(parts):
            continue
        if all(ours.startswith("{") or ours == theirs for ours, theirs in zip(wanted, parts, strict=True)):
            return route.function, route.path
    raise LookupError(f"{method} {path} is not in the route table")


def invocation(request: httpx.Request) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The handler that API Gateway would call for a request, and the event."""
    body = request.read()
    path = request.url.raw_path.decode().partition("?")[0]
    function, resource = _function_of(request.method, path)
    head = HttpRequest(
        method=request.method,
        path=path,
        query_string=request.url.query.decode(),
        headers=tuple((name.lower(), value) for name, value in request.headers.items()),
        body=body,
        source_ip="127.0.0.1",
        port=443,
        scheme="https",
        protocol="HTTP/1.1",
        request_id="test",
        received=datetime.now(UTC),
    )
    event = rest_event(head, resource=resource, path_parameters={}, stage="test")
    handler = importlib.import_module(f"functions.{function}.handler").handler
    return handler, event


class HandlerTransport(httpx.BaseTransport):
    """Real events, real handlers, no network."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        handler, event = invocation(request)
        response = rest_response(handler(event, context()))
        return httpx.Response(response.status, headers=list(response.headers), content=response.body)
