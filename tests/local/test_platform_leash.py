"""Children die with their parent, whoever they run as."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import leash

REPOSITORY = Path(__file__).parents[2]
USERS = [None, pytest.param("nobody", marks=pytest.mark.skipif(os.geteuid() != 0, reason="takes root"))]

# Starts a child, says its pid, and waits to be killed.
PARENT = """
import sys, time
from local import leash
child = leash.start(["sleep", "600"], user=sys.argv[1] or None)
print(child.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_soon(pid: int) -> bool:
    for _ in range(200):
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def output() -> Iterator[Path]:
    path = Path(f"/tmp/minirag-leash-{os.getpid()}")
    path.touch()
    yield path
    path.unlink()


@pytest.mark.parametrize("user", USERS)
def test_a_child_dies_when_its_parent_is_killed(user: str | None) -> None:
    command = [sys.executable, "-c", PARENT, user or ""]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, env={"PYTHONPATH": "."}) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        was_alive = alive(child)
        parent.kill()
    assert was_alive
    assert gone_soon(child)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_a_child_becomes_the_other_user_entirely(output: Path) -> None:
    with output.open("wb") as file:
        leash.start(["sh", "-c", "id -u; id -g; id -G"], user="nobody", stdout=file).wait()
    entry = pwd.getpwnam("nobody")
    assert output.read_text().split() == [str(entry.pw_uid), str(entry.pw_gid), str(entry.pw_gid)]


def test_a_ctrl_c_in_the_terminal_does_not_reach_a_child() -> None:
    child = leash.start(["sleep", "600"])
    try:
        assert os.getpgid(child.pid) != os.getpgrp()
    finally:
        leash.stop(child)


def test_stop_kills_a_child_that_does_not_listen() -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    child = leash.start([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as ready:
        ready.readline()
    leash.stop(child, patience_seconds=0.1)
    assert child.returncode == -signal.SIGKILL


def test_a_command_that_cannot_be_started_is_named(output: Path) -> None:
    with output.open("wb") as file:
        child = leash.start(["/no/such/program"], stderr=file)
    assert child.wait() == 126
    assert "/no/such/program cannot be started" in output.read_text()
