import asyncio
import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from infra.routes import ROUTES
from local.gateway import AsgiApp, build_function_url, build_gateway
from tests.local.doors_for_test import Running, assert_problem, open_doors


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_doors(tmp_path_factory.mktemp("doors")) as running:
        yield running


@pytest.fixture(scope="module")
def function_url(running: Running) -> str:
    return running.serve(build_function_url(running.pool, "web"))


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


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "image/png"])
def test_a_function_url_changes_no_byte_of_a_body(running: Running, function_url: str, content_type: str) -> None:
    body = bytes(range(256)) * 4096
    headers = {"content-type": content_type, "x-do": "body"}
    assert running.request("POST", function_url, content=body, headers=headers).content == body


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


def test_a_function_url_takes_no_more_than_6_mb(running: Running, function_url: str) -> None:
    response = running.request("POST", function_url, content=b"x" * (6 * 1024 * 1024 + 1))
    assert "larger than 6 MiB" in assert_problem(response, 413)["detail"]


def test_no_free_environment_in_time_is_504(running: Running) -> None:
    origin = running.serve(build_function_url(running.pool, "slow", wait_seconds=0.05))
    event = {"headers": {"x-do": "sleep", "x-seconds": "0.3", "x-file": str(running.folder / "held")}}

    async def ask() -> httpx.Response:
        await running.pool.prewarm("held")
        holding = asyncio.create_task(running.pool.invoke("held", event))
        async with httpx.AsyncClient(timeout=20, verify=False) as client:
            response = await client.post(origin)
        await holding
        return response

    assert_problem(running.run(ask()), 504)


def test_a_front_door_to_a_function_that_the_pool_lacks_is_refused(running: Running) -> None:
    builders: tuple[Callable[[], AsgiApp], ...] = (
        lambda: build_gateway(running.pool, ROUTES),
        lambda: build_function_url(running.pool, "webhooks"),
    )
    for build in builders:
        with pytest.raises(ValueError, match="the pool has no function"):
            build()
