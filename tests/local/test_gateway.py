import asyncio
import base64
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn

from infra.routes import ROUTES, Route
from local.gateway import AsgiApp, Receive, Scope, Send, build_function_url, build_gateway
from local.pool import FunctionConfig, Pool

T = TypeVar("T")

# Written here as /things and /jobs, answered by the handler `http` of handlers_for_test.
TABLE = (
    Route("GET", "/things", "web"),
    Route("POST", "/things", "web"),
    Route("GET", "/things/{thing_id}", "web"),
    Route("DELETE", "/things/{thing_id}", "web"),
    Route("GET", "/things/special", "web"),
    Route("GET", "/things/{thing_id}/parts/{part}", "web"),
    Route("POST", "/slow", "slow"),
    Route("POST", "/broken", "broken"),
)


class Running:
    """A pool and its front doors behind real HTTP servers, in the loop of `runner`."""

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        self._runner = runner
        self.folder = folder
        handlers = "tests.local.handlers_for_test"
        functions = [
            FunctionConfig("web", f"{handlers}:http", 20),
            FunctionConfig("slow", f"{handlers}:http", 0.2, concurrency_group="single"),
            FunctionConfig("held", f"{handlers}:http", 20, concurrency_group="single"),
            FunctionConfig("broken", "tests.local.broken_for_test:handler", 20),
        ]
        env = {"PATH": os.defpath}
        self.pool = Pool(functions, groups={"http": 2, "single": 1}, env=env, log_dir=folder)
        self._servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    def run(self, work: Awaitable[T]) -> T:
        async def main() -> T:
            return await work

        return self._runner.run(main())

    def serve(self, app: AsgiApp) -> str:
        """The origin of a new server for this app."""

        async def start() -> str:
            config = uvicorn.Config(
                app,  # type: ignore[arg-type]  # uvicorn types scopes as TypedDicts
                port=0,
                http="httptools",
                lifespan="on",
                log_level="warning",
                proxy_headers=False,
            )
            server = uvicorn.Server(config)
            self._servers.append((server, asyncio.create_task(server.serve())))
            while not server.started:
                await asyncio.sleep(0.005)
            return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

        return self.run(start())

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(timeout=20, verify=False) as client:
                return await client.request(method, url, **options)

        return self.run(ask())

    def close(self) -> None:
        async def stop() -> None:
            for server, _ in self._servers:
                server.should_exit = True
            await asyncio.gather(*(task for _, task in self._servers))
            await self.pool.close()

        self.run(stop())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with asyncio.Runner() as runner:
        system = Running(runner, tmp_path_factory.mktemp("gateway"))
        yield system
        system.close()


@pytest.fixture(scope="module")
def api(running: Running) -> str:
    return running.serve(build_gateway(running.pool, TABLE, integration_seconds=0.6))


@pytest.fixture(scope="module")
def function_url(running: Running) -> str:
    return running.serve(build_function_url(running.pool, "web"))


def assert_problem(response: httpx.Response, status: int, request_id: str | None = None) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", problem["request_id"])
    if request_id is not None:
        assert problem["request_id"] == request_id
    return problem


def test_a_request_becomes_a_rest_proxy_event(running: Running, api: str) -> None:
    headers = [("X-One", "a"), ("X-One", "b"), ("User-Agent", "test/1"), ("X-Forwarded-For", "10.0.0.9")]
    headers += [
        ("Connection", "close, X-Gone"),
        ("Keep-Alive", "300"),
        ("TE", "trailers"),
        ("X-Forwarded-Proto", "https"),
    ]
    url = f"{api}/things/a%20b%2Fc/parts/%C3%A9?q=1&q=%C3%A9+x&empty=&bad=%FF"
    event = running.request("GET", url, headers=headers).json()

    assert event["resource"] == "/things/{thing_id}/parts/{part}"
    assert event["path"] == "/things/a%20b%2Fc/parts/%C3%A9"
    assert event["pathParameters"] == {"thing_id": "a%20b%2Fc", "part": "%C3%A9"}
    assert event["httpMethod"] == "GET"
    assert event["queryStringParameters"] == {"q": "é x", "empty": "", "bad": "\ufffd"}
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "é x"], "empty": [""], "bad": ["\ufffd"]}
    assert event["headers"]["x-one"] == "b"
    assert event["multiValueHeaders"]["x-one"] == ["a", "b"]
    assert event["headers"]["x-forwarded-for"] == "10.0.0.9, 127.0.0.1"
    assert event["headers"]["x-forwarded-proto"] == "http"
    assert event["headers"]["x-forwarded-port"] == api.rpartition(":")[2]
    assert not {"connection", "keep-alive", "te"} & event["headers"].keys()
    assert event["headers"].keys() == event["multiValueHeaders"].keys()
    assert event["stageVariables"] is None
    assert event["body"] is None
    assert event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["resourcePath"] == event["resource"]
    assert context["path"] == event["path"]
    assert context["httpMethod"] == "GET"
    assert context["stage"] == "local"
    assert context["protocol"] == "HTTP/1.1"
    assert context["domainName"] == api.removeprefix("http://")
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"] == "test/1"
    assert context["requestTimeEpoch"] > 1.7e12
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["requestTime"])
    assert context["requestId"]
    assert context["apiId"]


