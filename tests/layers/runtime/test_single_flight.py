"""Single flight: identical work is done once, and whatever happens to its leader or to Redis, everybody is answered."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

import pytest
import redis
from redis.crc import key_slot

from local.valkey import Valkey
from minirag.runtime import cache, rates, single_flight, telemetry
from minirag.runtime.errors import MiniRagError, OutOfTime, TooMany, Unavailable
from minirag.runtime.settings import Settings
from minirag.runtime.single_flight import Cached, Done
from tests.fakes.valkey_cluster import ValkeyCluster
from tests.layers.runtime.conftest import Connect

Outcome = tuple[bytes, Cached] | BaseException

# Long enough for a busy machine, in tests that are not about time.
THREADS: Final = 16


@dataclass
class Work:
    """Work that counts its executions: `value` after `seconds`, or what it is told to raise."""

    seconds: float = 0.0
    value: bytes = b"done"
    error: BaseException | None = None
    meanwhile: Callable[[], object] = lambda: None
    executions: int = 0
    at_once: int = 0
    most_at_once: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> Done:
        with self._lock:
            self.executions += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        try:
            time.sleep(self.seconds)
            self.meanwhile()
        finally:
            with self._lock:
                self.at_once -= 1
        if self.error is not None:
            raise self.error
        return Done(self.value, 60)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was logged."""
    logged: list[str] = []
    monkeypatch.setattr(telemetry, "event", lambda name, **_: logged.append(name))
    return logged


@pytest.fixture(scope="session")
def places(valkey: Valkey, valkey_cluster: Callable[[int], ValkeyCluster]) -> dict[str, Settings]:
    """Kinds of Redis, and how a client must see each."""
    one, three = valkey_cluster(1), valkey_cluster(3)
    return {
        "alone": Settings(database_url="unused", redis_url=valkey.url),
        "one address of a cluster": Settings(database_url="unused", redis_url=one.url),
        "cluster of three": Settings(database_url="unused", redis_url=three.url, redis_cluster=True),
    }


@pytest.fixture(params=["alone", "cluster of three"])
def place(request: pytest.FixtureRequest, places: dict[str, Settings]) -> Settings:
    """One of the places."""
    return places[request.param]


# Also where the client is that of one node, and the node one of a cluster that answers for its own slots alone.
everywhere = pytest.mark.parametrize("place", ["alone", "one address of a cluster", "cluster of three"], indirect=True)


@pytest.fixture
def tag(connect: Connect, patient: None, place: Settings, events: list[str]) -> Iterator[str]:  # noqa: ARG001
    """What nobody asked for yet, at each of the places; there, no call of the cache fails."""
    connect(place.redis_url, cluster=place.redis_cluster)
    yield str(uuid4())
    assert "cache.unavailable" not in events


def fly(tag: str, work: Callable[[], Done], *, seconds: float = 30.0) -> Outcome:
    """What a flight comes to, or what it raised."""
    try:
        return single_flight.once("flight", tag, work, seconds=seconds)
    except (MiniRagError, ArithmeticError) as error:
        return error


