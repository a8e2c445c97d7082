import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from local.pool import FunctionConfig, NoCapacity, Pool
from tests.local.handlers_for_test import read_notes
from tests.local.pool_for_test import children, is_gone, open_pool, wait_for_notes


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
            await pool.close()
            assert children() == set()
        async with open_pool(tmp_path, limit=2) as pool:
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
