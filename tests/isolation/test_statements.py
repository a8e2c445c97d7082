"""Promise 2: no statement of the application reaches another tenant's row, for every table there is."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from local.postgres import Postgres
from tests.isolation.attempts import (
    Outcome,
    Row,
    Statement,
    attempt,
    delete,
    fresh,
    insert,
    of,
    put_back,
    reassign,
    rows,
    select,
    update,
)
from tests.isolation.catalog import Catalog, ForeignKey, Table
from tests.isolation.conftest import Pair
from tests.isolation.filling import ids
from tests.tenants import TestTenant

Connection = psycopg.Connection[Any]

# Who wrote something, which gives nobody a right: a person may belong to many tenants.
NAMES_A_PERSON: Final = {("chunks", "user_id"), ("sources", "user_id"), ("invitations", "invited_by")}


@pytest.fixture
def app(postgres: Postgres) -> Iterator[Connection]:
    """A connection as the application's role."""
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        yield connection


def test_both_tenants_have_a_row_in_every_table(catalog: Catalog, pair: Pair, superuser: Connection) -> None:
    empty = []
    for table in catalog.tables.values():
        for tenant in pair:
            # Of nobody's rows, any will do.
            where = of(table, tenant) if table.owner else sql.SQL("true")
            if not rows(superuser, table, where):
                empty.append(table.name)
    assert empty == []


def _expected(table: Table, command: str, mine: int) -> Outcome:
    """What a statement of a tenant comes to among `mine` rows of its own."""
    granted = {
        "select": table.readable, "insert": bool(table.insertable),
        "update": bool(table.changeable), "delete": table.deletable,
    }  # fmt: skip
    return mine if granted[command] else "permission"


def test_no_statement_reaches_another_tenants_row_and_every_granted_one_reaches_its_own(
    catalog: Catalog, pair: Pair, superuser: Connection, app: Connection
) -> None:
    tried: Counter[str] = Counter()
    leaks: list[str] = []
    for table in catalog.tables.values():
        for mine, other in (pair, pair[::-1]):
            where = of(table, mine) if table.owner else sql.SQL("true")
            count = len(rows(superuser, table, where))
            for command, statements in {
                "select": [select(table, where)],
                "update": [update(table, where)],
                "delete": list(_deletions(catalog, table, mine)),
            }.items():
                wanted = _expected(table, command, count)
                for who, tenant in (("own", mine), ("other", other), ("none", None)):
                    reached = attempt(app, tenant, *(statements if who == "own" else statements[-1:]))
                    tried[f"{command} {who}"] += 1
                    if reached != (wanted if who == "own" or wanted == "permission" else 0):
                        leaks.append(f"{command} of {table.name} as {who}: {reached}, not {wanted}")
    print(f"{len(catalog.tables)} tables, {tried.total()} statements, {len(leaks)} leaks")
    assert leaks == []
    assert set(tried.values()) == {2 * len(catalog.tables)}


def _deletions(catalog: Catalog, table: Table, tenant: TestTenant) -> Iterator[Statement]:
    """Delete the tenant's rows; first those that refer to them."""
    if table.deletable:
        for key in catalog.foreign_keys:
            if key.parent == table.name and key.child != table.name:
                yield from _deletions(catalog, catalog.tables[key.child], tenant)
    yield delete(table, of(table, tenant) if table.owner else sql.SQL("true"))


def test_a_tenant_sees_nothing_but_its_own_where_a_statement_names_nobody(
    catalog: Catalog, pair: Pair, app: Connection
) -> None:
    everything = sql.SQL("true")
    for table in catalog.tables.values():
        if not table.owner or not table.readable:
            continue
        for tenant in pair:
            seen = attempt(app, tenant, select(table, everything))
            assert seen == attempt(app, tenant, select(table, of(table, tenant))), table.name
            if table.changeable:
                assert seen == attempt(app, tenant, update(table, everything)), table.name
        assert attempt(app, None, select(table, everything)) == 0, table.name


def test_no_row_is_written_for_another_tenant(
    catalog: Catalog, pair: Pair, superuser: Connection, app: Connection
) -> None:
    tried: Counter[str] = Counter()
    leaks: list[str] = []
    for table in catalog.tables.values():
        for mine, other in (pair, pair[::-1]):
            at, row = rows(superuser, table, of(table, mine) if table.owner else sql.SQL("true"))[0]
            keys = catalog.keys_of(table)
            copies = [row, fresh(table, row, keys)]
            if table.owner == "id":
                copies.append(fresh(table, row, keys | {"id"}))
            granted = _expected(table, "insert", 1) == 1
            for who, tenant in (("other", other), ("none", None)):
                for copy in copies:
                    refused = attempt(app, tenant, insert(table, copy))
                    tried[who] += 1
                    if refused != ("policy" if granted else "permission"):
                        leaks.append(f"insert into {table.name} as {who}: {refused}")
            again = put_back(superuser, mine, table, row, at)
            tried["own"] += 1
            if again != (1 if granted else "permission"):
                leaks.append(f"insert into {table.name} as own: {again}")
            if table.owner:
                # Giving a row away, or taking one over.
                given = reassign(table, {table.owner: _same_kind(row[table.owner], mine, other)}, of(table, mine))
                tried["given away"] += 1
                if (refused := attempt(app, mine, given)) not in {"policy", "permission"}:
                    leaks.append(f"a row of {table.name} given away: {refused}")
    print(f"{len(catalog.tables)} tables, {tried.total()} rows, {len(leaks)} leaks")
    assert leaks == []


def _same_kind(value: str | None, mine: TestTenant, other: TestTenant) -> str:
    return dict(zip(ids(mine), ids(other), strict=True))[str(value)]


def test_no_row_refers_to_another_tenants_row(
    catalog: Catalog, pair: Pair, superuser: Connection, app: Connection
) -> None:
    tried, leaks = 0, []
    for key in catalog.foreign_keys:
        if (key.child, key.columns[0]) in NAMES_A_PERSON:
            continue
        table, parent = catalog.tables[key.child], catalog.tables[key.parent]
        for mine, other in (pair, pair[::-1]):
            at, row = rows(superuser, table, of(table, mine))[0]
            _, theirs = rows(superuser, parent, of(parent, other))[0]
            for changed in _mixed(key, table, row, theirs):
                outcomes = {"insert": put_back(superuser, mine, table, {**row, **changed}, at)}
                if {*changed} <= {column.name for column in table.changeable}:
                    where = sql.SQL("ctid = {}::tid").format(sql.Literal(at))
                    outcomes["update"] = attempt(app, mine, reassign(table, changed, where))
                for command, outcome in outcomes.items():
                    tried += 1
                    if outcome not in {"policy", "permission", "ForeignKeyViolation"}:
                        leaks.append(f"{command} of {key.child} with the other's {', '.join(changed)}: {outcome}")
    print(f"{len(catalog.foreign_keys) - len(NAMES_A_PERSON)} foreign keys, {tried} attempts, {len(leaks)} leaks")
    assert leaks == []


def _mixed(key: ForeignKey, table: Table, row: Row, theirs: Row) -> Iterator[dict[str, str | None]]:
    """What to change of a row so that it refers to another tenant's: all at once, and each column alone."""
    named = {column: theirs[of_parent] for column, of_parent in zip(key.columns, key.parent_columns, strict=True)}
    if len(named) > 1:
        named.pop(str(table.owner), None)
    yield named
    if len(named) > 1:
        for column, value in named.items():
            if value != row[column]:
                yield {column: value}
