"""Transactions: what fails harms nothing that comes after it."""

from collections.abc import Callable
from typing import Any, LiteralString

import psycopg
import pytest

from minirag.runtime import db
from minirag.runtime.db import Connection, Tenant
from minirag.runtime.errors import Unavailable
from tests.tenants import TestTenant


def backend(tx: Connection) -> int:
    return tx.info.backend_pid


def works(tenant: Tenant) -> bool:
    for begin in (db.snapshot, db.transaction):
        with begin(tenant) as tx:
            assert tx.execute("SELECT 1").fetchone() == (1,)
    return True


@pytest.fixture
def mine(system: None, tenant: TestTenant) -> Tenant:  # noqa: ARG001
    return Tenant(workspace_id=tenant.workspace_id)


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction, db.batch])
def test_a_connection_that_the_server_ended_meanwhile_is_not_noticed(
    begin: Callable[[Tenant], Any], mine: Tenant, superuser: psycopg.Connection[Any]
) -> None:
    with begin(mine) as tx:
        pid = backend(tx)
    superuser.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with begin(mine) as tx:
        assert tx.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction, db.batch])
def test_a_connection_lost_within_a_transaction_is_said_and_the_next_one_works(
    begin: Callable[[Tenant], Any], mine: Tenant, superuser: psycopg.Connection[Any]
) -> None:
    def lose() -> None:
        with begin(mine) as tx:
            superuser.execute("SELECT pg_terminate_backend(%s, 5000)", (backend(tx),))
            tx.execute("SELECT 1").fetchone()

    with pytest.raises(Unavailable):
        lose()
    assert works(mine)


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction, db.batch])
@pytest.mark.parametrize("read", [True, False])
def test_a_statement_that_fails_raises_its_own_error_and_the_next_transaction_works(
    begin: Callable[[Tenant], Any], read: bool, mine: Tenant
) -> None:
    def divide() -> None:
        with begin(mine) as tx:
            cursor = tx.execute("SELECT 1 / (SELECT 0)")
            if read:
                cursor.fetchone()

    with pytest.raises(psycopg.errors.DivisionByZero):
        divide()
    assert works(mine)


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction, db.batch])
def test_what_raised_first_is_what_is_raised(begin: Callable[[Tenant], Any], mine: Tenant) -> None:
    def fail() -> None:
        with begin(mine) as tx:
            tx.execute("SELECT 1 / (SELECT 0)")
            raise KeyError("first")

    with pytest.raises((KeyError, psycopg.errors.DivisionByZero)) as raised:
        fail()
    # Without a pipeline the statement had failed before.
    assert raised.type is (psycopg.errors.DivisionByZero if begin is db.transaction else KeyError)
    assert works(mine)


_SHOW = "SELECT current_setting('synchronous_commit'), current_setting('app.workspace_id', true)"


def test_only_a_batch_leaves_its_commit_to_the_disk_and_neither_that_nor_its_tenant_outlives_it(mine: Tenant) -> None:
    with db.transaction(mine) as tx:
        # The server of the tests never waits for its disk.
        tx.execute("SET synchronous_commit = on")
    with db.batch(mine) as tx:
        assert tx.execute(_SHOW).fetchall() == [("off", str(mine.workspace_id))]
    with db.transaction(db.NOBODY) as tx:
        assert tx.execute(_SHOW).fetchall() == [("on", "")]
    db.close()


@pytest.mark.parametrize("failing", ["SELECT 1 / (SELECT 0)", None])
def test_of_a_batch_that_fails_nothing_has_happened(
    failing: LiteralString | None, mine: Tenant, superuser: psycopg.Connection[Any]
) -> None:
    def fail() -> None:
        with db.batch(mine) as tx:
            tx.execute("UPDATE workspaces SET name = 'changed' WHERE id = %s", (mine.workspace_id,))
            if failing is None:
                raise KeyError
            tx.execute(failing)

    with pytest.raises((KeyError, psycopg.errors.DivisionByZero)):
        fail()
    named = superuser.execute("SELECT name FROM workspaces WHERE id = %s", (mine.workspace_id,)).fetchone()
    assert named == ("Test",)
    with db.batch(mine) as tx:
        tx.execute("UPDATE workspaces SET name = 'changed' WHERE id = %s", (mine.workspace_id,))
    named = superuser.execute("SELECT name FROM workspaces WHERE id = %s", (mine.workspace_id,)).fetchone()
    assert named == ("changed",)