def crowd(tag: str, work: Callable[[], Done], *, seconds: float = 30.0, threads: int = THREADS) -> list[Outcome]:
    """What many that ask at once come to."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda _: fly(tag, work, seconds=seconds), range(threads)))


def keys(tag: str) -> set[str]:
    """The keys of a flight that are there now."""
    names = [f"flight:{{{tag}}}{end}" for end in ("", ":failure", ":lock")]
    return {name.rpartition("}")[2] for name, found in zip(names, cache.get_many(names), strict=True) if found}


def milliseconds_left(key: str) -> int:
    """How long a key will still be there."""
    return int(cache.run_script("return redis.call('PTTL', KEYS[1])", (key,), ()))


def kinds(outcomes: list[Outcome]) -> dict[str, int]:
    """How many were hit, miss or shared, and how many raised what."""
    named = [outcome[1] if isinstance(outcome, tuple) else type(outcome).__name__ for outcome in outcomes]
    return {name: named.count(name) for name in sorted(set(named))}


@everywhere
def test_of_many_that_ask_at_once_one_works_and_the_others_share(tag: str) -> None:
    work = Work(0.3)
    outcomes = crowd(tag, work)
    assert work.executions == 1
    assert kinds(outcomes) == {"miss": 1, "shared": THREADS - 1}
    assert {outcome[0] for outcome in outcomes if isinstance(outcome, tuple)} == {b"done"}


@everywhere
def test_who_comes_later_finds_it(tag: str) -> None:
    work = Work()
    assert [fly(tag, work) for _ in range(3)] == [(b"done", "miss"), (b"done", "hit"), (b"done", "hit")]
    assert work.executions == 1
    assert fly(f"{tag} other", work) == (b"done", "miss")
    assert keys(tag) == {""}, "the lock is free again"


def test_what_is_kept_is_kept_for_as_long_as_the_work_says(tag: str) -> None:
    def work() -> Done:
        return Done(b"short", 1)

    assert [fly(tag, work) for _ in range(2)] == [(b"short", "miss"), (b"short", "hit")]
    assert 0 < milliseconds_left(f"flight:{{{tag}}}") <= 1000


@pytest.mark.parametrize("value", [b"", b"\x00\xff" * 100_000, "ünïcode".encode()], ids=["empty", "large", "text"])
def test_a_result_is_given_as_it_was_made_to_the_byte(tag: str, value: bytes) -> None:
    assert [fly(tag, Work(value=value)) for _ in range(2)] == [(value, "miss"), (value, "hit")]


def test_how_the_leader_failed_is_told_to_who_waits(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_flight, "_ERROR_MS", 3000)
    failure = TooMany("The vendor is busy; try again in a minute.", code="vendor_busy", retry_after=17)
    work = Work(0.3, error=failure)
    outcomes = crowd(tag, work)
    assert work.executions == 1
    assert kinds(outcomes) == {"TooMany": THREADS}
    told = {(one.detail, one.code, one.retry_after) for one in outcomes if isinstance(one, TooMany)}
    assert told == {("The vendor is busy; try again in a minute.", "vendor_busy", 17)}
    assert keys(tag) == {":failure"}, "the lock is free again"


def test_a_failure_is_told_for_half_a_second_and_then_it_is_tried_again(tag: str) -> None:
    assert isinstance(fly(tag, Work(error=Unavailable("The vendor is down."))), Unavailable)
    assert milliseconds_left(f"flight:{{{tag}}}:failure") <= 500
    time.sleep(0.55)
    assert fly(tag, Work()) == (b"done", "miss")


@pytest.mark.parametrize("error", [OutOfTime("The time of this request is up."), ZeroDivisionError("a bug")])
def test_what_only_the_leader_met_with_is_not_shared_and_frees_the_lock_at_once(tag: str, error: BaseException) -> None:
    first, second = Work(0.3, error=error), Work(value=b"second")
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(fly, tag, first)
        first.begun.wait()
        begun = time.monotonic()
        follower = pool.submit(fly, tag, second)
        assert follower.result() == (b"second", "miss")
        assert time.monotonic() - begun < 4, "the lease of 6 s was not waited for"
    assert leader.result() is error
    assert (first.executions, second.executions) == (1, 1)


@everywhere
def test_a_leader_that_is_interrupted_frees_the_lock_at_once(tag: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        single_flight.once("flight", tag, Work(error=KeyboardInterrupt()), seconds=30)
    assert keys(tag) == set()


@everywhere
def test_a_leader_that_lost_its_lease_publishes_nothing_and_frees_no_lock_of_another(
    tag: str, events: list[str]
) -> None:
    lock = f"flight:{{{tag}}}:lock"
    late = Work(value=b"late", meanwhile=lambda: cache.put_many({lock: b"another's token"}, seconds=60))
    assert fly(tag, late) == (b"late", "miss"), "who asked is answered all the same"
    assert keys(tag) == {":lock"}
    assert cache.get_many([lock]) == [b"another's token"]
    assert events == ["flight.lease_lost"]
    failing = Work(error=Unavailable("The vendor is down."), meanwhile=late.meanwhile)
    cache.run_script("return redis.call('DEL', KEYS[1])", (lock,), ())
    assert isinstance(fly(tag, failing), Unavailable)
    assert keys(tag) == {":lock"}


def test_work_that_is_longer_than_the_lease_is_still_done_once(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_flight, "_LEASE_MS", 2400)
    work = Work(3.6)
    assert kinds(crowd(tag, work, threads=6)) == {"miss": 1, "shared": 5}
    assert work.executions == 1


def test_no_thread_is_left_of_a_flight(tag: str) -> None:
    before = threading.active_count()
    fly(tag, Work(0.05))
    with suppress(MiniRagError):
        fly(f"{tag} failed", Work(error=Unavailable("The vendor is down.")))
    assert threading.active_count() == before


def test_who_waits_keeps_to_their_own_time(tag: str) -> None:
    work = Work(1.2)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(fly, tag, work)
        work.begun.wait()
        begun = time.monotonic()
        assert isinstance(fly(tag, work, seconds=0.3), OutOfTime)
        waited = time.monotonic() - begun
        assert isinstance(fly(tag, work, seconds=0.0), OutOfTime)
        assert not leader.done()
    print(f"of 0.3 s, waited {waited:.2f} s")
    assert 0.3 <= waited < 1.0
    assert leader.result() == (b"done", "miss")
    assert work.executions == 1


def test_what_was_evicted_meanwhile_is_done_again_and_everybody_is_answered(tag: str) -> None:
    names = [f"flight:{{{tag}}}{end}" for end in ("", ":failure", ":lock")]

    def evict() -> None:
        cache.run_script("return redis.call('DEL', unpack(KEYS))", names, ())

    first, second = Work(0.3, b"first", meanwhile=evict), Work(0.3, b"second")
    with ThreadPoolExecutor(8) as pool:
        leader = pool.submit(fly, tag, first)
        first.begun.wait()
        others = [pool.submit(fly, tag, second) for _ in range(7)]
    assert leader.result() == (b"first", "miss")
    assert kinds([other.result() for other in others]) == {"miss": 1, "shared": 6}
    assert (first.executions, second.executions) == (1, 1)


@everywhere
def test_scripts_that_redis_has_forgotten_are_no_failure(tag: str, place: Settings) -> None:
    assert place.redis_url is not None
    node_of = cache._redis(place.redis_url, cluster=place.redis_cluster)
    nodes = {node_of(str(number)) for number in range(100)}

    def forget() -> None:
        for node in nodes:
            node.script_flush()

    forget()
    assert fly(tag, Work(meanwhile=forget)) == (b"done", "miss")
    forget()
    assert fly(tag, Work()) == (b"done", "hit")
    failing = Work(error=Unavailable("The vendor is down."), meanwhile=forget)
    assert isinstance(fly(f"{tag} failing", failing), Unavailable)
    assert keys(f"{tag} failing") == {":failure"}


@dataclass(frozen=True, slots=True)
class Flight:
    """What processes that asked at once came to, None from one that was killed, and when it was worked for them."""

    results: list[Any]
    executions: list[float]

    @property
    def answered(self) -> list[Any]:
        return [result for result in self.results if result is not None]


def flock(
    places: dict[str, Settings], folder: Path, processes: int, work: float, lease: float, *more: str
) -> dict[str, Flight]:
    """Let so many processes ask at each of the places."""

    def run(name: str) -> Flight:
        place, journal = places[name], folder / name
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MINIRAG_DATABASE_URL": "unused",
            "MINIRAG_REDIS_URL": str(place.redis_url),
            "MINIRAG_REDIS_CLUSTER": "on" if place.redis_cluster else "off",
        }
        arguments = (str(uuid4()), str(processes), str(work), str(round(lease * 1000)), str(journal), *more)
        command = (sys.executable, "-m", "tests.layers.runtime.flying", *arguments)
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=100)
        executions = [float(line.split()[0]) for line in journal.read_text().splitlines()]
        return Flight(json.loads(ended.stdout.splitlines()[-1]), executions)

    with ThreadPoolExecutor(len(places)) as pool:
        return dict(zip(places, pool.map(run, places), strict=True))


def test_of_many_processes_one_works_and_the_others_share(
    places: dict[str, Settings], tmp_path: Path, count: Callable[[int, int], int]
) -> None:
    processes = count(20, 60)
    for place, flight in flock(places, tmp_path, processes, 0.3, 6.0).items():
        values = {result["value"] for result in flight.answered}
        cached = [result["cached"] for result in flight.answered]
        print(f"{place}: {processes} processes, {len(flight.executions)} execution, {len(values)} result")
        assert len(flight.executions) == len(values) == cached.count("miss") == 1
        assert len(flight.answered) == processes
        # Who came when it was done already found it.
        assert cached.count("shared") + cached.count("hit") == processes - 1


def test_of_a_leader_that_was_killed_one_takes_the_place(
    places: dict[str, Settings], tmp_path: Path, count: Callable[[int, int], int]
) -> None:
    processes, work, lease = count(20, 60), 0.4, 1.0
    for place, flight in flock(places, tmp_path, processes, work, lease, "die").items():
        # From when the leader began.
        took = max(result["ended"] for result in flight.answered) - flight.executions[0]
        print(f"{place}: {len(flight.executions)} executions, {len(flight.answered)} answered after {took:.2f} s")
        assert len(flight.executions) == 2
        assert len(flight.answered) == processes - 1
        assert len({result["value"] for result in flight.answered}) == 1
        # Promised is one second more than both; so many processes take longer on a busy machine.
        assert lease < took < lease + work + 6.0


def timed(tag: str, work: Work) -> float:
    """How many milliseconds a flight takes beside its work."""
    begun = time.perf_counter()
    assert fly(tag, work) == (work.value, "miss")
    return (time.perf_counter() - begun - work.seconds) * 1000


def test_without_redis_everything_is_done_and_nothing_kept(connect: Connect) -> None:
    connect(None)
    work = Work()
    took = [timed("any", work) for _ in range(50)]
    print(f"without Redis: {median(took):.3f} ms")
    assert work.executions == 50
    error = ZeroDivisionError("a bug")
    assert fly("any", Work(error=error)) is error


@pytest.mark.usefixtures("patient")
def test_in_an_outage_one_process_does_not_do_everything_at_once(connect: Connect) -> None:
    connect(None)
    work = Work(0.2)
    assert kinds(crowd("any", work, threads=12)) == {"miss": 12}
    assert (work.executions, work.most_at_once) == (12, 4)
    slow = Work(1.0)
    assert kinds(crowd("any", slow, seconds=0.2, threads=6)) == {"Unavailable": 2, "miss": 4}
    # What failed makes room as well.
    assert kinds(crowd("any", Work(error=ZeroDivisionError()), threads=8)) == {"ZeroDivisionError": 8}
    assert kinds(crowd("any", Work(), threads=8)) == {"miss": 8}


@pytest.mark.parametrize("cluster", [False, True])
def test_a_redis_that_hangs_is_waited_for_once(connect: Connect, events: list[str], cluster: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # accepts, and never answers
        connect(f"redis://127.0.0.1:{nobody.getsockname()[1]}/0", cluster=cluster)
        first = timed("any", Work(0.1))
        after = [timed("any", Work()) for _ in range(20)]
        nobody.settimeout(0)
        nobody.accept()[0].close()
        with pytest.raises(BlockingIOError):  # nothing was tried again
            nobody.accept()
    print(f"hung: {first:.1f} ms the first time, then {median(after):.2f} ms, at most {max(after):.2f} ms")
    assert events == ["cache.unavailable"]
    # Promised are 100 and 5; the machine of the tests may be busy.
    assert first < 300
    assert median(after) < 15


@pytest.mark.parametrize("frozen", [1, 3])
def test_nodes_of_a_cluster_that_hang_are_waited_for_once(
    connect: Connect, events: list[str], valkey_cluster: Callable[[int], ValkeyCluster], frozen: int
) -> None:
    cluster = valkey_cluster(3)
    connect(cluster.url, cluster=True)
    entries = {str(uuid4()): b"value" for _ in range(50)}
    cache.put_many(entries, seconds=60)
    for node in cluster.nodes[-frozen:]:
        os.kill(node.pid, signal.SIGSTOP)
    try:
        begun = time.perf_counter()
        # Of all nodes, of which some answer.
        assert cache.get_many(list(entries)) == [None] * len(entries)
        first = (time.perf_counter() - begun) * 1000
        after = [timed("any", Work()) for _ in range(20)]
    finally:
        for node in cluster.nodes:
            os.kill(node.pid, signal.SIGCONT)
    print(f"{frozen} of 3 nodes hung: {first:.1f} ms the first time, then {median(after):.2f} ms")
    assert events == ["cache.unavailable"]
    assert first < 300
    assert median(after) < 15
    connect(cluster.url, cluster=True)
    assert cache.get_many(list(entries)) == list(entries.values()), "afterwards they are used again"


@pytest.mark.usefixtures("patient")
def test_a_slot_that_went_to_another_node_is_found_there_soon(
    connect: Connect,
    events: list[str],
    valkey_cluster: Callable[[int], ValkeyCluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "_OPEN_SECONDS", 0.0)
    cluster = valkey_cluster(3)
    connect(cluster.url, cluster=True)
    tag = next(tag for tag in iter(lambda: str(uuid4()), "") if key_slot(tag.encode()) > 16_000)
    assert cache.get_many([f"{{{tag}}}"]) == [None]
    cluster.give_to_first(key_slot(tag.encode()))
    # The first call learns that the map is old, the next one asks for the new.
    assert [fly(tag, Work()) for _ in range(3)] == [(b"done", "miss"), (b"done", "miss"), (b"done", "hit")]
    assert events == ["cache.unavailable"]
    node_of = cache._redis(cluster.url, cluster=True)
    assert len({node_of(str(number)) for number in range(1000)}) == 3, "one client a node, however its slots lie"


@pytest.mark.usefixtures("patient")
def test_nodes_that_do_not_tell_their_host_are_where_the_one_is_that_was_asked(
    connect: Connect, events: list[str], valkey_cluster: Callable[[int], ValkeyCluster]
) -> None:
    cluster = valkey_cluster(3)
    entries = {str(uuid4()): b"value" for _ in range(50)}
    with redis.Redis.from_url(cluster.url) as asked:
        asked.config_set("cluster-preferred-endpoint-type", "unknown-endpoint")
        try:
            connect(cluster.url, cluster=True)
            cache.put_many(entries, seconds=60)
            assert cache.get_many(list(entries)) == list(entries.values())
        finally:
            asked.config_set("cluster-preferred-endpoint-type", "ip")
    assert events == []


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_redis_that_fails_midway_holds_up_neither_who_works_nor_who_waits(
    connect: Connect, events: list[str], tmp_path: Path, by: signal.Signals
) -> None:
    with Valkey(tmp_path) as server:
        connect(server.url)
        fly("warm", Work())
        first, others = Work(0.4, b"first", meanwhile=lambda: os.kill(server.pid, by)), Work(0.1, b"other")
        try:
            with ThreadPoolExecutor(8) as pool:
                begun = time.perf_counter()
                leader = pool.submit(fly, "midway", first)
                first.begun.wait()
                followers = [pool.submit(fly, "midway", others) for _ in range(7)]
                assert leader.result() == (b"first", "miss")
                took = time.perf_counter() - begun - first.seconds
            assert {outcome.result() for outcome in followers} == {(b"other", "miss")}
        finally:
            if by == signal.SIGSTOP:
                os.kill(server.pid, signal.SIGCONT)
    print(f"{by.name}: {took * 1000:.1f} ms beside the work")
    assert took < 0.3
    assert (first.executions, others.executions, others.most_at_once) == (1, 7, 4)
    assert 1 <= events.count("cache.unavailable") <= 8, "once for each that was asking just then"


@pytest.mark.usefixtures("patient")
def test_a_redis_that_was_restarted_or_emptied_midway_is_used_again(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_OPEN_SECONDS", 0.0)
    with Valkey(tmp_path) as server:
        connect(server.url)
        fly("warm", Work())

        def restart() -> None:
            server.stop()
            server.start()

        def empty() -> None:
            with redis.Redis.from_url(server.url) as client:
                client.flushall()

        for event in (restart, empty):
            # Of what is done meanwhile nobody is told, since the lock is gone.
            assert fly(event.__name__, Work(meanwhile=event)) == (b"done", "miss")
            assert keys(event.__name__) == set()
            assert fly(event.__name__, Work()) == (b"done", "miss")
            assert fly(event.__name__, Work()) == (b"done", "hit")


@everywhere
def test_all_that_touches_the_cache_works_in_every_kind_of_cluster(tag: str) -> None:
    entries = {f"{tag} {number}": f"value {number}".encode() for number in range(200)}
    cache.put_many(entries, seconds=60)
    assert cache.get_many([*entries, "another"]) == [*entries.values(), None]
    for name in ("one", "other", "with {braces}", "ünïcode"):
        taken = [rates.take(f"{tag} {name}", limit=2) for _ in range(3)]
        assert [one.allowed for one in taken if one is not None] == [True, True, False]
    for number in range(30):
        assert [fly(f"{tag} {number}", Work(value=b"%d" % number)) for _ in range(2)] == [
            (b"%d" % number, "miss"),
            (b"%d" % number, "hit"),
        ]
