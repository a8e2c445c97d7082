"""The embedded Valkey."""

from pathlib import Path

import pytest
import redis

from local.valkey import Valkey


def test_valkey_answers_with_its_password_only_and_shows_it_to_no_process_list(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.set("key", "value")
            assert client.get("key") == b"value"
        password = server.url.split(":")[2].split("@")[0]
        without = server.url.replace(f":{password}@", "")
        with redis.Redis.from_url(without) as anonymous, pytest.raises(redis.AuthenticationError):
            anonymous.get("key")
        assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