def test_nothing_given_is_null_in_the_event(running: Running, api: str) -> None:
    event = running.request("GET", f"{api}/things").json()
    assert event["queryStringParameters"] is None
    assert event["multiValueQueryStringParameters"] is None
    assert event["pathParameters"] is None


def test_a_literal_path_goes_before_a_parameter(running: Running, api: str) -> None:
    assert running.request("GET", f"{api}/things/special").json()["resource"] == "/things/special"
    assert running.request("DELETE", f"{api}/things/special").json()["resource"] == "/things/{thing_id}"


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("application/json", b'{"a": "\xc3\xa9"}', False),
        ("application/problem+json; charset=utf-8", b"{}", False),
        ("text/plain", b"abc", False),
        ("application/x-www-form-urlencoded", b"a=1&b=%20", False),
        (None, b"{}", False),
        ("application/json", b'{"a": "\xff"}', True),
        ("text/plain", b"\xff\xfe\x00", True),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nplain\r\n--x--", True),
        ("application/octet-stream", bytes(range(256)), True),
    ],
)
def test_text_stays_text_and_everything_else_is_base64(
    running: Running, api: str, content_type: str | None, body: bytes, is_base64: bool
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    event = running.request("POST", f"{api}/things", content=body, headers=headers).json()
    assert event["isBase64Encoded"] is is_base64
    assert (base64.b64decode(event["body"]) if is_base64 else event["body"].encode()) == body


@pytest.mark.parametrize("content_type", ["application/pdf", "text/plain", "application/json"])
def test_every_byte_of_a_body_survives_the_round_trip(
    running: Running, api: str, function_url: str, content_type: str
) -> None:
    body = bytes(range(256)) * 4096
    for origin in (f"{api}/things", function_url):
        headers = {"content-type": content_type, "x-do": "body"}
        response = running.request("POST", origin, content=body, headers=headers)
        assert response.status_code == 200
        assert response.content == body
        assert response.headers["content-type"] == "application/octet-stream"


def test_statuses_headers_and_cookies_of_a_result_are_sent(running: Running, api: str) -> None:
    result = {
        "statusCode": 201,
        "headers": {"Location": "/things/1", "X-Number": 5, "Connection": "close", "Content-Length": "3", "X-Two": "a"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "X-Two": ["a", "c"]},
        "body": "né",
    }
    headers = {"x-do": "result", "x-result": json.dumps(result)}
    response = running.request("GET", f"{api}/things", headers=headers)
    assert response.status_code == 201
    assert response.content == "né".encode()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["location"] == "/things/1"
    assert response.headers["x-number"] == "5"
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers.get_list("x-two") == ["a", "c"]
    assert "connection" not in response.headers


def test_a_204_has_no_body_and_no_length(running: Running, api: str) -> None:
    headers = {"x-do": "result", "x-result": json.dumps({"statusCode": 204, "body": ""})}
    response = running.request("DELETE", f"{api}/things/1", headers=headers)
    assert response.status_code == 204
    assert response.content == b""
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    "result",
    [
        None,
        "text",
        [],
        {},
        {"statusCode": "200"},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 600},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"x": ["a"]}},
        {"statusCode": 200, "headers": {"x": "a\r\nset-cookie: b=1"}},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "headers": {"x": "\u20ac"}},
        {"statusCode": 200, "multiValueHeaders": {"x": "a"}},
        {"statusCode": 200, "body": "?", "isBase64Encoded": True},
    ],
)
def test_a_result_that_is_no_http_response_is_502(running: Running, api: str, result: object) -> None:
    headers = {"x-do": "result", "x-result": json.dumps(result)}
    assert_problem(running.request("GET", f"{api}/things", headers=headers), 502)


