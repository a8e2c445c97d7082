"""HTTP for every function that has routes: the FastAPI app, request ids, limits, problem+json, the Lambda adapter."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from mangum import Mangum
from pydantic import AfterValidator, BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minirag.runtime import cache, cors, fragments, headers, problem, settings, telemetry
from minirag.runtime.characters import UNSTORABLE
from minirag.runtime.errors import Malformed, MiniRagError, NotFound, TooLarge, Unprocessable, UnsupportedType

_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?")


def _storable(text: str) -> str:
    if UNSTORABLE.search(text):
        raise ValueError("must not contain NUL or lone surrogates")
    return text


# Text that PostgreSQL can store.
Text = Annotated[str, AfterValidator(_storable)]

_Model = TypeVar("_Model", bound=BaseModel)
# Mangum runs an app in the current event loop; one serves all events of a process.
loop: Final = asyncio.new_event_loop()

LambdaHandler = Callable[[dict[str, Any], Any], dict[str, Any]]

# How long a REST API waits for its integration, from the request's arrival.
_GATEWAY_SECONDS: Final = 29.0
_QUERY_BYTES: Final = 8192
_BOUNDARY: Final = re.compile(r"""boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
# Of a body's end, in which the closing boundary must be; what comes after it is ignored.
_CLOSING_BYTES: Final = 4096
_TITLES: Final = {404: NotFound.title, 405: "Method not allowed"}


def _response(body: Mapping[str, Any], extra: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body, body["status"], headers=dict(extra or {}), media_type=problem.MEDIA_TYPE)


def _invalid(errors: Sequence[Any], request_id: str) -> JSONResponse:
    """422 with a pointer and a sentence for each field, never the value that was sent."""
    if any(error["type"] in {"json_invalid", "model_attributes_type"} for error in errors):
        return _response(problem.of(Malformed("The body is not a valid JSON object."), request_id))
    fields = [
        {"pointer": "/" + "/".join(str(part) for part in error["loc"] if part != "body"), "detail": str(error["msg"])}
        for error in errors
    ]
    named = "; ".join(f"{field['pointer'].strip('/') or 'body'}: {field['detail']}" for field in fields)
    detail = f"Some of the input is missing or not as expected. {named}."
    body = problem.document(422, Unprocessable.title, detail, request_id, code=Unprocessable.code, errors=fields)
    return _response(body)


class _Boundary:
    """ASGI edge of an app: request id in and out, body limit, one log line a request, no error unrendered."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        request_id = problem.request_id_from(request.headers)
        request.state.request_id = request_id
        request.state.headers = []
        telemetry.begin(request_id, function=self.name, method=request.method)
        started, status = perf_counter(), 500
        # API Gateway hands over the whole body at once.
        body = await receive()
        limit = settings.current().max_body_bytes

        async def replay() -> Message:
            nonlocal body
            message, body = body, {"type": "http.disconnect"}
            return message

        async def tagged_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [("x-request-id", request_id), *headers.SECURITY.items(), *request.state.headers]
                own = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in added if name.encode() not in own),
                    *((name.encode(), value.encode()) for name, value in cors.headers(request)),
                ]
            await send(message)

        try:
            if cors.is_preflight(request):
                await Response(status_code=204)(scope, replay, tagged_send)
            elif len(body.get("body", b"")) > limit:
                more = "Larger files are sent by POST /api/v1/ingest/uploads."
                detail = f"The request body is larger than {limit} bytes. {more}"
                await _response(problem.of(TooLarge(detail), request_id))(scope, replay, tagged_send)
            elif _is_cut(request, body.get("body", b"")):
                detail = "The form ends before its closing boundary: part of it is missing. Send it again, whole."
                await _response(problem.of(Malformed(detail), request_id))(scope, replay, tagged_send)
            elif len(scope["query_string"]) > _QUERY_BYTES:
                detail = f"The query string is larger than {_QUERY_BYTES} bytes. Send less, or in the body."
                await _response(problem.of(Malformed(detail), request_id))(scope, replay, tagged_send)
            else:
                await self.app(scope, replay, tagged_send)
        finally:
            route = scope.get("route")
            telemetry.event(
                "request.completed",
                route=getattr(route, "path", None),
                status=status,
                duration_ms=round((perf_counter() - started) * 1000, 1),
            )


def _is_cut(request: Request, body: bytes) -> bool:
    """Whether the body is a multipart form without its end, of which the parser would drop the last part."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    boundary = _BOUNDARY.search(parameters)
    if kind.strip().lower() != "multipart/form-data" or boundary is None or not body:
        return False
    return f"--{boundary[1] or boundary[2]}--".encode("latin-1", "replace") not in body[-_CLOSING_BYTES:]


