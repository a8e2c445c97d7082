"""Quotas: counted exactly, refused uncounted, and no document holds a question up."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import httpx
import psycopg
import pytest

from local.postgres import Postgres
from minirag.runtime.errors import Forbidden, NotFound, TooMany, Unauthenticated
from minirag.tenancy import quotas
from minirag.tenancy.api_keys import hash_key
from minirag.tenancy.identity import Caller, Origin, identify
from minirag.tenancy.quotas import Limits
from minirag.tenancy.roles import READ
from tests.tenants import TestTenant

Connection = psycopg.Connection[Any]

ASK: Final = """
SELECT requests_today FROM identify_caller(%s, NULL, NULL, NULL, NULL, NULL, true, 'req_quota', NULL)
"""
# In the middle of a month, whatever today is.
DAY: Final = date(2031, 5, 14)
# A process that dies of nothing that it could clean up after.
DYING: Final = """
import sys, time
from datetime import date
from decimal import Decimal
from uuid import UUID
import psycopg
from minirag.tenancy import quotas

url, workspace_id, day, dollars = sys.argv[1:]
with psycopg.connect(url) as tx:
    tx.execute("SELECT set_config('app.workspace_id', %s, false)", (workspace_id,))
    quotas.reserve(tx, UUID(workspace_id), date.fromisoformat(day), Decimal(dollars))
print("reserved", flush=True)
time.sleep(600)
"""
WAITING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE usename = 'minirag_app' AND wait_event_type = 'Lock' AND query LIKE %s
"""
COUNTED: Final = """
SELECT requests_count FROM workspace_usage_counters WHERE workspace_id = %s AND kind = 'questions'
"""


@contextmanager
def connected(postgres: Postgres, tenant: TestTenant) -> Iterator[Connection]:
    """A transaction of the application for the tenant that waits for nobody longer than a second."""
    with psycopg.connect(postgres.app_url, options="-c statement_timeout=1s") as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
        yield connection


@pytest.fixture
def limit(postgres: Postgres, tenant: TestTenant) -> Callable[[Limits], None]:
    """Set the limits of the tenant's workspace."""

    def run(new: Limits) -> None:
        with connected(postgres, tenant) as tx:
            quotas.set_limits(tx, tenant.workspace_id, new)

    return run


def ask(connection: Connection, tenant: TestTenant) -> int | None:
    """Ask a question: the how many-th of the day it was, None if it was refused."""
    row = connection.execute(ASK, (hash_key(tenant.key),)).fetchone()
    assert row is not None
    counted: int | None = row[0]
    return counted


def counted(superuser: Connection, tenant: TestTenant) -> int:
    row = superuser.execute(COUNTED, (tenant.workspace_id,)).fetchone()
    return 0 if row is None else int(row[0])


def asked(tenant: TestTenant) -> Caller:
    caller = identify(hash_key(tenant.key), READ, Origin("req_quota"), counted=True)
    assert isinstance(caller, Caller)
    return caller


def test_of_many_questions_at_once_exactly_as_many_as_are_allowed_get_through(
    postgres: Postgres,
    tenant: TestTenant,
    limit: Callable[[Limits], None],
    superuser: Connection,
    count: Callable[[int, int], int],
) -> None:
    threads, each, allowed = 8, count(20, 500), count(50, 2000)
    limit(Limits(request_limit_per_day=allowed))
    start = threading.Barrier(threads)

    def run() -> list[int | None]:
        with psycopg.connect(postgres.app_url, autocommit=True) as connection:
            start.wait(10)
            return [ask(connection, tenant) for _ in range(each)]

    with ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(run) for _ in range(threads)]
        answers = [answer for one in runs for answer in one.result()]
    through = [answer for answer in answers if answer is not None]
    print(f"{len(answers)} questions of {threads} callers: {len(through)} through, {allowed} allowed")
    assert sorted(through) == [*range(1, allowed + 1)]
    # What is refused is not counted.
    assert counted(superuser, tenant) == allowed


