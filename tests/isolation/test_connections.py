"""Promise 3: nothing of one tenant's transaction is left on the connection for the next."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from minirag.runtime import db
from minirag.runtime.db import Connection, Tenant
from minirag.runtime.errors import Unavailable
from minirag.tenancy.api_keys import hash_key
from minirag.tenancy.identity import Caller, Origin, identify
from minirag.tenancy.roles import READ
from tests.isolation.attempts import Statement, of
from tests.isolation.catalog import Catalog, Table
from tests.isolation.conftest import Pair
from tests.tenants import TestTenant

CONNECTIONS: Final = 5
TENANTS: Final = 6
LEFT: Final = """
SELECT current_setting('app.workspace_id', true), current_setting('app.organization_id', true),
       current_setting('app.user_id', true), current_setting('app.operator', true)
"""
ADD_SOURCE: Final = "INSERT INTO sources (workspace_id, id, name, uri) VALUES (%s, %s, '', '')"


@pytest.fixture
def connections(system: None) -> Iterator[list[Connection | None]]:  # noqa: ARG001
    """Room for five connections, of which the process uses one at a time."""
    db.close()
    kept: list[Connection | None] = [None] * CONNECTIONS
    yield kept
    db._connection = None
    for one in kept:
        if one is not None:
            one.close()


class Traffic:
    """Transactions of all kinds for tenants in turn, and what each saw that was not its own."""

    def __init__(
        self,
        tables: list[Table],
        filled: Pair,
        tenants: list[TestTenant],
        superuser: psycopg.Connection[Any],
        dice: random.Random,
    ) -> None:
        self._tables = tables
        # Those with a row in every table stay as they are.
        self._readers = [*filled * 6, *tenants]
        self._tenants = tenants
        self._superuser = superuser
        self._dice = dice
        self._written: Counter[UUID] = Counter()
        self.foreign: list[str] = []
        self.own = 0

    def one(self) -> str:
        """One transaction, of a kind and for a tenant by chance; returns the kind."""
        kinds = [
            *[self.read, self.read_in_one_go, self.identified] * 2, self.nobody, self.failing, self.failing_unread,
            self.failing_look_up, self.given_up, self.written, self.written_for_other,
        ]  # fmt: skip
        kind = self.cut_off if self._dice.random() < 0.01 else self._dice.choice(kinds)
        reads = kind in {self.read, self.read_in_one_go}
        kind(self._dice.choice(self._readers if reads else self._tenants))
        return kind.__name__

    def read(self, tenant: TestTenant) -> None:
        with db.transaction(_everywhere(tenant)) as tx:
            for table in self._some():
                self._see(tx, table, tenant)

    def read_in_one_go(self, tenant: TestTenant) -> None:
        with db.snapshot(_everywhere(tenant)) as tx:
            asked = [(table, tx.execute(_counting(table, tenant))) for table in self._some()]
            for table, cursor in asked:
                self._count(table, cursor.fetchone())

    def identified(self, tenant: TestTenant) -> None:
        caller = identify(hash_key(tenant.key), READ, Origin("test"), counted=self._dice.random() < 0.5)
        assert isinstance(caller, Caller)
        if (caller.workspace_id, caller.user_id) != (tenant.workspace_id, tenant.user_id):
            self.foreign.append("another caller")

    def nobody(self, _: TestTenant) -> None:
        with self._dice.choice([db.transaction, db.snapshot])(db.NOBODY) as tx:
            self.see_nothing(tx)

    def failing(self, tenant: TestTenant) -> None:
        def fail() -> None:
            with db.transaction(_everywhere(tenant)) as tx:
                self._see(tx, self._dice.choice(self._tables), tenant)
                tx.execute("SELECT 1 / (SELECT 0)")

        with pytest.raises(psycopg.errors.DivisionByZero):
            fail()

    def failing_unread(self, tenant: TestTenant) -> None:
        def fail() -> None:
            with db.snapshot(_everywhere(tenant)) as tx:
                tx.execute("SELECT 1 / (SELECT 0)")
                tx.execute("SELECT 1")

        with pytest.raises(psycopg.errors.DivisionByZero):
            fail()

    def failing_look_up(self, _: TestTenant) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            db.look_up("SELECT set_config('app.workspace_id', %s, true), 1 / (SELECT 0)", (str(uuid4()),))

    def given_up(self, tenant: TestTenant) -> None:
        begin = self._dice.choice([db.transaction, db.snapshot])
        with suppress(KeyError), begin(_everywhere(tenant)) as tx:
            tx.execute(ADD_SOURCE, (tenant.workspace_id, uuid4()))
            raise KeyError

    def written(self, tenant: TestTenant) -> None:
        self._written[tenant.workspace_id] += 1
        with db.transaction(_everywhere(tenant)) as tx:
            tx.execute(ADD_SOURCE, (tenant.workspace_id, uuid4()))

    def written_for_other(self, tenant: TestTenant) -> None:
        other = self._dice.choice([one for one in self._tenants if one is not tenant])
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction(_everywhere(tenant)) as tx:
            tx.execute(ADD_SOURCE, (other.workspace_id, uuid4()))

    def cut_off(self, tenant: TestTenant) -> None:
        def lose() -> None:
            with db.transaction(_everywhere(tenant)) as tx:
                self._superuser.execute("SELECT pg_terminate_backend(%s, 5000)", (tx.info.backend_pid,))
                tx.execute("SELECT 1")

        with pytest.raises(Unavailable):
            lose()

    def see_nothing(self, tx: Connection) -> None:
        """Count as foreign whatever a transaction without a tenant sees."""
        for table in self._some():
            row = tx.execute(sql.SQL("SELECT count(*) FROM {}").format(table.quoted)).fetchone()
            if row != (0,):
                self.foreign.append(f"{table.name}: {row}, as nobody")

    def missing(self) -> list[UUID]:
        """Tenants whose committed rows are not just those that were written as them."""
        counts: dict[UUID, int] = dict(
            self._superuser.execute(
                "SELECT workspace_id, count(*) FROM sources WHERE workspace_id = ANY(%s) AND name = '' GROUP BY 1",
                ([tenant.workspace_id for tenant in self._tenants],),
            ).fetchall()
        )
        return [one for one in {*counts, *self._written} if counts.get(one, 0) != self._written[one]]

    def _some(self) -> list[Table]:
        return self._dice.sample(self._tables, 3)

    def _see(self, tx: Connection, table: Table, tenant: TestTenant) -> None:
        self._count(table, tx.execute(_counting(table, tenant)).fetchone())

    def _count(self, table: Table, row: tuple[Any, ...] | None) -> None:
        assert row is not None
        self.own += row[0]
        if row[1]:
            self.foreign.append(f"{table.name}: {row[1]}")


def _everywhere(tenant: TestTenant) -> Tenant:
    return Tenant(tenant.workspace_id, tenant.organization_id, tenant.user_id)


def _counting(table: Table, tenant: TestTenant) -> Statement:
    """How many rows are seen that are the tenant's, and how many that are not."""
    statement = sql.SQL("SELECT count(*) FILTER (WHERE {0}), count(*) FILTER (WHERE ({0}) IS NOT TRUE) FROM {1}")
    return statement.format(of(table, tenant), table.quoted)


