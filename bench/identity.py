"""What it takes to know who calls: one round trip to the database, beside an empty one.

    python -m bench.identity

200 tenants, each with a key, a quota and members; a session and a key, with a question counted and without.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import psycopg

from local.postgres import temporary
from minirag.runtime import db, settings
from minirag.runtime.migrate import migrate
from minirag.tenancy import tokens
from minirag.tenancy.api_keys import hash_key
from minirag.tenancy.identity import Origin, identify
from minirag.tenancy.roles import READ
from tests import tenants

_TENANTS: Final = 200
_CALLS: Final = 3000
_ORIGIN: Final = Origin("bench", "127.0.0.1")
_QUOTA: Final = """
INSERT INTO workspace_quota_settings (workspace_id, request_limit_per_day, cost_limit_usd_a_month)
SELECT id, 1000000, 100 FROM workspaces
"""


def main() -> None:
    """Measure and print."""
    with temporary() as server:
        migrate(server.owner_url, server.app_password)
        os.environ["MINIRAG_DATABASE_URL"] = server.app_url
        settings.current.cache_clear()
        made = [tenants.make(server.superuser_url) for _ in range(_TENANTS)]
        with psycopg.connect(server.superuser_url) as connection:
            connection.execute(_QUOTA)
        now = datetime.now(UTC)
        keys = [hash_key(one.key) for one in made]
        sessions = [tokens.new_session(one.user_id, email="", role="user", epoch=0, now=now) for one in made]
        ways: dict[str, Callable[[int], object]] = {
            "an empty round trip": lambda _: db.look_up("SELECT 1 AS one", ()),
            "a key": lambda call: identify(keys[call % _TENANTS], READ, _ORIGIN),
            "a key, its question counted": lambda call: identify(keys[call % _TENANTS], READ, _ORIGIN, counted=True),
            "a session, its question counted": lambda call: identify(
                sessions[call % _TENANTS], READ, _ORIGIN, counted=True
            ),
        }
        print(f"{'who calls, ms':34} {'p50':>6} {'p95':>6}")
        for name, call in ways.items():
            took = sorted(_timed(call, number) for number in range(_CALLS))
            print(f"{name:34} {took[_CALLS // 2]:6.2f} {took[_CALLS * 95 // 100]:6.2f}")
        db.close()


def _timed(call: Callable[[int], object], number: int) -> float:
    started = time.perf_counter()
    call(number)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
