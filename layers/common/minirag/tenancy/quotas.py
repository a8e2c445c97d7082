"""What a workspace holds and may hold, and what it used by day (UTC)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime.db import Connection
from minirag.runtime.errors import TooMany

_ADD_CHUNKS: Final = """
INSERT INTO workspace_usage_counters (workspace_id, period_start, kind, chunks_count)
VALUES (%s, (now() AT TIME ZONE 'UTC')::date, 'documents', %s)
ON CONFLICT (workspace_id, period_start, kind)
DO UPDATE SET chunks_count = workspace_usage_counters.chunks_count + excluded.chunks_count
"""

_ADD: Final = """
INSERT INTO workspace_totals AS t (workspace_id, chunks, bytes)
VALUES (%(workspace_id)s, greatest(%(chunks)s, 0), greatest(%(bytes)s, 0))
ON CONFLICT (workspace_id) DO UPDATE SET chunks = t.chunks + %(chunks)s, bytes = t.bytes + %(bytes)s
RETURNING chunks, bytes
"""
_LIMITS: Final = """
SELECT chunk_limit, storage_bytes_limit FROM workspace_quota_settings WHERE workspace_id = %s
"""
_QUESTION_SECONDS: Final = 30
_ADD_COST: Final = """
INSERT INTO workspace_usage_counters (workspace_id, period_start, kind, cost_usd)
VALUES (%s, (now() AT TIME ZONE 'UTC')::date, 'questions', %s)
ON CONFLICT (workspace_id, period_start, kind)
DO UPDATE SET cost_usd = workspace_usage_counters.cost_usd + excluded.cost_usd
"""
# Whoever reserves holds the limits until its transaction ends. The next one waits here, so that the statement after it
# begins when what was taken is to be seen.
_HOLD_LIMITS: Final = "SELECT cost_limit_usd_a_month FROM workspace_quota_settings WHERE workspace_id = %s FOR UPDATE"
_RESERVE: Final = """
INSERT INTO workspace_usage_counters AS c (workspace_id, period_start, kind, cost_usd)
SELECT %(workspace_id)s, %(day)s, 'questions', %(dollars)s
WHERE %(dollars)s + (
    SELECT coalesce(sum(m.cost_usd), 0)
    FROM workspace_usage_counters m
    WHERE m.workspace_id = %(workspace_id)s AND m.period_start >= %(first)s AND m.period_start < %(next)s
) <= coalesce(
    (SELECT cost_limit_usd_a_month FROM workspace_quota_settings WHERE workspace_id = %(workspace_id)s), 'Infinity'
)
ON CONFLICT (workspace_id, period_start, kind) DO UPDATE SET cost_usd = c.cost_usd + excluded.cost_usd
RETURNING 1
"""
_SETTLE: Final = """
UPDATE workspace_usage_counters SET cost_usd = greatest(cost_usd + %(dollars)s, 0)
WHERE workspace_id = %(workspace_id)s AND period_start = %(day)s AND kind = 'questions'
"""
_USAGE: Final = """
SELECT coalesce(sum(c.requests_count) FILTER (WHERE c.period_start = d.today), 0) AS requests_today,
       coalesce(sum(c.chunks_count) FILTER (WHERE c.period_start = d.today), 0) AS chunks_today,
       coalesce(sum(c.cost_usd) FILTER (WHERE c.period_start = d.today), 0) AS cost_today_usd,
       coalesce(sum(c.cost_usd), 0) AS cost_this_month_usd
FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) d
LEFT JOIN workspace_usage_counters c
    ON c.workspace_id = %s AND c.period_start >= date_trunc('month', d.today)::date
"""
_ALL_LIMITS: Final = """
SELECT chunk_limit, storage_bytes_limit, request_limit_per_day, cost_limit_usd_a_month
FROM workspace_quota_settings WHERE workspace_id = %s
"""
_SET_LIMITS: Final = """
INSERT INTO workspace_quota_settings AS q
    (workspace_id, chunk_limit, storage_bytes_limit, request_limit_per_day, cost_limit_usd_a_month)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (workspace_id) DO UPDATE SET
    chunk_limit = excluded.chunk_limit, storage_bytes_limit = excluded.storage_bytes_limit,
    request_limit_per_day = excluded.request_limit_per_day, cost_limit_usd_a_month = excluded.cost_limit_usd_a_month