def test_mixed_tenants_on_shared_connections_see_only_their_own_rows(
    catalog: Catalog,
    pair: Pair,
    make_tenant: Callable[[], TestTenant],
    connections: list[Connection | None],
    superuser: psycopg.Connection[Any],
    count: Callable[[int, int], int],
) -> None:
    tables = [table for table in catalog.tables.values() if table.readable and table.owner]
    dice = random.Random(3)
    tenants = [make_tenant() for _ in range(TENANTS)]
    traffic = Traffic(tables, pair, tenants, superuser, dice)
    rounds, kinds = count(500, 10_000), Counter[str]()
    for _ in range(rounds):
        slot = dice.randrange(CONNECTIONS)
        db._connection = connections[slot]
        kinds[traffic.one()] += 1
        connections[slot] = db._connection
    left = 0
    for slot in range(CONNECTIONS):
        # One that the server has cut off last is opened again, as the next transaction would.
        db._connection = connections[slot]
        used = connections[slot] = db._open()
        settings = used.execute(LEFT).fetchone()
        assert settings is not None
        left += sum(bool(value) for value in settings)
        for _ in range(5):
            traffic.see_nothing(used)
        used.rollback()
    print(f"{rounds} transactions {dict(kinds)}: {traffic.own} own rows, {len(traffic.foreign)} foreign, {left} left")
    assert traffic.foreign == []
    assert left == 0
    assert traffic.missing() == []
    assert traffic.own > rounds / 2
    assert len(kinds) >= 11
