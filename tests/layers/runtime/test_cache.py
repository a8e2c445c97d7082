"""The cache while it fails: what is cancelled midway swaps no answers, and after a failure nobody waits."""

import gc
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import product
from types import FrameType
from typing import Any, Final
from uuid import uuid4

import pytest
import redis

from local.valkey import Valkey
from minirag.runtime import cache, rates, telemetry
from tests.fakes.proxy import Proxy
from tests.fakes.valkey_cluster import ValkeyCluster
from tests.layers.runtime.conftest import Connect

# Instead of the 40 ms of every day, so that many calls fit into the time of a test.
TIMEOUT_SECONDS: Final = 0.004
KEYS: Final = 200
BUCKETS: Final = 20
# By so much do the windows of two buckets differ; long enough that no test comes from one to the next.
STEP_SECONDS: Final = 1000


# Python shows and forgets what is raised in them.
destructors_are_not_interrupted = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Interrupted(BaseException):
    """What a handler of signals raises: a deadline, or Ctrl-C."""


class Checker:
    """Makes calls whose answers say what they are an answer to, and counts those that are another's."""

    def __init__(self, chance: random.Random) -> None:
        self.answered = self.swapped = 0
        self._chance = chance
        self._name = uuid4().hex
        self._values = {f"{self._name} {key:03}": f"{key:03}".encode() * chance.randint(1, 700) for key in range(KEYS)}

    def prepare(self) -> None:
        """Put every value, and take the one token of every bucket."""
        cache.put_many(self._values, seconds=3600)
        for number in range(1, BUCKETS + 1):
            rates.take(f"{self._name} {number}", limit=1, window_seconds=number * STEP_SECONDS)

    def call(self, kind: str = "any") -> None:
        """Make one call of this kind."""
        try:
            match self._chance.choice(("get", "get", "put", "take")) if kind == "any" else kind:
                case "get":
                    self._get()
                case "put":
                    cache.put_many(dict(self._chance.sample(sorted(self._values.items()), 4)), seconds=3600)
                case "take":
                    self._take()
        except (TypeError, ValueError):  # what came is no list, or no pair of numbers
            self.swapped += 1

    def _get(self) -> None:
        keys = self._chance.sample(sorted(self._values), self._chance.randint(1, 8))
        found = cache.get_many(keys)
        if found != [None] * len(keys):
            self._count(right=found == [self._values[key] for key in keys])

    def _take(self) -> None:
        number = self._chance.randint(1, BUCKETS)
        allowance = rates.take(f"{self._name} {number}", limit=1, window_seconds=number * STEP_SECONDS)
        if allowance is not None:
            right = (number - 1) * STEP_SECONDS < allowance.reset_seconds <= number * STEP_SECONDS
            self._count(right=right and not allowance.allowed)

    def _count(self, *, right: bool) -> None:
        self.answered += right
        self.swapped += not right


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the cache logged."""
    logged: list[str] = []
    monkeypatch.setattr(telemetry, "event", lambda name, **_: logged.append(name))
    return logged


@pytest.fixture(params=["alone"])
def server(
    request: pytest.FixtureRequest, valkey: Valkey, valkey_cluster: Callable[[int], ValkeyCluster]
) -> tuple[Valkey, bool]:
    """A Valkey, and whether it is a node of a cluster, whose client asks where things are."""
    return (valkey_cluster(1).nodes[0], True) if request.param == "cluster" else (valkey, False)


@pytest.fixture
def checker(connect: Connect, server: tuple[Valkey, bool], monkeypatch: pytest.MonkeyPatch) -> Checker:
    """One whose values and buckets are there."""
    monkeypatch.setattr(cache, "_TIMEOUT_SECONDS", 10.0)
    connect(server[0].url, cluster=server[1])
    checker = Checker(random.Random(5))
    checker.prepare()
    return checker


@pytest.fixture
def proxy(
    connect: Connect,
    checker: Checker,  # noqa: ARG001  prepares before the timeouts are short
    failures: list[str],
    server: tuple[Valkey, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Proxy]:
    """A proxy before a Valkey, that this process uses with short timeouts and no breaker."""
    valkey, cluster = server
    assert failures == []
    monkeypatch.setattr(cache, "_OPEN_SECONDS", 0.0)
    monkeypatch.setattr(cache, "_TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    with (
        closing(Proxy(valkey.port, random.Random(7), late_seconds=2.5 * TIMEOUT_SECONDS)) as proxy,
        redis.Redis.from_url(valkey.url) as direct,
    ):
        if cluster:  # whoever asks where things are is sent to the proxy
            direct.config_set("cluster-announce-port", proxy.port)
        connect(valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/"), cluster=cluster)
        yield proxy
        if cluster:
            direct.config_set("cluster-announce-port", 0)
    cache._redis.cache_clear()
    gc.collect()  # of sockets whose making was interrupted, Python complains; not in another test


def interrupted_in_cache(error: Interrupted) -> bool:
    """Whether it happened in a call of the cache, and not between two of the test's own lines."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == cache.__file__:
            return True
        trace = trace.tb_next
    return False


