"""Transactions: what fails harms nothing that comes after it."""

from collections.abc import Callable
from typing import Any

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


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction])
def test_a_connection_that_the_server_ended_meanwhile_is_not_noticed(
    begin: Callable[[Tenant], Any], mine: Tenant, superuser: psycopg.Connection[Any]
) -> None:
    with begin(mine) as tx:
        pid = backend(tx)
    superuser.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with begin(mine) as tx:
        assert tx.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction])
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


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction])
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


@pytest.mark.parametrize("begin", [db.snapshot, db.transaction])
def test_what_raised_first_is_what_is_raised(begin: Callable[[Tenant], Any], mine: Tenant) -> None:
    def fail() -> None:
        with begin(mine) as tx:
            tx.execute("SELECT 1 / (SELECT 0)")
            raise KeyError("first")

    with pytest.raises((KeyError, psycopg.errors.DivisionByZero)) as raised:
        fail()
    # Without a pipeline the statement had failed before.
    assert raised.type is (KeyError if begin is db.snapshot else psycopg.errors.DivisionByZero)
    assert works(mine)
