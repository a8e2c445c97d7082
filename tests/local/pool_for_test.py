"""A real pool of the handlers in handlers_for_test, and what its processes are doing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from local.pool import FunctionConfig, Pool
from tests.local.handlers_for_test import read_notes

HANDLERS = "tests.local.handlers_for_test"


@asynccontextmanager
async def open_pool(folder: Path, *, limit: int = 2, timeout: float = 20.0) -> AsyncIterator[Pool]:
    functions = [
        FunctionConfig("act", f"{HANDLERS}:act", timeout, memory_mb=256, environment={"ONLY": "act"}),
        FunctionConfig("other", f"{HANDLERS}:other", timeout),
        FunctionConfig("third", f"{HANDLERS}:other", timeout),
        FunctionConfig("broken", "tests.local.broken_for_test:handler", timeout),
        FunctionConfig("slow", f"{HANDLERS}:act", 0.2),
    ]
    pool = Pool(functions, groups={"http": limit}, env={"PATH": os.defpath}, log_dir=folder / "logs")
    try:
        yield pool
    finally:
        await pool.close()


def children() -> set[int]:
    """The environments of this process; it may have other children, such as the session's servers."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in pids if not is_gone(int(pid)) and b"local.environment" in _command(pid)}


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since
        return b""


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


async def wait_for_notes(journal: Path, count: int) -> list[dict[str, Any]]:
    while len(notes := read_notes(journal)) < count:
        await asyncio.sleep(0.005)
    return notes