def test_a_function_that_crashes_raises_or_cannot_start_is_502_and_tells_nothing(running: Running, api: str) -> None:
    for path, do in (("/things", "crash"), ("/things", "raise"), ("/broken", "")):
        response = running.request("POST", f"{api}{path}", headers={"x-do": do, "x-request-id": "trace.1"})
        assert_problem(response, 502, "trace.1")
        assert "secret" not in response.text
        assert "setting" not in response.text
    assert running.request("GET", f"{api}/things").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/things/"),
        ("GET", "/things//parts/1"),
        ("GET", "/Things"),
        ("PUT", "/things"),
        ("OPTIONS", "/things"),
        ("GET", "/things/1/parts"),
    ],
)
def test_an_unknown_path_or_method_is_404(running: Running, api: str, method: str, path: str) -> None:
    assert_problem(running.request(method, api + path), 404)


def test_head_is_an_unknown_method_without_a_body(running: Running, api: str) -> None:
    response = running.request("HEAD", f"{api}/things")
    assert response.status_code == 404
    assert response.content == b""
    assert running.request("GET", f"{api}/things").status_code == 200


@pytest.mark.parametrize("given", ["a b", "x" * 129, "", "ä"])
def test_a_malformed_request_id_is_replaced(running: Running, api: str, given: str) -> None:
    response = running.request("GET", f"{api}/nothing", headers={"x-request-id": given.encode()})
    assert assert_problem(response, 404)["request_id"] != given


def test_a_body_over_10_mb_is_413_whether_its_length_is_declared_or_not(running: Running, api: str) -> None:
    async def chunks() -> Any:
        for _ in range(11):
            yield b"x" * 1024 * 1024

    for content in (b"x" * 11 * 1024 * 1024, chunks()):
        response = running.request("POST", f"{api}/things", content=content, headers={"x-request-id": "big"})
        assert_problem(response, 413, "big")
    assert running.request("GET", f"{api}/things").status_code == 200


def test_a_body_that_a_function_cannot_take_is_413(running: Running, api: str) -> None:
    headers = {"content-type": "application/octet-stream"}
    assert_problem(running.request("POST", f"{api}/things", content=b"x" * 5_000_000, headers=headers), 413)


def test_a_function_url_takes_no_more_than_6_mb(running: Running, function_url: str) -> None:
    assert_problem(running.request("POST", function_url, content=b"x" * (6 * 1024 * 1024 + 1)), 413)


def test_too_large_headers_are_431(running: Running, api: str) -> None:
    assert_problem(running.request("GET", f"{api}/things", headers={"x-large": "x" * 10_300}), 431)
    assert_problem(running.request("GET", f"{api}/things?q={'x' * 10_300}"), 431)


def test_a_request_out_of_time_is_504_but_its_function_runs_on(running: Running, api: str) -> None:
    file = running.folder / "done"
    headers = {"x-do": "sleep", "x-seconds": "0.9", "x-file": str(file), "x-request-id": "slow"}
    assert_problem(running.request("GET", f"{api}/things", headers=headers), 504, "slow")
    assert not file.exists()
    running.run(wait_for_file(file))


def test_a_function_past_its_own_timeout_is_504(running: Running, api: str) -> None:
    headers = {"x-do": "sleep", "x-seconds": "60", "x-file": "/dev/null"}
    running.run(running.pool.prewarm("slow"))
    response = running.request("POST", f"{api}/slow", headers=headers)
    assert assert_problem(response, 504)["detail"].startswith("The request could not be answered")


def test_no_free_environment_in_time_is_504(running: Running, api: str) -> None:
    gate = running.folder / "held"
    event = {"headers": {"x-do": "sleep", "x-seconds": "1", "x-file": str(gate)}}

    async def ask() -> httpx.Response:
        holding = asyncio.create_task(running.pool.invoke("held", event))
        async with httpx.AsyncClient(timeout=20, verify=False) as client:
            response = await client.post(f"{api}/slow")
        await holding
        return response

    assert_problem(running.run(ask()), 504)


