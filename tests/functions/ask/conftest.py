"""A cache, and models, for the tests of asking; without these they run without any."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from local.valkey import Valkey
from minirag.knowledge import sdk
from minirag.runtime import cache, settings
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import OpenAIServer

Vendor = TypeVar("Vendor", OpenAIServer, AnthropicServer)


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


@contextmanager
def _asked(name: str, server: Vendor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """The vendor `name` is this server, until all that the test has set is as before."""
    with server:
        monkeypatch.setenv(f"{name}_API_KEY", server.key)
        monkeypatch.setenv(f"{name}_BASE_URL", server.url)
        settings.current.cache_clear()
        yield server
    monkeypatch.undo()
    settings.current.cache_clear()


@pytest.fixture
def openai(system: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:  # noqa: ARG001
    with _asked("OPENAI", OpenAIServer(), monkeypatch) as server:
        yield server


@pytest.fixture
def anthropic(system: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnthropicServer]:  # noqa: ARG001
    with _asked("ANTHROPIC", AnthropicServer(), monkeypatch) as server:
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between attempts."""
    monkeypatch.setattr(sdk, "_PAUSE", 0.02)