def test_the_last_question_goes_to_one_of_those_who_wait_for_it(
    postgres: Postgres, tenant: TestTenant, limit: Callable[[Limits], None], superuser: Connection
) -> None:
    limit(Limits(request_limit_per_day=2))
    waiting = """SELECT count(*) FROM pg_stat_activity
                 WHERE usename = 'minirag_app' AND wait_event_type = 'Lock' AND query LIKE '%identify_caller%'"""

    def run() -> int | None:
        with psycopg.connect(postgres.app_url, autocommit=True, options="-c statement_timeout=20s") as connection:
            return ask(connection, tenant)

    with psycopg.connect(postgres.app_url, autocommit=True) as connection, ThreadPoolExecutor(7) as pool:
        assert ask(connection, tenant) == 1
        with connection.transaction():
            assert ask(connection, tenant) == 2
            others = [pool.submit(run) for _ in range(7)]
            # All of them have seen that there is one left.
            while superuser.execute(waiting).fetchone() != (7,):
                assert not any(other.done() for other in others)
    assert [other.result() for other in others] == [None] * 7
    assert counted(superuser, tenant) == 2


def test_without_a_limit_every_question_is_counted(
    postgres: Postgres, tenant: TestTenant, limit: Callable[[Limits], None], superuser: Connection
) -> None:
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        assert [ask(connection, tenant) for _ in range(3)] == [1, 2, 3]
        limit(Limits(chunk_limit=1))
        assert ask(connection, tenant) == 4
        # Lowered below what was used, it refuses; raised again, it goes on from there.
        limit(Limits(request_limit_per_day=2))
        assert ask(connection, tenant) is None
        limit(Limits(request_limit_per_day=5))
        assert [ask(connection, tenant) for _ in range(2)] == [5, None]
    assert counted(superuser, tenant) == 5


def test_what_is_refused_for_another_reason_is_not_counted(
    system: None,  # noqa: ARG001
    make_tenant: Callable[..., TestTenant],
    superuser: Connection,
) -> None:
    one, writer = make_tenant(), make_tenant(scopes=("write",))
    asked(one)
    with pytest.raises(Forbidden):
        asked(writer)
    with pytest.raises(NotFound):
        identify(hash_key(one.key), READ, Origin("req_quota"), workspace_id=writer.workspace_id, counted=True)
    superuser.execute("UPDATE api_keys SET revoked_at = now() WHERE user_id = %s", (one.user_id,))
    with pytest.raises(Unauthenticated):
        asked(one)
    assert (counted(superuser, one), counted(superuser, writer)) == (1, 0)


def test_a_limit_of_zero_lets_nobody_through(
    system: None,  # noqa: ARG001
    tenant: TestTenant,
    limit: Callable[[Limits], None],
    superuser: Connection,
) -> None:
    limit(Limits(request_limit_per_day=0))
    with pytest.raises(TooMany) as refused:
        asked(tenant)
    assert refused.value.code == "request_limit"
    assert superuser.execute(COUNTED, (tenant.workspace_id,)).fetchone() is None


def test_a_question_beyond_the_months_cost_is_refused_and_not_counted(
    system: None,  # noqa: ARG001
    postgres: Postgres,
    tenant: TestTenant,
    limit: Callable[[Limits], None],
    superuser: Connection,
) -> None:
    limit(Limits(cost_limit_usd_a_month=Decimal("0.05")))
    for cost in ("0.02", "0.0299"):
        asked(tenant)
        with connected(postgres, tenant) as tx:
            quotas.add_cost(tx, tenant.workspace_id, Decimal(cost))
    # There is something left: one more may begin, whatever it will cost.
    asked(tenant)
    with connected(postgres, tenant) as tx:
        quotas.add_cost(tx, tenant.workspace_id, Decimal("0.0001"))
    for _ in range(2):
        with pytest.raises(TooMany) as refused:
            asked(tenant)
        assert refused.value.code == "cost_limit"
    assert counted(superuser, tenant) == 3
    for dollars, said in (("0", "0.00 dollars"), ("0.0010", "0.001 dollars")):
        limit(Limits(cost_limit_usd_a_month=Decimal(dollars)))
        with pytest.raises(TooMany, match=re.escape(said)):
            asked(tenant)
    # What was spent in another month is not this one's.
    limit(Limits(cost_limit_usd_a_month=Decimal("0.05")))
    superuser.execute(
        """UPDATE workspace_usage_counters SET period_start = date_trunc('month', period_start)::date - 1
           WHERE workspace_id = %s""",
        (tenant.workspace_id,),
    )
    asked(tenant)


def reserve(tx: Connection, tenant: TestTenant, dollars: str, day: date = DAY) -> bool:
    """Whether so much could be taken, in a transaction of its own."""
    try:
        with tx.transaction():
            quotas.reserve(tx, tenant.workspace_id, day, Decimal(dollars))
    except TooMany as refused:
        if refused.code != "cost_limit":
            raise
        return False
    return True


