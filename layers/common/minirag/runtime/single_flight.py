"""Single flight: what many ask for at once is done once, across all environments, and kept for those who come later.

Whoever comes first leads: it holds a lock with a token for as long as it shows that it lives. The others look for its
result, from every 10 to every 200 ms, until their own time is up; of a leader that died, one of them takes the place
once the lease is over. All keys of a flight share a hash tag, and so a slot of a cluster. Without Redis, or while it is
down, everybody works alone.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import uniform
from time import monotonic, sleep
from typing import Final, Literal
from uuid import uuid4

from minirag.runtime import cache, telemetry
from minirag.runtime.errors import MiniRagError, OutOfTime, Unavailable, pack, unpack

Cached = Literal["hit", "miss", "shared"]

_LEASE_MS: Final = 6000
_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 0.2
_ERROR_MS: Final = 500
# How many threads of one process work at once while nobody can lead.
_AT_ONCE: Final = 4

# The result, how it failed, the lock: what is there, else the lock if it is free.
_JOIN: Final = """
local result = redis.call('GET', KEYS[1])
if result then return {'result', result} end
local failure = redis.call('GET', KEYS[2])
if failure then return {'failure', failure} end
if redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'lead'} end
return {'wait'}
"""
_PROLONG: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
# Only whoever holds the lock publishes, and frees it in the same step.
_PUBLISH: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return redis.call('DEL', KEYS[2])
"""
_FREE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
_FORGET: Final = "return redis.call('DEL', KEYS[1])"

_alone: Final = threading.BoundedSemaphore(_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Done:
    """What work came to, and for how many seconds others may have it."""

    value: bytes
    seconds: int


@dataclass(frozen=True, slots=True)
class _Keys:
    result: str
    failure: str
    lock: str


def once(kind: str, tag: str, work: Callable[[], Done], *, seconds: float) -> tuple[bytes, Cached]:
    """What `work` comes to for `tag`: kept from before (hit), done now (miss), or by another meanwhile (shared).

    Waits for another no longer than `seconds`; raises OutOfTime then, what `work` raises, or what it raised a moment
    ago in the process that led.
    """
    keys = _Keys(f"{kind}:{{{tag}}}", f"{kind}:{{{tag}}}:failure", f"{kind}:{{{tag}}}:lock")
    token = uuid4().hex
    deadline = monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    waited = False
    while True:
        joined = cache.run_script(_JOIN, (keys.result, keys.failure, keys.lock), (token, _LEASE_MS))
        if joined is None:
            return _by_itself(work, deadline), "miss"
        state = joined[0]
        if state == b"result":
            return joined[1], "shared" if waited else "hit"
        if state == b"failure":
            raise unpack(joined[1])
        if state == b"lead":
            return _lead(keys, token, work), "miss"
        left = deadline - monotonic()
        if left <= 0:
            raise OutOfTime("The same question is being answered, and was not in time; ask again in a few seconds.")
        waited = True
        sleep(min(left, uniform(pause / 2, pause)))  # noqa: S311  so that not all look at once
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def forget(kind: str, tag: str) -> None:
    """Have `once` do it anew: what is kept for `tag` is no good."""
    cache.run_script(_FORGET, (f"{kind}:{{{tag}}}",), ())


def _lead(keys: _Keys, token: str, work: Callable[[], Done]) -> bytes:
    try:
        with _heartbeat(keys.lock, token):
            done = work()
    except OutOfTime:
        # The others may have more time.
        cache.run_script(_FREE, (keys.lock,), (token,))
        raise
    except MiniRagError as error:
        cache.run_script(_PUBLISH, (keys.failure, keys.lock), (token, pack(error), _ERROR_MS))
        raise
    except BaseException:
        cache.run_script(_FREE, (keys.lock,), (token,))
        raise
    if cache.run_script(_PUBLISH, (keys.result, keys.lock), (token, done.value, 1000 * done.seconds)) == 0:
        telemetry.event("flight.lease_lost")
    return done.value


@contextmanager
def _heartbeat(lock: str, token: str) -> Iterator[None]:
    """Hold the lock as long as the block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(_LEASE_MS / 3000):
            cache.run_script(_PROLONG, (lock,), (token, _LEASE_MS))

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _by_itself(work: Callable[[], Done], deadline: float) -> bytes:
    """Do it without anybody knowing, but not in too many threads: that Redis is gone must not become a stampede."""
    if not _alone.acquire(timeout=max(0.0, deadline - monotonic())):
        raise Unavailable("Too many questions are being answered at once; try again in a few seconds.")
    try:
        return work().value
    finally:
        _alone.release()
