"""The database: one connection a process, and transactions that know their tenant.

A function serves one event at a time, so one connection is enough; it is opened on first use and again when it
was lost. Row-level security reads the settings that `transaction` makes, which end with the transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from minirag.runtime import settings
from minirag.runtime.errors import Unavailable

Connection = psycopg.Connection[TupleRow]

_CONNECT_SECONDS: Final = 5
# Nobody waits long for a row that another holds, and nobody who has stopped holds one for long.
_OPTIONS: Final = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"

_BEGIN: Final = "BEGIN"
_BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_COMMIT: Final = "COMMIT"
_SET_TENANT: Final = """
SELECT set_config('app.workspace_id', %s, true),
       set_config('app.organization_id', %s, true),
       set_config('app.user_id', %s, true),
       set_config('app.operator', %s, true),
       set_config('app.workspace_admin', %s, true)
"""
# The same, in a transaction whose commit nobody waits for until it is on the server's disk.
_SET_TENANT_LOOSELY: Final = """
SELECT set_config('app.workspace_id', %s, true),
       set_config('app.organization_id', %s, true),
       set_config('app.user_id', %s, true),
       set_config('app.operator', %s, true),
       set_config('app.workspace_admin', %s, true),
       set_config('synchronous_commit', 'off', true)
"""

_connection: Connection | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """For whom a transaction runs; rows of what is left out are not seen.

    `operator`: it may call the functions that see across tenants (migrations/0012_operators.sql). `workspace_admin`: in
    the workspace it sees also what belongs to others (migrations/0013_answers.sql).
    """

    workspace_id: UUID | None = None
    organization_id: UUID | None = None
    user_id: UUID | None = None
    operator: bool = False
    workspace_admin: bool = False


NOBODY: Final = Tenant()


def close() -> None:
    """Close the connection; the next use opens a new one."""
    global _connection  # noqa: PLW0603  the one connection of this process
    if _connection is not None:
        _connection.close()
        _connection = None


def _open() -> Connection:
    """The connection of this process; a new one if there is none or the server has ended it."""
    global _connection  # noqa: PLW0603
    if _connection is not None and not _connection.closed:
        # The server may have ended it while the function slept: the first look reads its last words, the second that
        # there is nothing more to come.
        with suppress(psycopg.OperationalError):
            _connection.pgconn.consume_input()
            _connection.pgconn.consume_input()
    if _connection is None or _connection.closed or _connection.broken:
        close()
        _connection = _connect()
    return _connection


def _connect() -> Connection:
    # A statement that comes alone is a transaction by itself; the others begin and end where we say so, since what
    # psycopg begins by itself it waits for.
    return psycopg.connect(
        settings.current().database_url, connect_timeout=_CONNECT_SECONDS, options=_OPTIONS, autocommit=True
    )


def _begin(
    connection: Connection, tenant: Tenant, begin: LiteralString, set_tenant: LiteralString = _SET_TENANT
) -> None:
    # One cursor for both: making one takes as long as sending a statement.
    cursor = connection.cursor()
    cursor.execute(begin)
    ids = (tenant.workspace_id, tenant.organization_id, tenant.user_id)
    named = ["" if one is None else str(one) for one in ids]
    switches = ["on" if one else "" for one in (tenant.operator, tenant.workspace_admin)]
    cursor.execute(set_tenant, [*named, *switches], prepare=True)


@contextmanager
def transaction(tenant: Tenant) -> Iterator[Connection]:
    """One transaction as `tenant`: committed at the end of the block, rolled back if it raises.

    Raises Unavailable if the database cannot be reached or the connection is lost.
    """
    with _lost_is_unavailable():
        try:
            connection = _begun(tenant)
        except psycopg.OperationalError:
            # The connection had died unseen. Nothing has been done yet: try once more.
            close()
            connection = _begun(tenant)
        try:
            yield connection
            connection.execute(_COMMIT)
        except BaseException:
            _abandon(connection)
            raise


def _begun(tenant: Tenant) -> Connection:
    connection = _open()
    # Both statements in one round trip.
    with connection.pipeline():
        _begin(connection, tenant, _BEGIN)
    return connection


@contextmanager
def snapshot(tenant: Tenant) -> Iterator[Connection]:
    """As `transaction`, for reading: all statements see one state (repeatable read), and are sent without waiting.

    What is executed is answered when its rows are fetched, BEGIN and all that was sent meanwhile in one round trip;
    an error of a statement shows there, or at the end of the block at the latest.
    """
    with _lost_is_unavailable():
        connection = _open()
        try:
            with connection.pipeline():
                _begin(connection, tenant, _BEGIN_SNAPSHOT)
                yield connection
                connection.execute(_COMMIT)
        except BaseException:
            _abandon(connection)
            raise


@contextmanager
def batch(tenant: Tenant) -> Iterator[Connection]:
    """As `transaction`, for writing without reading what is no harm to lose if the database's server crashes.

    All statements are sent in one go and answered in one round trip, which does not wait for the server's disk. An
    error of a statement shows at the end of the block, and then nothing of it has happened.
    """
    with _lost_is_unavailable():
        connection = _open()
        try:
            with connection.pipeline():
                _begin(connection, tenant, _BEGIN, _SET_TENANT_LOOSELY)
                yield connection
                connection.execute(_COMMIT)
        except BaseException:
            _abandon(connection)
            raise


def look_up(query: LiteralString, values: Sequence[object]) -> dict[str, Any] | None:
    """The first row of one statement as nobody, in a transaction of its own and one round trip.

    For the functions that find a tenant: they need none themselves. Raises Unavailable as `transaction` does.
    """
    with _lost_is_unavailable():
        try:
            return _look_up(query, values)
        except psycopg.OperationalError:
            # The connection had died unseen, and with it what the statement did: try once more.
            close()
            return _look_up(query, values)


def _look_up(query: LiteralString, values: Sequence[object]) -> dict[str, Any] | None:
    with _open().cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values, prepare=True).fetchone()


@contextmanager
def aside(tenant: Tenant) -> Iterator[Connection]:
    """As `transaction`, on a connection of its own that lives as long: for a thread beside the one that works."""
    try:
        # Committed when it is closed, or rolled back if the block raises.
        with _connect() as connection:
            _begin(connection, tenant, _BEGIN)
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _unavailable() from error


@contextmanager
def _lost_is_unavailable() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        close()
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable("The database cannot be reached right now. Try again in a few seconds.")


def _abandon(connection: Connection) -> None:
    """Roll back what a block that raised had begun."""
    if connection.closed or connection.broken:
        return
    try:
        connection.rollback()
    except psycopg.Error:
        # What raised first matters more.
        connection.close()
