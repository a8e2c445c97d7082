"""Front doors over a real pool behind real HTTP servers, for the tests of local.gateway."""

import asyncio
import os
import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn

from infra.routes import Route
from local.gateway import AsgiApp
from local.pool import FunctionConfig, Pool
from minirag.tenancy.roles import OPEN

T = TypeVar("T")

# All are answered by the handler `http` of handlers_for_test.
TABLE = (
    Route("GET", "/things", "web", OPEN),
    Route("POST", "/things", "web", OPEN),
    Route("GET", "/things/{thing_id}", "web", OPEN),
    Route("DELETE", "/things/{thing_id}", "web", OPEN),
    Route("GET", "/things/special", "web", OPEN),
    Route("GET", "/things/{thing_id}/parts/{part}", "web", OPEN),
    Route("POST", "/slow", "slow", OPEN),
    Route("POST", "/broken", "broken", OPEN),
)


class Running:
    """A pool with its front doors behind real HTTP servers, in the loop of `runner`."""

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
                app,
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


@contextmanager
def open_doors(folder: Path) -> Iterator[Running]:
    """A running system, ended with the block."""
    with asyncio.Runner() as runner:
        running = Running(runner, folder)
        try:
            yield running
        finally:
            running.close()


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


async def wait_for_file(file: Path) -> None:
    while not file.exists():
        await asyncio.sleep(0.01)