def create_app(name: str) -> FastAPI:
    """A FastAPI app for one function: errors as problem+json, no pages of its own."""
    app = FastAPI(title=f"Mini-RAG {name}", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.exception_handler(MiniRagError)
    async def _known(request: Request, error: MiniRagError) -> JSONResponse:
        return _response(problem.of(error, request.state.request_id), error.headers())

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return _invalid(error.errors(), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def _routing(request: Request, error: HTTPException) -> JSONResponse:
        title = _TITLES.get(error.status_code, "Request failed")
        detail = str(error.detail) if error.status_code not in _TITLES else f"{request.method} on this path is unknown."
        return _response(problem.document(error.status_code, title, detail, request.state.request_id), error.headers)

    @app.exception_handler(Exception)
    async def _unknown(request: Request, error: Exception) -> JSONResponse:
        telemetry.failure("request.failed", error)
        detail = "Something went wrong on our side. Quote the request id when you report it."
        return _response(problem.of(MiniRagError(detail), request.state.request_id))

    return app


def lambda_handler(app: FastAPI, name: str) -> LambdaHandler:
    """The app as a handler of API Gateway REST proxy events."""
    # Mangum logs errors with their message, which may quote a document.
    logging.getLogger("mangum.http").setLevel(logging.CRITICAL)
    asyncio.set_event_loop(loop)
    # All else is base64, which API Gateway decodes only for the types it was told are binary.
    adapter = Mangum(
        _Boundary(app, name), lifespan="off", text_mime_types=["text/", "application/json", problem.MEDIA_TYPE]
    )

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401  AWS's context object
        asyncio.set_event_loop(loop)
        return adapter(_with_plain_host(event), context)

    return handler


def _with_plain_host(event: dict[str, Any]) -> dict[str, Any]:
    """The event, without a Host that Mangum could not take apart; nothing here depends on it."""
    places: list[dict[str, Any]] = [event.get(kind) or {} for kind in ("headers", "multiValueHeaders")]
    named = [(place, name) for place in places for name in place if name.lower() == "host"]
    hosts = {
        host for place, name in named for host in (place[name] if isinstance(place[name], list) else [place[name]])
    }
    if len(hosts) > 1 or not all(_HOST.fullmatch(host) for host in hosts):
        for place, name in named:
            del place[name]
    return event


def add_header(request: Request, name: str, value: str) -> None:
    """Give the response to `request` another header, whatever becomes of the request."""
    request.state.headers.append((name.lower(), value))


def written(body: object) -> Response:
    """A dataclass as a JSON response, at once: FastAPI would check again what has just been made."""
    return json_response(fragments.write(body))


def json_response(body: bytes) -> Response:
    """JSON that is written already."""
    return Response(body, media_type="application/json")


def cached(key: str, make: Callable[[], _Model], kind: type[_Model], *, seconds: int) -> Response:
    """What `make` gives, as JSON, or gave for `key` at most so many seconds ago; the header X-Cache says which."""
    # What was written by another version is not found.
    key = f"{key}:{cache.key(fragments.form(kind))}"
    (body,) = cache.get_many([key])
    found = "miss" if body is None else "hit"
    if body is None:
        body = fragments.write(make())
        cache.put_many({key: body}, seconds=seconds)
    return Response(body, media_type="application/json", headers={"X-Cache": found})


def client_ip(request: Request) -> str | None:
    """Where the request came from, as API Gateway saw it."""
    return request.client.host if request.client else None


def remaining_seconds(request: Request, *, reserve: float = 1.0, default: float = 28.0) -> float:
    """Seconds until Lambda or API Gateway, which counts from the request's arrival, gives up, less a reserve."""
    context, event = request.scope.get("aws.context"), request.scope.get("aws.event")
    if context is None or event is None:
        return default
    seconds = float(context.get_remaining_time_in_millis()) / 1000
    if arrived := event["requestContext"].get("requestTimeEpoch"):
        seconds = min(seconds, _GATEWAY_SECONDS - (time.time() - arrived / 1000))
    return max(0.0, seconds - reserve)


def described(model: type[BaseModel], *, form: bool = False) -> dict[str, Any]:
    """What a route that reads `model` itself adds to its OpenAPI operation; `form`: it is also taken as a form."""
    schema = {"schema": model.model_json_schema(ref_template="#/components/schemas/{model}")}
    kinds = {"application/json": schema} | ({"application/x-www-form-urlencoded": schema} if form else {})
    return {"requestBody": {"required": True, "content": kinds}}


async def read_model(request: Request, model: type[_Model]) -> _Model:
    """The body as `model`, from JSON (an empty body is an empty object) or a form.

    Raises Malformed, UnsupportedType or a validation error.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            # Nothing at all is an object without anything.
            return model.model_validate_json(await request.body() or b"{}")
        if kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
            async with request.form() as form:
                return model.model_validate({name: value for name, value in form.items() if isinstance(value, str)})
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_url=False)) from error
    except UnicodeError as error:
        raise Malformed("The body is not in the character set that it claims.") from error
    raise UnsupportedType("Send the body as application/json or as a form.")
