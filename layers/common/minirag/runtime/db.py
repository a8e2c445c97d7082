"""The database: one connection a process, and transactions that know their tenant.

A function serves one event at a time, so one connection is enough; it is opened on first use and again when it
was lost. Row-level security reads the settings that `transaction` makes, which end with the transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from minirag.runtime import settings
from minirag.runtime.errors import Unavailable

Connection = psycopg.Connection[TupleRow]

_CONNECT_SECONDS: Final = 5

_SET_TENANT: Final = """
SELECT set_config('app.workspace_id', %s, true),
       set_config('app.organization_id', %s, true),
       set_config('app.user_id', %s, true)
"""

_connection: Connection | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """For whom a transaction runs; rows of what is left out are not seen."""

    workspace_id: UUID | None = None
    organization_id: UUID | None = None
    user_id: UUID | None = None


NOBODY: Final = Tenant()


def close() -> None:
    """Close the connection; the next use opens a new one."""
    global _connection  # noqa: PLW0603  the one connection of this process
    if _connection is not None:
        _connection.close()
        _connection = None


def _begin(tenant: Tenant, isolation: psycopg.IsolationLevel | None) -> Connection:
    global _connection  # noqa: PLW0603
    if _connection is None or _connection.closed:
        _connection = psycopg.connect(settings.current().database_url, connect_timeout=_CONNECT_SECONDS)
    _connection.isolation_level = isolation
    ids = (tenant.workspace_id, tenant.organization_id, tenant.user_id)
    # With BEGIN in one round trip.
    with _connection.pipeline():
        _connection.execute(_SET_TENANT, ["" if one is None else str(one) for one in ids])
    return _connection


@contextmanager
def transaction(tenant: Tenant, *, snapshot: bool = False) -> Iterator[Connection]:
    """One transaction as `tenant`: committed at the end of the block, rolled back if it raises.

    With `snapshot` all statements see one state (repeatable read). Raises Unavailable if the database cannot be
    reached or the connection is lost.
    """
    isolation = psycopg.IsolationLevel.REPEATABLE_READ if snapshot else None
    try:
        try:
            connection = _begin(tenant, isolation)
        except psycopg.OperationalError:
            # The connection may have died while the function slept. Nothing has been done yet: try once more.
            close()
            connection = _begin(tenant, isolation)
        try:
            yield connection
        except BaseException:
            if not connection.broken:
                connection.rollback()
            raise
        connection.commit()
    except psycopg.OperationalError as error:
        close()
        raise Unavailable("The database cannot be reached right now. Try again in a few seconds.") from error
