"""Redis, as the tests of what is built on it use it."""

from collections.abc import Iterator
from typing import Final, Protocol

import pytest

from minirag.runtime import cache, settings
from minirag.runtime.settings import Settings

_PATIENT_SECONDS: Final = 10.0


class Connect(Protocol):
    """Make this process use another Redis, or none, as if it had just started."""

    def __call__(self, url: str | None, *, cluster: bool = False) -> None: ...


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    def run(url: str | None, *, cluster: bool = False) -> None:
        current = Settings(database_url="", redis_url=url, redis_cluster=cluster)
        monkeypatch.setattr(settings, "current", lambda: current)
        monkeypatch.setattr(cache, "_closed_from", 0.0)
        cache._redis.cache_clear()

    yield run
    cache._redis.cache_clear()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a Redis that is there may not answer in time."""
    monkeypatch.setattr(cache, "_TIMEOUT_SECONDS", _PATIENT_SECONDS)
