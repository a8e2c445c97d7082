"""Who calls is known after one round trip, whatever they call with."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from minirag.runtime import db, settings
from minirag.tenancy import tokens
from minirag.tenancy.api_keys import hash_key
from minirag.tenancy.identity import Caller, Origin, identify
from minirag.tenancy.roles import READ
from tests.fakes.distance import ROUND_TRIP, far
from tests.tenants import TestTenant

pytestmark = pytest.mark.usefixtures("far_database")

# Of a round trip: what a busy machine may add to the way without being taken for another one.
SLACK = 0.8


@pytest.fixture
def far_database(system: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: ARG001
    address = conninfo_to_dict(settings.current().database_url)
    with far(str(address["host"]), int(str(address["port"]))) as port:
        monkeypatch.setenv(
            "MINIRAG_DATABASE_URL", make_conninfo(settings.current().database_url, host="127.0.0.1", port=port)
        )
        settings.current.cache_clear()
        db.close()
        yield
        db.close()
    monkeypatch.undo()
    settings.current.cache_clear()


def round_trips(started: float) -> float:
    return (time.perf_counter() - started) / ROUND_TRIP


@pytest.mark.parametrize("kind", ["key", "session"])
def test_caller_workspace_billing_generation_and_quota_come_in_one_round_trip(
    kind: str, tenant: TestTenant, superuser: psycopg.Connection[tuple[object, ...]]
) -> None:
    session = tokens.new_session(tenant.user_id, email="", role="user", epoch=0, now=datetime.now(UTC))
    credential = hash_key(tenant.key) if kind == "key" else session
    superuser.execute(
        """INSERT INTO workspace_quota_settings (workspace_id, request_limit_per_day, cost_limit_usd_a_month)
           VALUES (%s, 10, 2.5)""",
        (tenant.workspace_id,),
    )
    superuser.execute("UPDATE workspaces SET generation = 3, sources_version = 5 WHERE id = %s", (tenant.workspace_id,))
    # Connecting, and preparing the statement, are done once.
    identify(credential, READ, Origin("test"), counted=True)
    started = time.perf_counter()
    caller = identify(credential, READ, Origin("test"), counted=True)
    took = round_trips(started)
    assert isinstance(caller, Caller)
    assert (caller.workspace_id, caller.billing_status) == (tenant.workspace_id, "active")
    assert (caller.generation, caller.sources_version, caller.cost_left) == (3, 5, Decimal("2.5"))
    counted = superuser.execute(
        "SELECT requests_count FROM workspace_usage_counters WHERE workspace_id = %s AND kind = 'questions'",
        (tenant.workspace_id,),
    ).fetchone()
    assert counted == (2,)
    assert 1 <= took < 1 + SLACK
    print(f"{took:.2f} round trips")


def test_a_transaction_waits_for_its_beginning_and_its_end_and_a_snapshot_for_its_end_alone() -> None:
    def transact() -> float:
        started = time.perf_counter()
        with db.transaction(db.NOBODY) as tx:
            tx.execute("SELECT 1").fetchone()
        return round_trips(started)

    def look() -> float:
        started = time.perf_counter()
        with db.snapshot(db.NOBODY) as tx:
            first, second = tx.execute("SELECT 1"), tx.execute("SELECT 2")
            assert (first.fetchone(), second.fetchone()) == ((1,), (2,))
        return round_trips(started)

    transact(), look()
    transaction, snapshot = transact(), look()
    assert 3 <= transaction < 3 + SLACK
    assert 2 <= snapshot < 2 + SLACK
    print(f"transaction {transaction:.2f}, snapshot {snapshot:.2f} round trips")