def test_a_client_that_hangs_up_ends_nothing(running: Running, api: str) -> None:
    file = running.folder / "after-hang-up"
    head = f"GET /things HTTP/1.1\r\nhost: x\r\nx-do: sleep\r\nx-seconds: 0.3\r\nx-file: {file}\r\n\r\n"
    cut = "POST /things HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf"

    async def hang_up() -> None:
        for request in (head, cut):
            _, writer = await asyncio.open_connection("127.0.0.1", int(api.rpartition(":")[2]))
            writer.write(request.encode())
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.transport.abort()
        await wait_for_file(file)

    running.run(hang_up())
    assert running.request("GET", f"{api}/things").status_code == 200


def test_a_request_becomes_a_function_url_event(running: Running, function_url: str) -> None:
    headers = [("X-One", "a"), ("X-One", "b"), ("Cookie", "s=1; t=2"), ("User-Agent", "stripe")]
    headers.append(("Content-Type", "application/json"))
    url = f"{function_url}/hook%20s?a=1&a=2&b=%C3%A9"
    event = running.request("POST", url, content=b'{"id": "\xc3\xa9"}', headers=headers).json()

    assert event["version"] == "2.0"
    assert event["routeKey"] == "$default"
    assert event["rawPath"] == "/hook%20s"
    assert event["rawQueryString"] == "a=1&a=2&b=%C3%A9"
    assert event["queryStringParameters"] == {"a": "1,2", "b": "é"}
    assert event["cookies"] == ["s=1", "t=2"]
    assert event["headers"]["x-one"] == "a,b"
    assert "cookie" not in event["headers"]
    assert event["body"] == '{"id": "é"}'
    assert event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST",
        "path": "/hook%20s",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "stripe",
    }
    assert context["stage"] == "$default"
    assert context["timeEpoch"] > 1.7e12
    assert context["requestId"]
    assert context["domainName"] == function_url.removeprefix("http://")


def test_a_function_url_event_leaves_out_what_was_not_given(running: Running, function_url: str) -> None:
    event = running.request("GET", function_url).json()
    assert not {"body", "cookies", "queryStringParameters"} & event.keys()
    assert event["rawPath"] == "/"
    assert event["rawQueryString"] == ""


def test_a_function_url_sends_any_json_or_the_response_described(running: Running, function_url: str) -> None:
    def answer(result: object) -> httpx.Response:
        headers = {"x-do": "result", "x-result": json.dumps(result)}
        return running.request("GET", function_url, headers=headers)

    for result in ({"message": "é"}, [1], 5, None):
        assert (answer(result).status_code, answer(result).json()) == (200, result)
        assert answer(result).headers["content-type"] == "application/json"
    assert answer("plain").text == "plain"
    described = answer({"statusCode": 400, "headers": {"Content-Type": "text/plain"}, "cookies": ["a=1"], "body": "no"})
    assert (described.status_code, described.text) == (400, "no")
    assert described.headers["content-type"] == "text/plain"
    assert described.headers.get_list("set-cookie") == ["a=1"]
    assert_problem(answer({"statusCode": 200, "body": 5}), 502)
    assert_problem(answer({"statusCode": 200, "cookies": "a=1"}), 502)


def test_what_no_route_has_goes_to_the_fallback(running: Running) -> None:
    async def page(scope: Scope, _receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"a page"})

    origin = running.serve(build_gateway(running.pool, TABLE, fallback=page))
    assert running.request("GET", f"{origin}/").text == "a page"
    assert running.request("GET", f"{origin}/things").json()["resource"] == "/things"
    assert_problem(running.request("PUT", f"{origin}/things"), 404)


def test_a_front_door_to_a_function_that_the_pool_lacks_is_refused(running: Running) -> None:
    builders: tuple[Callable[[], AsgiApp], ...] = (
        lambda: build_gateway(running.pool, ROUTES),
        lambda: build_function_url(running.pool, "webhooks"),
    )
    for build in builders:
        with pytest.raises(ValueError, match="the pool has no function"):
            build()


async def wait_for_file(file: Path) -> None:
    while not file.exists():
        await asyncio.sleep(0.01)
