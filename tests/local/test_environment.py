import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.home import REPOSITORY
from local.pool import Crashed, FunctionError, InitFailed, RequestTooLarge, TimedOut
from tests.local.handlers_for_test import read_notes
from tests.local.pool_for_test import HANDLERS, children, is_gone, open_pool, wait_until_gone


def test_a_time_out_kills_the_environment_and_the_next_call_has_a_new_one(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def check() -> None:
        async with open_pool(tmp_path, limit=1) as pool:
            with pytest.raises(TimedOut, match=r"slow: Task timed out after 0\.20 seconds"):
                await pool.invoke("slow", {"do": "sleep", "seconds": 60, "journal": str(journal)})
            (note,) = read_notes(journal)
            assert is_gone(note["pid"])
            assert (await pool.invoke("slow", {}))["pid"] != note["pid"]

    asyncio.run(check())
    assert "Task timed out after 0.20 seconds" in (tmp_path / "logs" / "slow.log").read_text()


@pytest.mark.parametrize(
    ("do", "how"), [("exit", "exited with status 3"), ("kill", "SIGKILL"), ("fork", "exited with status 9")]
)
def test_after_a_crash_the_next_call_works(tmp_path: Path, do: str, how: str) -> None:
    async def check() -> None:
        async with open_pool(tmp_path, limit=1) as pool:
            before = (await pool.invoke("act", {}))["pid"]
            with pytest.raises(Crashed, match=how):
                await pool.invoke("act", {"do": do})
            assert (await pool.invoke("act", {}))["pid"] != before

    asyncio.run(check())


@pytest.mark.parametrize("do", ["fork", "fork and sleep"])
def test_what_a_handler_leaves_running_ends_with_its_environment(tmp_path: Path, do: str) -> None:
    journal = tmp_path / "journal"

    async def check() -> None:
        async with open_pool(tmp_path, limit=1, timeout=0.3) as pool:
            with pytest.raises((Crashed, TimedOut)):
                await pool.invoke("act", {"do": do, "journal": str(journal)})

    asyncio.run(check())
    wait_until_gone(next(note["grandchild"] for note in read_notes(journal) if "grandchild" in note))


def test_what_a_handler_raises_is_reported_and_the_environment_stays_warm(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path) as pool:
            before = (await pool.invoke("act", {}))["pid"]
            with pytest.raises(FunctionError) as raised:
                await pool.invoke("act", {"do": "raise"})
            assert raised.value.error_type == "LookupError"
            assert raised.value.error_message == "no such thing: ? é"
            assert "such thing" not in str(raised.value)
            with pytest.raises(FunctionError, match=r"raised Runtime\.MarshalError"):
                await pool.invoke("act", {"do": "unserialisable"})
            with pytest.raises(FunctionError, match=r"raised Function\.ResponseSizeTooLarge"):
                await pool.invoke("act", {"do": "large", "bytes": 7_000_000})
            assert (await pool.invoke("act", {}))["pid"] == before

    asyncio.run(check())
    assert "Traceback (most recent call last)" in (tmp_path / "logs" / "act.log").read_text()


def test_payloads_up_to_lambdas_limit_pass_and_larger_events_are_refused(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path) as pool:
            assert len(await pool.invoke("act", {"do": "large", "bytes": 6_000_000, "ballast": "x" * 6_000_000})) == 6e6
            with pytest.raises(RequestTooLarge, match="6291556"):
                await pool.invoke("act", {"ballast": "x" * 6_291_556})

    asyncio.run(check())


def test_a_handler_that_cannot_be_imported_is_reported_and_harms_no_other(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path, limit=1) as pool:
            for _ in range(2):
                with pytest.raises(InitFailed, match="RuntimeError: a setting is missing"):
                    await pool.invoke("broken", {})
            assert children() == set()
            assert (await pool.invoke("act", {}))["pid"]

    asyncio.run(check())
    assert "broken_for_test.py" in (tmp_path / "logs" / "broken.log").read_text()


def test_what_a_handler_printed_before_it_was_killed_is_in_its_log(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path) as pool:
            with pytest.raises(Crashed):
                await pool.invoke("act", {"do": "kill", "print": "last words"})

    asyncio.run(check())
    assert (tmp_path / "logs" / "act.log").read_text() == "last words\n"


def test_the_remaining_time_is_true(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path, timeout=20.0) as pool:
            await pool.invoke("act", {})
            first, second = await pool.invoke("act", {"do": "remaining", "seconds": 0.1})
            assert 10_000 < first <= 20_000
            assert 100 <= first - second < 10_000

    asyncio.run(check())


def test_a_handler_knows_its_function_and_sees_only_the_environment_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "x")

    async def check() -> tuple[dict[str, str], dict[str, str]]:
        async with open_pool(tmp_path) as pool:
            await pool.invoke("act", {"print": "a line for the log"})
            return await pool.invoke("act", {"do": "context"}), await pool.invoke("act", {"do": "env"})

    context, env = asyncio.run(check())
    assert context["function_name"] == "act"
    assert context["memory_limit_in_mb"] == "256"
    assert context["function_version"] == "$LATEST"
    assert context["log_group_name"] == "/aws/lambda/act"
    assert "[$LATEST]" in context["log_stream_name"]
    assert context["invoked_function_arn"].endswith(":function:act")
    log = (tmp_path / "logs" / "act.log").read_text()
    assert log.startswith("a line for the log\n")
    assert f"REPORT RequestId: {context['aws_request_id']} Duration:" in log
    assert env["ONLY"] == "act"
    assert "SECRET_OF_THE_PARENT" not in env


PARENT = """
import asyncio, os, sys
from local.pool import FunctionConfig, Pool
async def main():
    function = FunctionConfig("act", "tests.local.handlers_for_test:act", 60)
    pool = Pool([function], groups={"http": 2}, env={"PATH": os.defpath}, log_dir=sys.argv[1])
    idle = await pool.invoke("act", {})
    busy = asyncio.create_task(pool.invoke("act", {"do": "sleep", "seconds": 60}))
    other = asyncio.create_task(pool.invoke("act", {"do": "sleep", "seconds": 0.01}))
    print(idle["pid"], (await other)["pid"], flush=True)
    await busy
asyncio.run(main())
"""


def test_when_the_parent_is_killed_its_children_are_gone_busy_or_idle(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(set(pids)) == 2
        assert not any(is_gone(pid) for pid in pids)
        parent.kill()
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.parametrize("parent_is", ["alive", "another"])
def test_an_environment_leaves_when_its_socket_closes_or_its_parent_has_gone_already(parent_is: str) -> None:
    parent = os.getpid() if parent_is == "alive" else 1
    ours, theirs = socket.socketpair()
    with ours, theirs:
        arguments = [f"{HANDLERS}:act", str(theirs.fileno()), str(parent)]
        process = subprocess.Popen(
            [sys.executable, "-m", "local.environment", *arguments], cwd=REPOSITORY, pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        said = ours.recv(6)
        assert said == (b"\0\0\0\x02{}" if parent_is == "alive" else b"")
        ours.close()
        assert process.wait(10) == (0 if parent_is == "alive" else 75)