@destructors_are_not_interrupted
# By a thread: the other way it would take the timer of signals that this test takes.
@pytest.mark.timeout(1200, method="thread")
@pytest.mark.parametrize("server", ["alone", "cluster"], indirect=True)
def test_calls_cancelled_midway_never_swap_answers(
    proxy: Proxy, checker: Checker, failures: list[str], count: Callable[[int, int], int]
) -> None:
    wanted = count(500, 10_000)
    chance = random.Random(11)
    interrupted = 0
    inside = False

    def interrupt(*_: object) -> None:
        if inside:
            raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        while interrupted + len(failures) < wanted:
            proxy.troubled = chance.random() < 0.5
            proxy.pause_seconds = chance.choice((0.0, 0.0005))
            try:
                inside = True
                if chance.random() < 0.5:
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.002))
                checker.call()
                inside = False
            except Interrupted as error:
                inside = False
                interrupted += interrupted_in_cache(error)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    cancelled = interrupted + len(failures)
    print(f"cancelled {cancelled}, swapped {checker.swapped}")
    print(f"({len(failures)} by timeout or loss, {interrupted} by an interruption; {checker.answered} answered)")
    assert checker.swapped == 0
    # As many of each as a busy machine allows.
    assert min(checker.answered, interrupted, len(failures)) > cancelled / 100


def interrupt_at(line: int, call: Callable[[], None]) -> bool:
    """Interrupt a call before this line, counted in the cache and its client; False if there are fewer."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        name = frame.f_code.co_filename
        if name != cache.__file__ and "/redis/" not in name:
            return None
        if event == "line":
            lines += 1
            if lines == line:
                raise Interrupted
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(Interrupted):
            call()
    finally:
        sys.settrace(outer)
    return lines >= line


IN_A_CLUSTER: Final = [("cluster", connected, 0.0, kind) for connected in (True, False) for kind in ("get", "take")]


@destructors_are_not_interrupted
@pytest.mark.parametrize(
    ("server", "connected", "pause_seconds", "kind"),
    [*product(["alone"], [True, False], [0.0, 0.0005], ["get", "put", "take"]), *IN_A_CLUSTER],
    indirect=["server"],
)
def test_a_call_interrupted_at_any_line_never_swaps_answers(
    proxy: Proxy,
    checker: Checker,
    count: Callable[[int, int], int],
    kind: str,
    pause_seconds: float,
    connected: bool,
) -> None:
    step = count(41, 1)
    cancelled, line = 0, 1
    while True:
        proxy.pause_seconds = 0.0
        if connected:
            checker.call("get")
        else:
            cache._redis.cache_clear()
        proxy.pause_seconds = pause_seconds
        if not interrupt_at(line, lambda: checker.call(kind)):
            break
        cancelled += 1
        line += step
        for after in ("get", "take", "get", "take"):
            checker.call(after)
    print(f"cancelled {cancelled}, swapped {checker.swapped} ({checker.answered} answered)")
    assert checker.answered > cancelled > 10
    assert checker.swapped == 0


def test_after_a_failure_none_is_asked_for_a_while(
    connect: Connect, failures: list[str], valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(cache, "monotonic", lambda: now)
    connect(valkey.url)
    cache.put_many({"breaker": b"value"}, seconds=60)
    assert cache.get_many(["breaker", "missing"]) == [b"value", None]
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # accepts, and never answers
        connect(f"redis://127.0.0.1:{nobody.getsockname()[1]}/0")
        assert cache.get_many(["breaker"]) == [None]
    assert failures == ["cache.unavailable"]
    opened = cache._closed_from
    assert opened == now + cache._OPEN_SECONDS
    connect(valkey.url)
    monkeypatch.setattr(cache, "_closed_from", opened)
    now = opened - 0.01
    assert cache.get_many(["breaker"]) == [None]
    cache.put_many({"breaker": b"other"}, seconds=60)
    assert rates.take("breaker", limit=1) is None
    now = opened
    assert cache.get_many(["breaker"]) == [b"value"]
    assert rates.take("breaker", limit=1) is not None
    assert failures == ["cache.unavailable"]