"""
_TOTALS: Final = "SELECT chunks, bytes FROM workspace_totals WHERE workspace_id = %s"


@dataclass(frozen=True, slots=True)
class Totals:
    """What a workspace holds: chunks, and bytes of documents as they were sent."""

    chunks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workspace may hold and use; None: as much as it likes. Days and months are those of UTC."""

    chunk_limit: int | None = None
    storage_bytes_limit: int | None = None
    request_limit_per_day: int | None = None
    cost_limit_usd_a_month: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a workspace used today and this month."""

    requests_today: int
    chunks_today: int
    cost_today_usd: Decimal
    cost_this_month_usd: Decimal


def limits(tx: Connection, workspace_id: UUID) -> Limits:
    """What the workspace may hold and use."""
    with tx.cursor(row_factory=class_row(Limits)) as cursor:
        return cursor.execute(_ALL_LIMITS, (workspace_id,)).fetchone() or Limits()


def set_limits(tx: Connection, workspace_id: UUID, new: Limits) -> None:
    """Set all limits of the workspace."""
    values = (new.chunk_limit, new.storage_bytes_limit, new.request_limit_per_day, new.cost_limit_usd_a_month)
    tx.execute(_SET_LIMITS, (workspace_id, *values))


def usage(tx: Connection, workspace_id: UUID) -> Usage:
    """What the workspace used today and this month."""
    with tx.cursor(row_factory=class_row(Usage)) as cursor:
        found = cursor.execute(_USAGE, (workspace_id,)).fetchone()
    assert found is not None
    return found


def totals(tx: Connection, workspace_id: UUID) -> Totals:
    """What the workspace holds."""
    row = tx.execute(_TOTALS, (workspace_id,)).fetchone()
    return Totals(*row) if row else Totals(0, 0)


def add_cost(tx: Connection, workspace_id: UUID, cost_usd: Decimal) -> None:
    """Count what the workspace spent. Last in its transaction: it locks the row that questions are counted in."""
    tx.execute(_ADD_COST, (workspace_id, cost_usd))


def reserve(tx: Connection, workspace_id: UUID, day: date, dollars: Decimal) -> None:
    """Count on `day` (UTC) the most that a call may cost, before it is made; `settle` gives back what it did not.

    Raises TooMany if the month's limit leaves no room for it. In a transaction of its own, which those that reserve for
    the workspace at the same time wait for: together they never pass the limit.
    """
    first = day.replace(day=1)
    values = {
        "workspace_id": workspace_id, "day": day, "dollars": dollars,
        "first": first, "next": (first + timedelta(days=32)).replace(day=1),
    }  # fmt: skip
    with tx.pipeline():
        held = tx.execute(_HOLD_LIMITS, (workspace_id,))
        taken = tx.execute(_RESERVE, values)
        limit, fits = held.fetchone(), taken.fetchone()
    if fits is None:
        assert limit is not None
        raise TooMany(
            f"The workspace may spend {_dollars(limit[0])} dollars a month, and what is left of them is less than "
            "the question might cost. Name a model that costs less, or ask again once other questions have ended, an "
            "administrator has raised the limit, or the next month has begun (UTC).",
            code="cost_limit",
            # As long as a question may take, whose reservation ends with it.
            retry_after=_QUESTION_SECONDS,
        )


def settle(tx: Connection, workspace_id: UUID, day: date, dollars: Decimal) -> None:
    """Change what `reserve` counted on `day`: by less than zero what was not spent. Last in its transaction."""
    tx.execute(_SETTLE, {"workspace_id": workspace_id, "day": day, "dollars": dollars})


def check_question(
    request_limit: int | None, requests_today: int | None, cost_limit: Decimal | None, cost_this_month: Decimal | None
) -> None:
    """Raise TooMany if a question was not counted because a limit is reached; `identity` has counted it else."""
    if cost_limit is not None and cost_this_month is not None and cost_this_month >= cost_limit:
        raise TooMany(
            f"The workspace may spend {_dollars(cost_limit)} dollars a month and has. It can ask again from the "
            "first of the next month (UTC), or once an administrator raises the limit.",
            code="cost_limit",
            retry_after=_seconds_to_next_month(datetime.now(UTC)),
        )
    if request_limit is not None and requests_today is None:
        raise TooMany(
            f"The workspace may ask {request_limit:,} questions a day and has. It can ask again from midnight (UTC), "
            "or once an administrator raises the limit.",
            code="request_limit",
            retry_after=_seconds_to_midnight(datetime.now(UTC)),
        )


def _dollars(amount: Decimal) -> str:
    """With cents, and with more digits where it has them."""
    return f"{amount:.2f}" if amount == round(amount, 2) else f"{amount.normalize():f}"


def _seconds_to_midnight(now: datetime) -> int:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return ceil((midnight - now).total_seconds())


def _seconds_to_next_month(now: datetime) -> int:
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)
    return ceil((month.replace(day=1) - now).total_seconds())


def add(tx: Connection, workspace_id: UUID, *, chunks: int, size: int) -> None:
    """Count chunks and bytes that were added (or, negative, removed). Late in its transaction: it locks the totals.

    Raises TooMany if more is added than the workspace may hold.
    """
    if chunks:
        tx.execute(_ADD_CHUNKS, (workspace_id, chunks))
    if not chunks and not size:
        return
    values = {"workspace_id": workspace_id, "chunks": chunks, "bytes": size}
    row = tx.execute(_ADD, values).fetchone()
    assert row is not None
    _check(tx, workspace_id, Totals(*row), more_chunks=chunks > 0, more_bytes=size > 0)


def check(tx: Connection, workspace_id: UUID, *, size: int, chunks: int = 1) -> None:
    """Raise TooMany if so many bytes, and chunks at least, could not be taken in beside what there is."""
    held = totals(tx, workspace_id)
    _check(
        tx, workspace_id, Totals(held.chunks + chunks, held.bytes + size), more_chunks=chunks > 0, more_bytes=size > 0
    )


def _check(tx: Connection, workspace_id: UUID, totals: Totals, *, more_chunks: bool, more_bytes: bool) -> None:
    row = tx.execute(_LIMITS, (workspace_id,)).fetchone()
    chunk_limit, bytes_limit = row or (None, None)
    if more_chunks and chunk_limit is not None and totals.chunks > chunk_limit:
        raise TooMany(
            f"The workspace may hold {chunk_limit:,} chunks and would have {totals.chunks:,}. Delete documents, or ask "
            "an administrator for a higher limit.",
            code="chunk_limit",
        )
    if more_bytes and bytes_limit is not None and totals.bytes > bytes_limit:
        raise TooMany(
            f"The workspace may hold {bytes_limit:,} bytes of documents and would have {totals.bytes:,}. Delete "
            "documents, or ask an administrator for a higher limit.",
            code="storage_limit",
        )
