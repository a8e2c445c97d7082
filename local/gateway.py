"""API Gateway and Lambda function URLs on one machine: HTTP in, a function's event out, and its result back.

Serve the apps with uvicorn's `proxy_headers=False`: else a client chooses its address and scheme by X-Forwarded-*.
"""

import asyncio
import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import uuid4

from infra.routes import Route
from local.event import HttpRequest, Json, function_url_event, rest_event
from local.function import InvokeError, NoCapacity, RequestTooLarge, TimedOut
from local.pool import Pool
from local.response import HttpResponse, MalformedResult, function_url_response, rest_response
from minirag.runtime.errors import MiniRagError, NotFound, OutOfTime, TooLarge
from minirag.runtime.headers import SECURITY

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MIB: Final = 1024 * 1024
REST_BODY_LIMIT: Final = 10 * MIB
FUNCTION_URL_BODY_LIMIT: Final = 6 * MIB
# Request line and headers together, in bytes; both kinds of front door have about this one.
HEADER_LIMIT: Final = 10_240

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_log: Final = logging.getLogger(__name__)


class BadGateway(MiniRagError):
    """A function failed or gave no HTTP response; what happened is in its log, not in the answer."""

    status, code, title = 502, "bad_gateway", "Bad gateway"


class HeadersTooLarge(MiniRagError):
    status, code, title = 431, "headers_too_large", "Request headers too large"


class _ClientGone(Exception):
    """The client hung up before its request was complete."""


