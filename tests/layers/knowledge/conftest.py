"""What the tests of the index share."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from local.postgres import Postgres

Connection = psycopg.Connection[Any]


@pytest.fixture
def connect(postgres: Postgres) -> Iterator[Callable[[UUID], Connection]]:
    """Connections as the application's role, each for one workspace."""
    opened: list[Connection] = []

    def connect(workspace_id: UUID) -> Connection:
        connection: Connection = psycopg.connect(postgres.app_url, autocommit=True)
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(workspace_id),))
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()
