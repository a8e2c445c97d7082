"""The schema as the database's own catalog tells it: what the tests of isolation are made from."""

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

APP: Final = "minirag_app"

_TABLES: Final = """
SELECT c.relname AS name, split_part(obj_description(c.oid, 'pg_class'), 'scope: ', 2) AS scope,
       c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, pg_get_userbyid(c.relowner) AS owned_by
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY c.relname
"""
_COLUMNS: Final = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attidentity <> '' AS generated,
       has_column_privilege('minirag_app', a.attrelid, a.attnum, 'SELECT') AS readable,
       has_column_privilege('minirag_app', a.attrelid, a.attnum, 'INSERT') AS insertable,
       has_column_privilege('minirag_app', a.attrelid, a.attnum, 'UPDATE') AS changeable
FROM pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_FOREIGN_KEYS: Final = """
SELECT f.conname AS name, f.conrelid::regclass::text AS child, f.confrelid::regclass::text AS parent,
       ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(at, n)
             JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.at ORDER BY k.n) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(at, n)
             JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.at ORDER BY k.n) AS parent_columns
FROM pg_constraint f
WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace
ORDER BY child, name
"""
_UNIQUE: Final = """
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS table,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) AS n) AS columns,
       i.indisprimary AND i.indnkeyatts = 1 AND format_type(a.atttypid, a.atttypmod) = 'uuid' AS random
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what the application may do with it."""

    name: str
    type: str
    generated: bool
    readable: bool
    insertable: bool
    changeable: bool


@dataclass(frozen=True, slots=True)
class ForeignKey:
    name: str
    child: str
    parent: str
    columns: list[str]
    parent_columns: list[str]


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique index; `random`: it is that of a primary key which is one uuid."""

    name: str
    table: str
    columns: list[str]
    random: bool


@dataclass(frozen=True, slots=True)
class _Protection:
    name: str
    scope: str
    enabled: bool
    forced: bool
    owned_by: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of tenants' rows.

    `owner`: the column that says whose a row is, by the id of a workspace, an organization or a user; None where rows
    are nobody's.
    """

    name: str
    scope: str
    protected: bool
    owned_by: str
    columns: tuple[Column, ...]
    deletable: bool
    owner: str | None

    @property
    def quoted(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    @property
    def whose(self) -> sql.SQL | sql.Identifier:
        """Whose a row is, as an expression."""
        assert self.owner is not None
        # A key that is tied to no workspace is its user's.
        if self.name == "api_keys":
            return sql.SQL("coalesce(workspace_id, user_id)")
        return sql.Identifier(self.owner)

    @property
    def readable(self) -> bool:
        return any(column.readable for column in self.columns)

    @property
    def insertable(self) -> tuple[Column, ...]:
        """What an INSERT of the application names: an id that the database counts up is not in it."""
        return tuple(column for column in self.columns if column.insertable and not column.generated)

    @property
    def changeable(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.changeable)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All of it; `tables` are those of tenants' rows, which is all but the list of migrations."""

    tables: dict[str, Table]
    foreign_keys: tuple[ForeignKey, ...]
    unique: tuple[Unique, ...]

    def keys_of(self, table: Table) -> set[str]:
        """Columns that make a row unique and do not say whose it is or what it belongs to."""
        bound = {column for key in self.foreign_keys if key.child == table.name for column in key.columns}
        own = {column for one in self.unique if one.table == table.name for column in one.columns}
        own |= {"email"} if "lower(email)" in own else set()
        return (own & {column.name for column in table.columns}) - bound - {table.owner}


def read(superuser: psycopg.Connection[Any]) -> Catalog:
    """Read the catalog of a migrated database."""
    with superuser.cursor(row_factory=class_row(_Protection)) as cursor:
        tables = [_table(superuser, one) for one in cursor.execute(_TABLES).fetchall()]
    with superuser.cursor(row_factory=class_row(ForeignKey)) as cursor:
        foreign_keys = cursor.execute(_FOREIGN_KEYS).fetchall()
    with superuser.cursor(row_factory=class_row(Unique)) as cursor:
        unique = cursor.execute(_UNIQUE).fetchall()
    kept = {table.name: table for table in tables if table.name != "schema_migrations"}
    return Catalog(kept, tuple(foreign_keys), tuple(one for one in unique if one.table in kept))


def _table(superuser: psycopg.Connection[Any], found: _Protection) -> Table:
    with superuser.cursor(row_factory=class_row(Column)) as cursor:
        columns = tuple(cursor.execute(_COLUMNS, (found.name,)).fetchall())
    deletable = superuser.execute("SELECT has_table_privilege(%s, %s, 'DELETE')", (APP, found.name)).fetchone()
    names = [column.name for column in columns]
    if found.name in {"users", "organizations", "workspaces"}:
        owner: str | None = "id"
    else:
        by_scope = {"workspace": "workspace_id", "organization": "organization_id", "global": "user_id"}
        owner = by_scope.get(found.scope)
        owner = owner if owner in names else None
    protected = found.enabled and found.forced
    return Table(found.name, found.scope, protected, found.owned_by, columns, deletable == (True,), owner)
