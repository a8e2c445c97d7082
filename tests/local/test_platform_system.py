"""The whole system on one machine, as `make run` starts it: what a SIGKILL leaves, and what a Ctrl-C does."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import postgres_files
from local.home import Home

REPOSITORY = Path(__file__).parents[2]

# Everything but the demonstration, whose documents would take their time.
SCRIPT = """
import sys
from local import demo, stack
demo.show = lambda variables, terminal: None
sys.exit(stack.main(["run"]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("system") / "home"
    yield Home(folder)
    shutil.rmtree(postgres_files.outside_folder(folder / "postgres"), ignore_errors=True)


class Running:
    """A system, and how to reach it."""

    def __init__(self, home: Home) -> None:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((".", "layers/common")),
            "MINIRAG_HOME": str(home.folder),
            "PORT": "0",
            "MINIRAG_STRIPE_WEBHOOK_SECRET": "whsec_of_the_user",
        }
        home.dev_env.unlink(missing_ok=True)
        command = [sys.executable, "-c", SCRIPT]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=subprocess.DEVNULL)
        while not home.dev_env.exists():
            assert self.process.poll() is None, "the system did not come up"
            time.sleep(0.05)
        self.variables = home.read_dev_env()
        self.children = [pid for pid in pids() if parent(pid) == self.process.pid]

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self.variables["MINIRAG_API_KEY"], "Content-Type": "application/json"}
        request = urllib.request.Request(self.variables["MINIRAG_URL"] + path, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def fields(pid: int) -> list[str]:
    """State, parent and so on of a process (proc(5)); a zombie's state for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["Z", "0"]


def parent(pid: int) -> int:
    return int(fields(pid)[1])


def survivors(children: list[int], seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while (alive := [pid for pid in children if fields(pid)[0] != "Z"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def test_a_killed_system_leaves_nothing_that_runs_or_blocks_and_a_stopped_one_nothing_at_all(home: Home) -> None:
    first = Running(home)
    assert stat.S_IMODE(home.dev_env.stat().st_mode) == 0o600
    assert first.variables["MINIRAG_STRIPE_WEBHOOK_SECRET"] == "whsec_of_the_user"
    text = "The gate of the old orchard is opened at seven."
    taken = first.call("/api/v1/ingest/text", {"title": "Orchard", "text": text, "wait": 25})
    assert [job["status"] for job in taken["jobs"]] == ["done"]
    assert len(first.children) >= 7

    first.end(signal.SIGKILL)
    assert survivors(first.children, seconds=5) == []

    second = Running(home)
    assert second.variables["MINIRAG_API_KEY"] == first.variables["MINIRAG_API_KEY"]
    assert [source["name"] for source in second.call("/api/v1/sources")["items"]] == ["Orchard"]
    found = second.call("/api/v1/search", {"query": "When is the orchard's gate opened?"})
    assert found["chunks"][0]["content"] == text

    assert second.end(signal.SIGINT) == 0
    assert survivors(second.children, seconds=0) == []
    assert not home.dev_env.exists()
