"""A cache shared by all environments, in Redis or Valkey. Without it, or while it is down, nothing is found in it.

Redis may vanish at any moment, so no call waits for it long, none is repeated, and after a failure none is made for a
while: every request would wait for it else.
"""

import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha1, sha256
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from minirag.runtime import settings, telemetry

if TYPE_CHECKING:
    from redis import Redis

    # The client of the node that has a key.
    NodeOf: TypeAlias = Callable[[str], Redis]

_TIMEOUT_SECONDS: Final = 0.04
# After a failure, until the next try.
_OPEN_SECONDS: Final = 10.0

_closed_from = 0.0  # the breaker's: in the clock of `monotonic`


@cache
def _redis(url: str, *, cluster: bool = False) -> "NodeOf":
    import redis  # costs 100 ms of a cold start
    from redis.backoff import NoBackoff
    from redis.crc import key_slot
    from redis.maint_notifications import MaintNotificationsConfig
    from redis.retry import Retry

    def client(**address: str | int) -> "Redis":
        made = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            # The default repeats and sleeps for seconds.
            retry=Retry(NoBackoff(), 0),
            # With them, a server may lengthen the timeouts, and a connection with an unread reply is used again.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        made.connection_pool.connection_kwargs.update(address)
        return made

    alone = client()
    if not cluster:
        return lambda _: alone
    # redis.cluster would ask every node again after a failure, and repeat what was asked, for up to a second.
    nodes: dict[tuple[bytes | None, int], Redis] = {}
    slots: dict[int, Redis] = {}
    for first, last, (host, port, *_), *_ in alone.cluster("slots"):
        if (host, port) not in nodes:
            # A node that does not know its own host is where the one is that was asked.
            nodes[host, port] = client(port=port, **({"host": host.decode()} if host else {}))
        slots |= dict.fromkeys(range(first, last + 1), nodes[host, port])

    def node_of(key: str) -> "Redis":
        slot = key_slot(key.encode())
        if slot not in slots:
            raise redis.RedisError(f"No node of the cluster has the slot {slot}.")
        return slots[slot]

    return node_of


def key(*parts: object) -> str:
    """What stands for `parts` (JSON values and UUIDs) in a key, in 32 hexadecimal digits.

    HMAC-SHA256 under the epoch of the settings: after another one, nothing is found any more.
    """
    named = json.dumps(parts, default=str, sort_keys=True, separators=(",", ":"))
    return hmac.new(settings.current().cache_epoch.encode(), named.encode(), sha256).hexdigest()[:32]


def get_many(keys: Sequence[str]) -> list[bytes | None]:
    """What lies under each key; None for what does not, or cannot be had now."""

    def get(node_of: "NodeOf") -> list[bytes | None]:
        found: dict[str, bytes | None] = {}
        for node, its in _by_node(node_of, keys).items():
            # Each by itself, in one go: a cluster answers no command whose keys lie in different slots.
            pipeline = node.pipeline(transaction=False)
            for key in its:
                pipeline.get(key)
            found |= zip(its, pipeline.execute(), strict=True)
        return [found[key] for key in keys]

    return (_call(get) if keys else None) or [None] * len(keys)


def put_many(entries: Mapping[str, bytes], *, seconds: int) -> None:
    """Keep entries for so many seconds, if it can be done now."""

    def put(node_of: "NodeOf") -> None:
        for node, its in _by_node(node_of, entries).items():
            pipeline = node.pipeline(transaction=False)
            for key in its:
                pipeline.set(key, entries[key], ex=seconds)
            pipeline.execute()

    if entries:
        _call(put)


def run_script(script: str, keys: Sequence[str], arguments: Sequence[int | str | bytes]) -> Any:  # noqa: ANN401
    """What a Lua script answers that touches these keys, all of one slot; None if it cannot be had now."""

    def run(node_of: "NodeOf") -> Any:  # noqa: ANN401  what the script returns
        from redis.exceptions import NoScriptError

        redis = node_of(keys[0])
        try:
            return redis.evalsha(digest, len(keys), *keys, *arguments)
        except NoScriptError:  # the server is new, and keeps the script from now on
            return redis.eval(script, len(keys), *keys, *arguments)

    digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
    return _call(run)


def _by_node(node_of: "NodeOf", keys: Iterable[str]) -> "dict[Redis, list[str]]":
    found: dict[Redis, list[str]] = {}
    for key in keys:
        found.setdefault(node_of(key), []).append(key)
    return found


def _call(work: Any) -> Any:  # noqa: ANN401  what a command of Redis returns
    global _closed_from  # noqa: PLW0603  the one breaker of this process
    current = settings.current()
    if current.redis_url is None or monotonic() < _closed_from:
        return None
    from redis.exceptions import RedisError

    try:
        return work(_redis(current.redis_url, cluster=current.redis_cluster))
    except RedisError as error:
        # The next one asks anew which node has what.
        _redis.cache_clear()
        _closed_from = monotonic() + _OPEN_SECONDS
        telemetry.event("cache.unavailable", error_type=type(error).__name__)
        return None
    except BaseException:
        # Whoever is interrupted between a request and its reply leaves a connection whose next reply is not its own
        # in the pool. Others may be using the pool, so it is left to them, and the next call makes a new one.
        _redis.cache_clear()
        raise
