"""A cache shared by all environments, in Redis or Valkey. Without it, or while it is down, nothing is found in it.

Redis may vanish at any moment, so no call waits for it long, none is repeated, and after a failure none is made for a
while: every request would wait for it else.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha1, sha256
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from minirag.runtime import settings, telemetry

if TYPE_CHECKING:
    from redis import Redis

_TIMEOUT_SECONDS: Final = 0.04
# After a failure, until the next try.
_OPEN_SECONDS: Final = 10.0

_closed_from = 0.0  # the breaker's: in the clock of `monotonic`


@cache
def _redis(url: str) -> "Redis":
    import redis  # costs 100 ms of a cold start
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig
    from redis.retry import Retry

    return redis.Redis.from_url(
        url,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        # The default repeats and sleeps for seconds.
        retry=Retry(NoBackoff(), 0),
        # With them, a server may lengthen the timeouts, and a connection with an unread reply is used again.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


def key(*parts: object) -> str:
    """What stands for `parts` (JSON values and UUIDs) in a key, in 32 hexadecimal digits.

    HMAC-SHA256 under the epoch of the settings: after another one, nothing is found any more.
    """
    named = json.dumps(parts, default=str, sort_keys=True, separators=(",", ":"))
    return hmac.new(settings.current().cache_epoch.encode(), named.encode(), sha256).hexdigest()[:32]


def get_many(keys: Sequence[str]) -> list[bytes | None]:
    """What lies under each key; None for what does not, or cannot be had now."""

    def get(redis: "Redis") -> list[bytes | None]:
        # Each by itself, in one go: a cluster answers no command whose keys lie in different slots.
        pipeline = redis.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
        found: list[bytes | None] = pipeline.execute()
        return found

    return (_call(get) if keys else None) or [None] * len(keys)


def put_many(entries: Mapping[str, bytes], *, seconds: int) -> None:
    """Keep entries for so many seconds, if it can be done now."""

    def put(redis: "Redis") -> None:
        pipeline = redis.pipeline(transaction=False)
        for key, value in entries.items():
            pipeline.set(key, value, ex=seconds)
        pipeline.execute()

    if entries:
        _call(put)


def run_script(script: str, key: str, arguments: Sequence[int]) -> Any:  # noqa: ANN401  what the script returns
    """What a Lua script answers that touches this one key; None if it cannot be had now."""

    def run(redis: "Redis") -> Any:  # noqa: ANN401
        from redis.exceptions import NoScriptError

        try:
            return redis.evalsha(digest, 1, key, *arguments)
        except NoScriptError:  # the server is new, and keeps the script from now on
            return redis.eval(script, 1, key, *arguments)

    digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
    return _call(run)


def _call(work: Any) -> Any:  # noqa: ANN401  what a command of Redis returns
    global _closed_from  # noqa: PLW0603  the one breaker of this process
    url = settings.current().redis_url
    if url is None or monotonic() < _closed_from:
        return None
    from redis.exceptions import RedisError

    try:
        return work(_redis(url))
    except RedisError as error:
        _closed_from = monotonic() + _OPEN_SECONDS
        telemetry.event("cache.unavailable", error_type=type(error).__name__)
        return None
    except BaseException:
        # Whoever is interrupted between a request and its reply leaves a connection whose next reply is not its own
        # in the pool. Others may be using the pool, so it is left to them, and the next call makes a new one.
        _redis.cache_clear()
        raise
