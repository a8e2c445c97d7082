"""What operators count, over all tenants."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from psycopg.rows import class_row

from minirag.runtime.db import Connection

_COUNT: Final = "SELECT now() AS as_of, * FROM count_everything()"


@dataclass(frozen=True, slots=True)
class Stats:
    """How much there is and was used, and when that was counted; days and months are those of UTC."""

    as_of: datetime
    users: int
    organizations: int
    workspaces: int
    api_keys: int
    chunks: int
    bytes: int
    open_jobs: int
    requests_today: int
    cost_this_month: Decimal


def count(tx: Connection) -> Stats:
    """Count it."""
    with tx.cursor(row_factory=class_row(Stats)) as cursor:
        found = cursor.execute(_COUNT).fetchone()
    assert found is not None
    return found
