import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.gateway import build_gateway
from tests.local.doors_for_test import TABLE, Running, assert_problem, open_doors, wait_for_file


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_doors(tmp_path_factory.mktemp("doors")) as running:
        yield running


@pytest.fixture(scope="module")
def api(running: Running) -> str:
    return running.serve(build_gateway(running.pool, TABLE))


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
        assert "larger than 10 MiB" in assert_problem(response, 413, "big")["detail"]
    assert running.request("GET", f"{api}/things").status_code == 200


def test_a_body_that_a_function_cannot_take_is_413(running: Running, api: str) -> None:
    headers = {"content-type": "application/octet-stream"}
    response = running.request("POST", f"{api}/things", content=b"x" * 5_000_000, headers=headers)
    assert "6 MB in all" in assert_problem(response, 413)["detail"]


def test_too_large_headers_are_431(running: Running, api: str) -> None:
    assert_problem(running.request("GET", f"{api}/things", headers={"x-large": "x" * 10_300}), 431)
    assert_problem(running.request("GET", f"{api}/things?q={'x' * 10_300}"), 431)


def test_a_request_out_of_time_is_504_but_its_function_runs_on(running: Running) -> None:
    origin = running.serve(build_gateway(running.pool, TABLE, integration_seconds=0.2))
    file = running.folder / "done"
    headers = {"x-do": "sleep", "x-seconds": "0.5", "x-file": str(file), "x-request-id": "slow"}
    assert_problem(running.request("GET", f"{origin}/things", headers=headers), 504, "slow")
    assert not file.exists()
    running.run(wait_for_file(file))


def test_a_function_past_its_own_timeout_is_504(running: Running, api: str) -> None:
    headers = {"x-do": "sleep", "x-seconds": "60", "x-file": "/dev/null"}
    running.run(running.pool.prewarm("slow"))
    response = running.request("POST", f"{api}/slow", headers=headers)
    assert assert_problem(response, 504)["detail"].startswith("The request could not be answered")


def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_sent(running: Running, api: str) -> None:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.rpartition(":")[2]))
        writer.write(b"POST /things HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 11000000\r\n\r\n")
        status = await reader.readline()
        writer.close()
        return status

    assert b" 413 " in running.run(ask())


def test_a_client_that_hangs_up_does_not_end_its_invocation(running: Running, api: str) -> None:
    file = running.folder / "after-hang-up"
    head = f"GET /things HTTP/1.1\r\nhost: x\r\nx-do: sleep\r\nx-seconds: 0.3\r\nx-file: {file}\r\n\r\n"
    running.run(send_and_hang_up(api, head))
    assert not file.exists()
    running.run(wait_for_file(file))


def test_half_a_request_is_not_invoked(running: Running, api: str) -> None:
    file = running.folder / "half"
    head = f"POST /things HTTP/1.1\r\nhost: x\r\nx-do: sleep\r\nx-seconds: 0\r\nx-file: {file}\r\n"
    running.run(send_and_hang_up(api, f"{head}content-length: 100\r\n\r\nhalf"))
    for _ in range(5):
        assert running.request("GET", f"{api}/things").status_code == 200
    assert not file.exists()


async def send_and_hang_up(origin: str, request: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(origin.rpartition(":")[2]))
    writer.write(request.encode())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
