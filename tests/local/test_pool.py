import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from local.pool import Crashed, FunctionConfig, FunctionError, InitFailed, NoCapacity, Pool, RequestTooLarge, TimedOut
from tests.local.handlers_for_test import read_notes

HANDLERS = "tests.local.handlers_for_test"
REPOSITORY = Path(__file__).resolve().parents[2]


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
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
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


def test_a_process_runs_one_event_at_a_time_and_a_group_no_more_processes_than_its_limit(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    event = {"do": "sleep", "seconds": 0.05, "journal": str(journal)}

    async def check() -> None:
        async with open_pool(tmp_path, limit=2) as pool:
            await asyncio.gather(*(pool.invoke("act", event) for _ in range(8)))

    asyncio.run(check())
    running: dict[int, int] = {}
    most = 0
    for note in sorted(read_notes(journal), key=lambda note: note["at"]):
        running[note["pid"]] = running.get(note["pid"], 0) + (1 if "begin" in note else -1)
        assert running[note["pid"]] <= 1, "two events in one process at once"
        most = max(most, sum(running.values()))
    assert most == 2
    assert len(running) == 2


def test_a_warm_environment_is_reused(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path) as pool:
            pids = {(await pool.invoke("act", {}))["pid"] for _ in range(5)}
            assert len(pids) == 1
            assert children() == pids

    asyncio.run(check())


def test_what_exceeds_the_limit_waits_in_order(tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal", tmp_path / "gate"

    async def check() -> None:
        async with open_pool(tmp_path, limit=1) as pool:
            events = [{"name": n, "do": "wait", "for": str(gate), "journal": str(journal)} for n in range(5)]
            tasks = []
            for event in events:
                tasks.append(asyncio.create_task(pool.invoke("act", event)))
                await asyncio.sleep(0)
            await wait_for_notes(journal, 1)
            gate.touch()
            await asyncio.gather(*tasks)

    asyncio.run(check())
    assert [note["begin"] for note in read_notes(journal) if "begin" in note] == [0, 1, 2, 3, 4]


def test_waiting_too_long_for_an_environment_is_no_capacity_and_loses_no_place(tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal", tmp_path / "gate"

    async def check() -> None:
        async with open_pool(tmp_path, limit=1) as pool:
            event = {"do": "wait", "for": str(gate), "journal": str(journal)}
            first = asyncio.create_task(pool.invoke("act", event))
            await wait_for_notes(journal, 1)
            for _ in range(3):
                with pytest.raises(NoCapacity, match="other"):
                    await pool.invoke("other", {}, wait_seconds=0.02)
            gate.touch()
            await first
            assert (await pool.invoke("other", {}, wait_seconds=5))["pid"]

    asyncio.run(check())


def test_the_longest_idle_environment_of_another_function_makes_room(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path, limit=2) as pool:
            longest = (await pool.invoke("act", {}))["pid"]
            recent = (await pool.invoke("other", {}))["pid"]
            newest = (await pool.invoke("third", {}))["pid"]
            assert is_gone(longest)
            assert children() == {recent, newest}
            assert (await pool.invoke("other", {}))["pid"] == recent

    asyncio.run(check())


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


def test_an_environment_that_ends_while_idle_is_replaced_unnoticed(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path, limit=1) as pool:
            before = (await pool.invoke("act", {}))["pid"]
            os.kill(before, signal.SIGKILL)
            while before in children():  # until this loop has been told
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert (await pool.invoke("act", {}))["pid"] != before

    asyncio.run(check())


def test_what_a_handler_raises_is_reported_and_the_environment_stays_warm(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path) as pool:
            before = (await pool.invoke("act", {}))["pid"]
            with pytest.raises(FunctionError) as raised:
                await pool.invoke("act", {"do": "raise"})
            assert raised.value.error_type == "LookupError"
            assert raised.value.error_message == "no such thing: ? é"
            with pytest.raises(FunctionError, match=r"Runtime\.MarshalError.*set is not JSON serializable"):
                await pool.invoke("act", {"do": "unserialisable"})
            with pytest.raises(FunctionError, match=r"Function\.ResponseSizeTooLarge"):
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
            await pool.invoke("act", {"do": "print", "text": "a line for the log"})
            return await pool.invoke("act", {"do": "context"}), await pool.invoke("act", {"do": "env"})

    context, env = asyncio.run(check())
    assert context["function_name"] == "act"
    assert context["memory_limit_in_mb"] == "256"
    assert context["function_version"] == "$LATEST"
    assert context["log_group_name"] == "/aws/lambda/act"
    assert "[$LATEST]" in context["log_stream_name"]
    assert context["invoked_function_arn"].endswith(":function:act")
    log = (tmp_path / "logs" / "act.log").read_text()
    assert log.count("a line for the log\n") == 2
    assert f"REPORT RequestId: {context['aws_request_id']} Duration:" in log
    assert env["ONLY"] == "act"
    assert "SECRET_OF_THE_PARENT" not in env


def test_cancelling_an_invocation_kills_its_environment_and_frees_its_place(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def check() -> None:
        async with open_pool(tmp_path, limit=1) as pool:
            event = {"do": "sleep", "seconds": 60, "journal": str(journal)}
            task = asyncio.create_task(pool.invoke("act", event))
            (note,) = await wait_for_notes(journal, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert is_gone(note["pid"])
            assert (await pool.invoke("act", {}, wait_seconds=5))["pid"]

    asyncio.run(check())


def test_close_ends_every_child_and_every_invocation(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    event = {"do": "sleep", "seconds": 60, "journal": str(journal)}

    async def check() -> None:
        async with open_pool(tmp_path, limit=2) as pool:
            await pool.invoke("other", {})
            tasks = [asyncio.create_task(pool.invoke("act", event)) for _ in range(3)]
            await wait_for_notes(journal, 2)
            await pool.close()
            kinds = [type(end).__name__ for end in await asyncio.gather(*tasks, return_exceptions=True)]
            assert sorted(kinds) == ["Crashed", "Crashed", "NoCapacity"]
            assert children() == set()
            with pytest.raises(NoCapacity, match="closing"):
                await pool.invoke("act", {})

    asyncio.run(check())


def test_prewarmed_environments_wait_for_their_first_event_and_evict_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_pool(tmp_path, limit=2) as pool:
            await pool.prewarm("act")
            await pool.prewarm("act")
            warm = children()
            assert len(warm) == 2
            await pool.prewarm("other")
            assert children() == warm
            assert (await pool.invoke("act", {}))["pid"] in warm

    asyncio.run(check())


PARENT = """
import asyncio, os, sys
from local.pool import FunctionConfig, Pool
async def main():
    function = FunctionConfig("act", "tests.local.handlers_for_test:act", 60)
    pool = Pool([function], groups={"http": 2}, env={"PATH": os.defpath}, log_dir=sys.argv[1])
    idle = await pool.invoke("act", {})
    asyncio.create_task(pool.invoke("act", {"do": "sleep", "seconds": 60}))
    other = asyncio.create_task(pool.invoke("act", {"do": "sleep", "seconds": 0.01}))
    print(idle["pid"], (await other)["pid"], flush=True)
    await asyncio.sleep(60)
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


@pytest.mark.parametrize(
    ("functions", "groups", "message"),
    [
        ([FunctionConfig("a", "m:h", 1, concurrency_group="nowhere")], {"http": 1}, "nowhere"),
        ([], {"http": 0}, "at least one"),
    ],
)
def test_a_pool_that_cannot_work_is_refused(
    tmp_path: Path, functions: list[FunctionConfig], groups: Mapping[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Pool(functions, groups=groups, env={}, log_dir=tmp_path)
