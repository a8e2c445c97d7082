import base64
import json
import re
from collections.abc import Iterator

import pytest

from local.gateway import Receive, Scope, Send, build_gateway
from tests.local.doors_for_test import TABLE, Running, assert_problem, open_doors


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_doors(tmp_path_factory.mktemp("doors")) as running:
        yield running


@pytest.fixture(scope="module")
def api(running: Running) -> str:
    return running.serve(build_gateway(running.pool, TABLE))


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
def test_every_byte_of_a_body_survives_the_round_trip(running: Running, api: str, content_type: str) -> None:
    body = bytes(range(256)) * 4096
    headers = {"content-type": content_type, "x-do": "body"}
    response = running.request("POST", f"{api}/things", content=body, headers=headers)
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
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/things/"),
        ("GET", "/things//parts/1"),
        ("GET", "/Things"),
        ("PUT", "/things"),
        ("OPTIONS", "/nothing"),
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


def test_what_no_route_has_goes_to_the_fallback(running: Running) -> None:
    async def page(scope: Scope, _receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"a page"})

    origin = running.serve(build_gateway(running.pool, TABLE, fallback=page))
    assert running.request("GET", f"{origin}/").text == "a page"
    assert running.request("GET", f"{origin}/things").json()["resource"] == "/things"
    assert_problem(running.request("PUT", f"{origin}/things"), 404)


def test_what_browsers_ask_before_a_request_goes_to_a_function_of_the_path(running: Running, api: str) -> None:
    assert running.request("OPTIONS", f"{api}/things").json()["httpMethod"] == "OPTIONS"
