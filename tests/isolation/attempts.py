"""Statements of the application's role, tried as a tenant and rolled back."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.isolation.catalog import APP, Column, Table
from tests.isolation.filling import ids
from tests.tenants import TestTenant

Connection = psycopg.Connection[Any]
Statement = sql.SQL | sql.Composed
Row = Mapping[str, str | None]
Outcome = int | str
"""How many rows a statement reached, or what refused it: `permission`, `policy`, or the name of an error."""

_SETTINGS: Final = """
SELECT set_config('app.workspace_id', %s, true), set_config('app.organization_id', %s, true),
       set_config('app.user_id', %s, true)
"""


def attempt(app: Connection, tenant: TestTenant | None, *statements: Statement) -> Outcome:
    """What becomes of the last of the statements, in a transaction for `tenant` that is rolled back."""
    return _outcome(app, tenant, statements)


def put_back(superuser: Connection, tenant: TestTenant, table: Table, row: Row, at: str) -> Outcome:
    """Take a tenant's row out, and put `row` in its place as the application would; rolled back."""
    before = (
        # Rows that refer to it do not mind meanwhile; those that it refers to are checked again.
        sql.SQL("SET LOCAL session_replication_role = replica"),
        sql.SQL("DELETE FROM {} WHERE ctid = {}").format(table.quoted, sql.Literal(at)),
        sql.SQL("SET LOCAL session_replication_role = origin"),
        sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(APP)),
    )
    return _outcome(superuser, tenant, (insert(table, row),), before)


def _outcome(
    connection: Connection,
    tenant: TestTenant | None,
    statements: Sequence[Statement],
    before: Sequence[Statement] = (),
) -> Outcome:
    try:
        with connection.transaction(force_rollback=True):
            for statement in before:
                connection.execute(statement)
            connection.execute(_SETTINGS, ids(tenant) if tenant else [""] * 3)
            reached = 0
            for statement in statements:
                reached = connection.execute(statement).rowcount
            return reached
    except psycopg.errors.InsufficientPrivilege as error:
        return "policy" if "row-level security" in str(error) else "permission"
    except psycopg.Error as error:
        return type(error).__name__


def of(table: Table, tenant: TestTenant) -> Statement:
    """The condition that a row is the tenant's."""
    return sql.SQL("{} = ANY({}::uuid[])").format(table.whose, sql.Literal(ids(tenant)))


def select(table: Table, where: Statement) -> Statement:
    columns = [column for column in table.columns if column.readable] or table.columns[:1]
    return sql.SQL("SELECT {} FROM {} WHERE {}").format(_names(columns), table.quoted, where)


def update(table: Table, where: Statement) -> Statement:
    """Every column that may be changed, to what it is."""
    changed = [sql.Identifier(column.name) for column in table.changeable or table.columns[-1:]]
    assignments = sql.SQL(", ").join(sql.SQL("{} = {}").format(one, one) for one in changed)
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(table.quoted, assignments, where)


def reassign(table: Table, values: Row, where: Statement) -> Statement:
    """Other values in the columns named."""
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in values.items()
    )
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(table.quoted, assignments, where)


def delete(table: Table, where: Statement) -> Statement:
    return sql.SQL("DELETE FROM {} WHERE {}").format(table.quoted, where)


def insert(table: Table, row: Row) -> Statement:
    columns = table.insertable or tuple(column for column in table.columns if not column.generated)
    values = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Literal(row[column.name]), sql.SQL(column.type)) for column in columns
    )
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(table.quoted, _names(columns), values)


def rows(superuser: Connection, table: Table, where: Statement) -> list[tuple[str, Row]]:
    """Rows as they are, each with where it lies: every value as text, as the superuser sees them."""
    names = [column.name for column in table.columns]
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
    # A key that is tied to a workspace before one that is not.
    order = sql.Identifier(table.owner) if table.owner else sql.SQL("ctid")
    statement = sql.SQL("SELECT ctid::text, {} FROM {} WHERE {} ORDER BY {}")
    found = superuser.execute(statement.format(texts, table.quoted, where, order))
    return [(str(at), dict(zip(names, values, strict=True))) for at, *values in found.fetchall()]


def fresh(table: Table, row: Row, keys: set[str]) -> Row:
    """The row with new values in `keys`, so that it repeats no other."""
    return {
        **row, **{column.name: _new(column) for column in table.columns if column.name in keys and row[column.name]},
    }  # fmt: skip


def _new(column: Column) -> str:
    match column.type:
        case "uuid":
            return str(uuid4())
        case "bytea":
            return f"\\x{random.randbytes(32).hex()}"
        case "smallint" | "integer" | "bigint":
            return str(random.randrange(10_000, 32_000))
        case "date":
            return f"{random.randrange(1000, 1999)}-01-01"
        case "text":
            return uuid4().hex
    raise AssertionError(f"{column.name} is a key of type {column.type}, for which no new value is known")


def _names(columns: Sequence[Column]) -> Statement:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
