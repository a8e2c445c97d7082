"""How long a quiet tenant's document takes while another tenant's thousand are waiting, beside a system that is idle.

    python -m bench.fairness [--documents N] [--asked N]

The whole system on one machine, over HTTP. Its poller takes turns by message group, as SQS's fair queues are promised
to; what AWS does was not measured.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from bench.results import say
from local.deployment import groups
from local.home import Home
from local.system import Servers, System
from local.terminal import Terminal
from tests import tenants

_MOST: Final = 2.0  # times as long as while nobody else sends
_WAIT: Final = 25


def main() -> int:
    """Measure, and return whether the promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description="Measure what a noisy tenant costs.")
    parser.add_argument("--documents", type=int, default=1000, help="of the noisy tenant")
    parser.add_argument("--asked", type=int, default=40, help="documents of the quiet one, each time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        home = stack.enter_context(Home(Path(name) / "home"))
        servers, terminal = Servers(home), Terminal()
        servers.start(stack, terminal)
        system = System(home, terminal, servers, 0, groups(os.environ))
        return asyncio.run(_measure(system, given.documents, given.asked))


async def _measure(system: System, documents: int, asked: int) -> int:
    async with AsyncExitStack() as stack:
        variables = await system.start(stack)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=variables["MINIRAG_URL"], timeout=60))
        superuser = system.servers.postgres.superuser_url
        noisy = await asyncio.to_thread(tenants.make, superuser)
        quiet = await asyncio.to_thread(tenants.make, superuser)
        await _ingest(client, quiet.headers, 5, "warm")
        idle = await _ingest(client, quiet.headers, asked, "idle")
        say(f"idle: p50 {np.median(idle):.2f}, p95 {np.percentile(idle, 95):.2f} s")
        for number in range(documents):
            body = {"title": f"Noise {number}", "text": f"Noise of the number {number}. " * 30}
            (await client.post("/api/v1/ingest/text", json=body, headers=noisy.headers)).raise_for_status()
        beside = await _ingest(client, quiet.headers, asked, "beside")
        left = await _waiting(client, noisy.headers)
        ratio = float(np.percentile(beside, 95) / np.percentile(idle, 95))
        say(f"beside {documents} documents, {left} of them still waiting at the end: p50 {np.median(beside):.2f}, "
            f"p95 {np.percentile(beside, 95):.2f} s, {ratio:.2f} times idle (<= {_MOST})")  # fmt: skip
        return 0 if ratio <= _MOST and left else 1


async def _ingest(client: httpx.AsyncClient, headers: dict[str, str], count: int, what: str) -> list[float]:
    """Seconds from sending each of some documents until its job is done, one after the other."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        body = {"title": f"{what} {number}", "text": f"A quiet note, number {number}, {what}.", "wait": _WAIT}
        answer = (await client.post("/api/v1/ingest/text", json=body, headers=headers)).raise_for_status().json()
        assert answer["jobs"][0]["status"] == "done", answer
        taken.append(time.perf_counter() - began)
    return taken


async def _waiting(client: httpx.AsyncClient, headers: dict[str, str]) -> int:
    """How many of a tenant's newest 200 jobs have not ended: at most that many are still waiting."""
    page = (await client.get("/api/v1/jobs?limit=200", headers=headers)).raise_for_status().json()
    return sum(job["status"] in {"queued", "running"} for job in page["items"])


if __name__ == "__main__":
    sys.exit(main())
