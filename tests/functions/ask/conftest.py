"""A cache for the tests of asking; without it they run without one."""

from collections.abc import Iterator

import pytest

from local.valkey import Valkey
from minirag.runtime import cache, settings


@pytest.fixture
def caching(system: None, valkey: Valkey) -> Iterator[pytest.MonkeyPatch]:  # noqa: ARG001
    """Let this process use the Valkey of this session, as if it had just started; for more settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIRAG_REDIS_URL", valkey.url)
        patch.setenv("MINIRAG_ASK_PER_MINUTE", "1000000")
        patch.setattr(cache, "_TIMEOUT_SECONDS", 10.0)
        patch.setattr(cache, "_closed_from", 0.0)
        cache._redis.cache_clear()
        settings.current.cache_clear()
        yield patch
    cache._redis.cache_clear()
    settings.current.cache_clear()
