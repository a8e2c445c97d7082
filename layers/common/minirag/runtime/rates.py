"""How often something may be done: token buckets in Redis or Valkey, shared by all environments.

A full bucket holds `limit` tokens, whoever takes one needs it back only by and by: one after each interval, all of
them after the window. Nobody is held up by a Redis that does not answer.
"""

from dataclasses import dataclass
from typing import Final

from minirag.runtime import cache

_MICROSECONDS: Final = 1_000_000

# All that is kept of a bucket is the moment at which it will be full again, in microseconds by Redis's own clock, and
# no longer than until then. Time is counted instead of tokens, as whole numbers: nothing is lost by rounding.
_TAKE: Final = """
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
-- More is missing than there can be if the limit was changed, or the clock put back.
local missing = math.min(math.max(full_at - now, 0), capacity)
local allowed = missing + interval <= capacity
if allowed then missing = missing + interval end
redis.call('SET', KEYS[1], string.format('%.0f', now + missing), 'PX', math.ceil(missing / 1000))
return {allowed and 1 or 0, missing}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether one more was allowed, and what is left."""

    allowed: bool
    limit: int  # tokens that a full bucket holds
    window_seconds: int
    remaining: int  # whole tokens
    reset_seconds: int  # until the bucket is full again, rounded up
    retry_after: int  # seconds until there is a token, at least 1; 0 if allowed


def take(bucket: str, *, limit: int, window_seconds: int = 60) -> Allowance | None:
    """Take a token, if there is one; None if there is no Redis, or it does not answer now."""
    if limit <= 0:
        return Allowance(
            allowed=False,
            limit=0,
            window_seconds=window_seconds,
            remaining=0,
            reset_seconds=window_seconds,
            retry_after=window_seconds,
        )
    interval = max(1, window_seconds * _MICROSECONDS // limit)
    capacity = interval * limit
    answer = cache.run_script(_TAKE, [f"rate:{bucket}"], (interval, capacity))
    if answer is None:
        return None
    allowed, missing = answer
    return Allowance(
        allowed=bool(allowed),
        limit=limit,
        window_seconds=window_seconds,
        remaining=(capacity - missing) // interval,
        reset_seconds=_seconds(missing),
        retry_after=0 if allowed else _seconds(missing + interval - capacity),
    )


def _seconds(microseconds: int) -> int:
    return -(-microseconds // _MICROSECONDS)