def spent(superuser: Connection, tenant: TestTenant, day: date | None = None) -> Decimal:
    """Of one day, or of all."""
    row = superuser.execute(
        """SELECT coalesce(sum(cost_usd), 0) FROM workspace_usage_counters
           WHERE workspace_id = %s AND period_start = coalesce(%s, period_start)""",
        (tenant.workspace_id, day),
    ).fetchone()
    assert row is not None
    return Decimal(row[0])


def test_of_many_who_reserve_at_once_exactly_as_many_as_fit_get_through(
    postgres: Postgres,
    tenant: TestTenant,
    limit: Callable[[Limits], None],
    superuser: Connection,
    count: Callable[[int, int], int],
) -> None:
    limit(Limits(cost_limit_usd_a_month=Decimal("1.00")))
    rounds = count(3, 50)
    for number in range(rounds):
        day = date(2031 + number // 12, 1 + number % 12, 28)
        start = threading.Barrier(40)

        def run(day: date = day, start: threading.Barrier = start) -> bool:
            with psycopg.connect(postgres.app_url, autocommit=True) as connection:
                connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
                start.wait(30)
                return reserve(connection, tenant, "0.14", day)

        with ThreadPoolExecutor(40) as pool:
            runs = [pool.submit(run) for _ in range(40)]
            assert sum(one.result() for one in runs) == 7
        assert spent(superuser, tenant, day) == Decimal("0.98")
    print(f"{rounds} times 40 reservations at once, where 7 fit: 7 taken")


@pytest.mark.parametrize("later", [DAY, DAY + timedelta(days=1)], ids=["the same day", "across midnight"])
def test_who_waits_to_reserve_sees_what_was_taken_meanwhile(
    postgres: Postgres, tenant: TestTenant, limit: Callable[[Limits], None], superuser: Connection, later: date
) -> None:
    limit(Limits(cost_limit_usd_a_month=Decimal(1)))

    def run() -> bool:
        with psycopg.connect(postgres.app_url, autocommit=True, options="-c statement_timeout=20s") as connection:
            connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
            return reserve(connection, tenant, "0.6", later)

    with connected(postgres, tenant) as first, ThreadPoolExecutor(1) as pool:
        quotas.reserve(first, tenant.workspace_id, DAY, Decimal("0.6"))
        second = pool.submit(run)
        while superuser.execute(WAITING, ("%workspace_quota_settings%",)).fetchone() != (1,):
            assert not second.done()
        first.commit()
        assert second.result() is False
    assert spent(superuser, tenant) == Decimal("0.6")


def test_a_reservation_fits_the_limit_to_the_last_digit_and_the_month_it_is_of(
    postgres: Postgres, tenant: TestTenant, limit: Callable[[Limits], None], superuser: Connection
) -> None:
    limit(Limits(cost_limit_usd_a_month=Decimal("0.0100")))
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
        first, last = date(2031, 5, 1), date(2031, 5, 31)
        assert reserve(connection, tenant, "0.00999999", first)
        assert not reserve(connection, tenant, "0.00000002", last)
        assert reserve(connection, tenant, "0.00000001", last)
        assert not reserve(connection, tenant, "0.00000001", first)
        for day in (first - timedelta(days=1), last + timedelta(days=1)):
            assert reserve(connection, tenant, "0.01", day)
            assert not reserve(connection, tenant, "0.00000001", day)
        # As it is by now, whatever it was when the question began.
        limit(Limits(cost_limit_usd_a_month=Decimal("0.02")))
        assert reserve(connection, tenant, "0.01", DAY)
        limit(Limits())
        assert reserve(connection, tenant, "1000", DAY)
    assert spent(superuser, tenant, DAY) == Decimal("1000.01")
    assert spent(superuser, tenant) == Decimal("1000.04")


def test_what_was_reserved_and_not_spent_is_given_back_on_its_day(
    postgres: Postgres, tenant: TestTenant, limit: Callable[[Limits], None], superuser: Connection
) -> None:
    limit(Limits(cost_limit_usd_a_month=Decimal(1)))
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
        assert reserve(connection, tenant, "0.9")
        assert not reserve(connection, tenant, "0.2", DAY + timedelta(days=1))
        quotas.settle(connection, tenant.workspace_id, DAY, Decimal("-0.75"))
        assert reserve(connection, tenant, "0.2", DAY + timedelta(days=1))
        assert (spent(superuser, tenant, DAY), spent(superuser, tenant)) == (Decimal("0.15"), Decimal("0.35"))
        # It took more than was thought.
        quotas.settle(connection, tenant.workspace_id, DAY, Decimal("0.01"))
        assert spent(superuser, tenant, DAY) == Decimal("0.16")
        quotas.settle(connection, tenant.workspace_id, DAY, Decimal(-5))
        assert (spent(superuser, tenant, DAY), spent(superuser, tenant)) == (Decimal(0), Decimal("0.2"))


def test_who_dies_before_giving_back_leaves_it_counted(
    postgres: Postgres, tenant: TestTenant, limit: Callable[[Limits], None], superuser: Connection
) -> None:
    limit(Limits(cost_limit_usd_a_month=Decimal(1)))
    command = [sys.executable, "-c", DYING, postgres.app_url, str(tenant.workspace_id), DAY.isoformat(), "0.7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "reserved\n"
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert spent(superuser, tenant) == Decimal("0.7")
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
        assert [reserve(connection, tenant, dollars) for dollars in ("0.4", "0.3")] == [False, True]


def test_the_callers_budget_is_what_is_left_of_the_month(
    system: None,  # noqa: ARG001
    postgres: Postgres,
    tenant: TestTenant,
    limit: Callable[[Limits], None],
) -> None:
    assert asked(tenant).cost_left is None
    limit(Limits(cost_limit_usd_a_month=Decimal("0.05")))
    with connected(postgres, tenant) as tx:
        quotas.add_cost(tx, tenant.workspace_id, Decimal("0.02000001"))
    assert asked(tenant).cost_left == Decimal("0.02999999")
    # Known where it is asked for alone.
    caller = identify(hash_key(tenant.key), READ, Origin("req_quota"))
    assert isinstance(caller, Caller)
    assert caller.cost_left is None


def test_usage_tells_what_was_spent_today_and_this_month_beside_the_limit(
    api: httpx.Client, tenant: TestTenant, limit: Callable[[Limits], None], postgres: Postgres
) -> None:
    limit(Limits(cost_limit_usd_a_month=Decimal("12.50")))
    today = datetime.now(UTC).date()
    other = today.replace(day=1) if today.day > 1 else today + timedelta(days=1)
    with connected(postgres, tenant) as tx:
        quotas.add_cost(tx, tenant.workspace_id, Decimal("0.25"))
        quotas.reserve(tx, tenant.workspace_id, other, Decimal("1.5"))
        quotas.reserve(tx, tenant.workspace_id, today.replace(day=1) - timedelta(days=1), Decimal(3))
    shown = api.get("/api/v1/usage", headers=tenant.headers).json()
    assert (shown["used"]["cost_today_usd"], shown["used"]["cost_this_month_usd"]) == (0.25, 1.75)
    assert shown["limits"]["cost_limit_usd_a_month"] == 12.5


def test_a_document_on_its_way_in_holds_no_question_up_nor_the_other_way_round(
    postgres: Postgres, tenant: TestTenant, limit: Callable[[Limits], None], superuser: Connection
) -> None:
    limit(Limits(request_limit_per_day=100, chunk_limit=100, cost_limit_usd_a_month=Decimal(1)))
    for _ in range(2):  # where the rows are new, and where they are there
        with connected(postgres, tenant) as adding:
            quotas.add(adding, tenant.workspace_id, chunks=7, size=1000)
            with connected(postgres, tenant) as asking:
                assert ask(asking, tenant) is not None
                quotas.add_cost(asking, tenant.workspace_id, Decimal("0.01"))
        with connected(postgres, tenant) as asking:
            assert ask(asking, tenant) is not None
            with connected(postgres, tenant) as adding:
                quotas.add(adding, tenant.workspace_id, chunks=7, size=1000)
    kept = superuser.execute(
        """SELECT kind, requests_count, chunks_count, cost_usd FROM workspace_usage_counters
           WHERE workspace_id = %s ORDER BY kind""",
        (tenant.workspace_id,),
    ).fetchall()
    assert kept == [("documents", 0, 28, 0), ("questions", 4, 0, Decimal("0.02"))]


def test_questions_of_one_workspace_do_wait_for_each_other(postgres: Postgres, tenant: TestTenant) -> None:
    # The control of the test above: here a second is waited in vain.
    with connected(postgres, tenant) as first, connected(postgres, tenant) as second:
        ask(first, tenant)
        with pytest.raises(psycopg.errors.QueryCanceled):
            ask(second, tenant)


def test_costs_add_up_by_day_and_month(postgres: Postgres, tenant: TestTenant, superuser: Connection) -> None:
    today = superuser.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
    assert today is not None
    with connected(postgres, tenant) as tx:
        for _ in range(3):
            quotas.add_cost(tx, tenant.workspace_id, Decimal("0.00000001"))
        quotas.add_cost(tx, tenant.workspace_id, Decimal("1.5"))
        quotas.add(tx, tenant.workspace_id, chunks=4, size=10)
        ask(tx, tenant)
        first = today[0].replace(day=1)
        other = first if today[0] != first else first + timedelta(days=1)
        for day in (other, first - timedelta(days=1)):
            tx.execute(
                """INSERT INTO workspace_usage_counters
                       (workspace_id, period_start, kind, requests_count, chunks_count, cost_usd)
                   VALUES (%s, %s, 'questions', 9, 9, 2)""",
                (tenant.workspace_id, day),
            )
        used = quotas.usage(tx, tenant.workspace_id)
    day_s = Decimal("1.50000003")
    assert used == quotas.Usage(1, 4, day_s, day_s + 2)


def test_who_used_nothing_has_used_nothing(postgres: Postgres, tenant: TestTenant) -> None:
    with connected(postgres, tenant) as tx:
        assert quotas.usage(tx, tenant.workspace_id) == quotas.Usage(0, 0, Decimal(0), Decimal(0))
        assert quotas.limits(tx, tenant.workspace_id) == Limits()
        assert quotas.totals(tx, tenant.workspace_id) == quotas.Totals(0, 0)


@pytest.mark.parametrize(
    ("now", "to_midnight", "to_next_month"),
    [
        (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), 1, 1),
        (datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC), 1, 1),
        (datetime(2026, 12, 31, 12, tzinfo=UTC), 12 * 3600, 12 * 3600),
        (datetime(2026, 12, 1, tzinfo=UTC), 24 * 3600, 31 * 24 * 3600),
        (datetime(2028, 2, 28, 18, tzinfo=UTC), 6 * 3600, 30 * 3600),
        (datetime(2027, 2, 28, 18, tzinfo=UTC), 6 * 3600, 6 * 3600),
        (datetime(2026, 4, 30, 0, 0, 0, 1, tzinfo=UTC), 24 * 3600, 24 * 3600),
    ],
)
def test_what_is_refused_can_be_asked_again_from_midnight_or_the_first_of_the_month(
    now: datetime, to_midnight: int, to_next_month: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        @staticmethod
        def now(zone: object) -> datetime:
            assert zone is UTC
            return now

    monkeypatch.setattr(quotas, "datetime", Clock)
    for values, code, seconds in (
        ((5, None, None, None), "request_limit", to_midnight),
        ((None, None, Decimal(1), Decimal("1.5")), "cost_limit", to_next_month),
        # Where both are reached, what is over last.
        ((5, None, Decimal(1), Decimal(1)), "cost_limit", to_next_month),
    ):
        with pytest.raises(TooMany) as refused:
            quotas.check_question(*values)
        assert (refused.value.code, refused.value.headers()) == (code, {"Retry-After": str(seconds)})


@pytest.mark.parametrize("path", ["/api/v1/ask", "/api/v1/search"])
def test_the_answer_says_which_limit_it_was_and_when_to_ask_again(
    api: httpx.Client, tenant: TestTenant, limit: Callable[[Limits], None], postgres: Postgres, path: str
) -> None:
    def refused(code: str, sentence: str) -> datetime:
        answer = api.post(path, headers=tenant.headers, json={"query": "Pharos?"})
        assert answer.status_code == 429, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["type"].endswith(code)
        assert sentence in answer.json()["detail"]
        return datetime.now(UTC) + timedelta(seconds=int(answer.headers["retry-after"]))

    limit(Limits(request_limit_per_day=1))
    assert api.post(path, headers=tenant.headers, json={"query": "Pharos?"}).status_code == 200
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    again = refused("request_limit", "1 questions a day")
    assert abs(again - midnight) < timedelta(seconds=5)
    limit(Limits(cost_limit_usd_a_month=Decimal("0.50")))
    with connected(postgres, tenant) as tx:
        quotas.add_cost(tx, tenant.workspace_id, Decimal("0.5"))
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    if midnight.day == 1:  # the last day of a month
        next_month = midnight
    again = refused("cost_limit", "0.50 dollars a month")
    assert abs(again - next_month) < timedelta(seconds=5)