class _FrontDoor(ABC):
    """What both kinds share: ASGI in and out, limits, and errors as problem+json."""

    def __init__(self, pool: Pool, *, body_limit: int) -> None:
        self._pool = pool
        self._body_limit = body_limit
        # Invocations outlive the requests that asked for them; a task without a reference may vanish.
        self._running: set[asyncio.Task[Json]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            raise ValueError(f"this front door speaks HTTP, not {scope['type']}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid4())
        try:
            response = await self._respond(_head(scope, request_id), receive)
        except _ClientGone:
            return
        except MiniRagError as error:
            response = _problem(error, scope, request_id)
        await _send(response, send)

    @abstractmethod
    async def _respond(self, head: HttpRequest, receive: Receive) -> HttpResponse:
        """The response to a request whose body has not been read yet. Raises MiniRagError, _ClientGone."""

    async def _body(self, head: HttpRequest, receive: Receive) -> bytes:
        """The request's body. Raises TooLarge as soon as it is known to be."""
        too_large = TooLarge(f"The request body is larger than {self._body_limit // MIB} MiB; send less.")
        declared = head.header("content-length")
        if declared.isdigit() and int(declared) > self._body_limit:
            raise too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            body += message.get("body", b"")
            if len(body) > self._body_limit:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)

    async def _invoke(self, function: str, event: Json, *, seconds: float | None, wait_seconds: float) -> Json:
        """The function's result. Raises MiniRagError; the invocation itself goes on when the client or time is gone."""
        task = asyncio.create_task(self._pool.invoke(function, event, wait_seconds=wait_seconds))
        self._running.add(task)
        task.add_done_callback(self._finished)
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise OutOfTime(f"The request took longer than {seconds:g} s. Try again, or ask for less.")
        try:
            return task.result()
        except (NoCapacity, TimedOut) as error:
            raise OutOfTime("The request could not be answered in time. Try again in a few seconds.") from error
        except RequestTooLarge as error:
            raise TooLarge(
                "The request is larger than a function takes: 6 MB in all, in which a binary body takes a third more "
                "than its size. Larger files are sent by POST /api/v1/ingest/uploads."
            ) from error
        except InvokeError as error:
            raise _bad_gateway(function) from error

    def _finished(self, task: asyncio.Task[Json]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("invocation failed: %s", error)


class _RestApi(_FrontDoor):
    def __init__(
        self,
        pool: Pool,
        routes: Iterable[Route],
        *,
        stage: str,
        fallback: AsgiApp | None,
        integration_seconds: float,
    ) -> None:
        super().__init__(pool, body_limit=REST_BODY_LIMIT)
        self._routes = _Routes(routes)
        for function in self._routes.functions:
            pool.function(function)
        self._stage = stage
        self._fallback = fallback
        self._integration_seconds = integration_seconds

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._fallback is not None and not self._routes.find(_path(scope)):
            await self._fallback(scope, receive, send)
        else:
            await super()._http(scope, receive, send)

    async def _respond(self, head: HttpRequest, receive: Receive) -> HttpResponse:
        methods = self._routes.find(head.path)
        # What browsers ask before a request of another origin goes to a function of the path.
        found = next(iter(methods.values()), None) if head.method == "OPTIONS" else methods.get(head.method)
        if found is None:
            raise NotFound(f"{head.method} on this path is unknown; GET /openapi.json lists what there is.")
        route, parameters = found
        request = replace(head, body=await self._body(head, receive))
        event = rest_event(request, resource=route.path, path_parameters=parameters, stage=self._stage)
        seconds = self._integration_seconds
        result = await self._invoke(route.function, event, seconds=seconds, wait_seconds=seconds)
        return _checked(rest_response, result, route.function)


class _FunctionUrl(_FrontDoor):
    def __init__(self, pool: Pool, function: str, *, wait_seconds: float) -> None:
        super().__init__(pool, body_limit=FUNCTION_URL_BODY_LIMIT)
        self._function = pool.function(function).name
        self._wait_seconds = wait_seconds

    async def _respond(self, head: HttpRequest, receive: Receive) -> HttpResponse:
        request = replace(head, body=await self._body(head, receive))
        event = function_url_event(request)
        result = await self._invoke(self._function, event, seconds=None, wait_seconds=self._wait_seconds)
        return _checked(function_url_response, result, self._function)


class _Routes:
    """The route table as a router: of two paths that fit, the one with the earlier literal segment goes first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        by_operation = {(route.method, route.path): route for route in routes}
        ordered = sorted(by_operation.values(), key=lambda route: [part[:1] == "{" for part in route.path.split("/")])
        self.functions = {route.function for route in ordered}
        self._by_length: dict[int, list[tuple[list[str], Route]]] = {}
        for route in ordered:
            segments = route.path.split("/")
            self._by_length.setdefault(len(segments), []).append((segments, route))

    def find(self, path: str) -> dict[str, tuple[Route, dict[str, str]]]:
        """What a path can mean: the route and its path parameters by method; empty for an unknown path."""
        given = path.split("/")
        found: dict[str, tuple[Route, dict[str, str]]] = {}
        for segments, route in self._by_length.get(len(given), []):
            parameters: dict[str, str] = {}
            for segment, value in zip(segments, given, strict=True):
                if segment.startswith("{") and value:
                    parameters[segment[1:-1]] = value
                elif segment != value:
                    break
            else:
                found.setdefault(route.method, (route, parameters))
        return found


def build_gateway(
    pool: Pool,
    routes: Iterable[Route],
    *,
    stage: str = "local",
    fallback: AsgiApp | None = None,
    integration_seconds: float = 29.0,
) -> AsgiApp:
    """A REST API with Lambda proxy integration (payload 1.0) as an ASGI 3 app for http and lifespan scopes.

    routes: the route table; paths may hold {parameters}, each one whole segment.
    fallback: serves the paths that no route has (such as /metrics, or a web page); without it they are 404.
    integration_seconds: how long a request waits for its function, queueing included, before it is answered 504; the
        function itself runs on, as on AWS.
    Raises ValueError for a function that is not in the pool.
    """
    return _RestApi(pool, routes, stage=stage, fallback=fallback, integration_seconds=integration_seconds)


def build_function_url(pool: Pool, function_name: str, *, wait_seconds: float = 29.0) -> AsgiApp:
    """A Lambda function URL (payload 2.0, every method and path) as an ASGI 3 app for http and lifespan scopes.

    wait_seconds: how long a request waits for a free environment before it is answered 504.
    Raises ValueError for a function that is not in the pool.
    """
    return _FunctionUrl(pool, function_name, wait_seconds=wait_seconds)


def _path(scope: Scope) -> str:
    """The path as the client sent it, percent-encoded."""
    raw: bytes = scope["raw_path"]
    return raw.decode(errors="replace")


def _head(scope: Scope, request_id: str) -> HttpRequest:
    """Everything of a request but its body. Raises HeadersTooLarge."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > HEADER_LIMIT:
        raise HeadersTooLarge(f"Path, query and headers have {size} bytes, the limit is {HEADER_LIMIT}; send less.")
    return HttpRequest(
        method=scope["method"],
        path=_path(scope),
        query_string=scope["query_string"].decode(errors="replace"),
        headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]),
        body=b"",
        source_ip=scope["client"][0],
        port=scope["server"][1],
        scheme=scope["scheme"],
        protocol=f"HTTP/{scope['http_version']}",
        request_id=request_id,
        received=datetime.now(UTC),
    )


def _bad_gateway(function: str) -> BadGateway:
    return BadGateway(f"The function {function} failed. Quote the request id when you report it.")


def _checked(read: Callable[[Json], HttpResponse], result: Json, function: str) -> HttpResponse:
    """The response in a function's result. Raises BadGateway."""
    try:
        return read(result)
    except MalformedResult as error:
        _log.warning("%s gave no HTTP response: %s", function, error)
        raise _bad_gateway(function) from error


def _problem(error: MiniRagError, scope: Scope, request_id: str) -> HttpResponse:
    """An error made here, as RFC 9457 has it and as the functions write theirs."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
    shown = given if _REQUEST_ID.fullmatch(given) else request_id
    body = {
        "type": f"urn:minirag:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": shown,
    }
    headers = {"content-type": "application/problem+json", "x-request-id": shown, **SECURITY, **error.headers()}
    return HttpResponse(error.status, tuple(headers.items()), json.dumps(body).encode())


async def _send(response: HttpResponse, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    bodiless = response.status in {204, 304}
    if not bodiless:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if bodiless else response.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
