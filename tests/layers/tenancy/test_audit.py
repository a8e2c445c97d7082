"""The audit log: only appended to, sealed without holding anybody up, and telling whoever tampered with it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from functions.admin import seal as sealer
from local.postgres import Postgres, temporary
from minirag.runtime import telemetry
from minirag.runtime.migrate import migrate
from minirag.tenancy import audit
from minirag.tenancy.audit import Problem, Seal
from minirag.tenancy.identity import Origin
from tests import tenants
from tests.tenants import TestTenant
from tests.transport import context

Connection = psycopg.Connection[Any]

ORIGIN: Final = Origin("req_audit", "192.0.2.1", "test/1")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A database with a log of its own, which other tests do not append to."""
    with temporary() as started:
        migrate(started.owner_url, started.app_password)
        yield started


@contextmanager
def application(server: Postgres, tenant: TestTenant | None = None) -> Iterator[Connection]:
    """A transaction of the application that waits for nobody longer than a second."""
    with psycopg.connect(server.app_url, options="-c lock_timeout=1s -c statement_timeout=1s") as connection:
        organization = str(tenant.organization_id) if tenant else ""
        connection.execute("SELECT set_config('app.organization_id', %s, true)", (organization,))
        yield connection


def append(tx: Connection, tenant: TestTenant, action: str = "test.done") -> None:
    whose = (tenant.organization_id, tenant.workspace_id, tenant.user_id, uuid4())
    audit.append(tx, *whose, action, "something", ORIGIN, {"rows": 3})


def problems(connection: Connection) -> list[Problem]:
    """What an operator is told."""
    connection.execute("SELECT set_config('app.operator', 'on', false)")
    return audit.verify(connection)


@dataclass(frozen=True, slots=True)
class Log:
    """A log that is empty at first; `owner` may do anything to it."""

    server: Postgres
    owner: Connection
    tenant: TestTenant

    def write(self, rows: int) -> None:
        """So many rows, each in a transaction of its own."""
        for _ in range(rows):
            with application(self.server, self.tenant) as tx:
                append(tx, self.tenant)

    def seal(self, most: int = 1000) -> Seal:
        with application(self.server) as tx:
            return audit.seal(tx, most=most)

    def chain(self) -> list[int]:
        return [one for (one,) in self.owner.execute("SELECT audit_id FROM audit_chain ORDER BY position").fetchall()]

    def problems(self) -> list[Problem]:
        return problems(self.owner)


@pytest.fixture
def log(server: Postgres) -> Iterator[Log]:
    with psycopg.connect(server.superuser_url, autocommit=True) as owner:
        owner.execute("TRUNCATE audit_log, audit_chain")
        yield Log(server, owner, tenants.make(server.superuser_url))


def test_the_application_appends_and_does_nothing_else(log: Log) -> None:
    log.write(2)
    log.seal()
    assert log.owner.execute("SELECT count(*) FROM audit_log").fetchone() == (2,)
    for statement in (
        "UPDATE audit_log SET action = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "ALTER TABLE audit_log DISABLE ROW LEVEL SECURITY",
        "SELECT count(*) FROM audit_chain",
        "INSERT INTO audit_chain (position, audit_id, hash) VALUES (9, 9, sha256('x'))",
        "UPDATE audit_chain SET hash = sha256('x')",
        "DELETE FROM audit_chain",
        "TRUNCATE audit_chain",
        "SELECT audit_link('', l) FROM audit_log l",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), application(log.server, log.tenant) as tx:
            tx.execute(statement.encode())
    assert log.problems() == []


def test_rows_are_sealed_in_order_and_once(log: Log) -> None:
    assert log.seal() == Seal(0, 0, b"")
    log.write(7)
    first = log.seal(most=5)
    assert (first.sealed, first.head_position) == (5, 5)
    second = log.seal(most=5)
    assert (second.sealed, second.head_position) == (2, 7)
    assert log.seal(most=5) == Seal(0, 7, second.head)
    written = [one for (one,) in log.owner.execute("SELECT id FROM audit_log ORDER BY created_at, id").fetchall()]
    assert log.chain() == written
    assert log.problems() == []


def test_a_writer_that_is_not_done_is_waited_for_by_nobody_and_sealed_the_next_time(log: Log) -> None:
    with application(log.server, log.tenant) as slow:
        append(slow, log.tenant, "test.late")
        log.write(3)
        with application(log.server) as sealing:
            assert audit.seal(sealing, most=1000).sealed == 3
            # While the sealer is not done either.
            log.write(1)
            append(slow, log.tenant, "test.late")
    late = {one for (one,) in log.owner.execute("SELECT id FROM audit_log WHERE action = 'test.late'").fetchall()}
    assert min(late) < min(log.chain())
    assert log.seal().sealed == 3
    assert late <= set(log.chain()[3:])
    assert log.problems() == []


def test_what_is_still_to_be_sealed_is_no_problem_however_long_it_waits(log: Log) -> None:
    # A log that was not sealed for days, and is then sealed in several runs.
    log.owner.execute(
        "INSERT INTO audit_log (action, target, request_id, created_at) "
        "SELECT 'test.old', '', 'r', now() - make_interval(hours => n) FROM generate_series(1, 100) AS n"
    )
    sealed = []
    while (run := log.seal(most=30)).sealed:
        assert log.problems() == []
        sealed.append(run.sealed)
    assert sealed == [30, 30, 30, 10]


def test_two_sealers_at_once_make_one_chain(log: Log) -> None:
    log.write(30)
    start = threading.Barrier(4)

    def run() -> list[int]:
        start.wait(10)
        return [log.seal(most=4).sealed for _ in range(4)]

    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(run) for _ in range(4)]
        sealed = sum(sum(one.result()) for one in runs)
    assert sealed == 30
    assert len(set(log.chain())) == 30
    positions = log.owner.execute("SELECT array_agg(position ORDER BY position) FROM audit_chain").fetchone()
    assert positions == ([*range(1, 31)],)
    assert log.problems() == []


COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, NULL), a.attnotnull FROM pg_attribute a
WHERE a.attrelid = 'audit_log'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
OTHERS: Final = {
    "uuid": "gen_random_uuid()",
    "text": "coalesce({0}, '') || 'x'",
    "jsonb": "{0} || '{{\"rows\": 4}}'",
    "timestamp with time zone": "{0} + interval '1 microsecond'",
    "bigint": "DEFAULT",
    "organization_id": "(SELECT id FROM organizations WHERE id IS DISTINCT FROM {0} LIMIT 1)",
}


def test_a_change_of_any_column_is_found(log: Log) -> None:
    tenants.make(log.server.superuser_url)
    log.write(5)
    # A row in which everything that may be missing is.
    with application(log.server) as tx:
        audit.append(tx, None, None, None, None, "test.bare", "", Origin("r"), {})
    log.seal()
    full, bare = log.chain()[2], log.chain()[5]
    changes = 0
    for name, kind, required in log.owner.execute(COLUMNS).fetchall():
        column = sql.Identifier(name)
        other = sql.SQL(OTHERS.get(name) or OTHERS[kind]).format(column)
        values: list[tuple[int, sql.SQL | sql.Composed]] = [(full, other), (bare, other)]
        if not required:
            values.append((full, sql.SQL("NULL")))
        for audit_id, value in values:
            changes += 1
            with log.owner.transaction(force_rollback=True):
                changed = sql.SQL("UPDATE audit_log SET {} = {} WHERE id = %s").format(column, value)
                assert log.owner.execute(changed, (audit_id,)).rowcount == 1
                found = log.problems()
            expected = "the row is missing" if name == "id" else "the row or its link was changed"
            assert Problem(audit_id, expected) in found, f"{name} of {audit_id}: {found}"
    print(f"{changes} changes of single values, all found")
    assert log.problems() == []


@pytest.mark.parametrize(
    ("tampering", "expected"),
    [
        ("DELETE FROM audit_log WHERE id = %(id)s", "the row is missing"),
        ("UPDATE audit_chain SET hash = sha256('x') WHERE audit_id = %(id)s", "the row or its link was changed"),
        ("UPDATE audit_chain SET audit_id = -1 WHERE audit_id = %(id)s", "the row is missing"),
    ],
)
@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_row_taken_out_and_a_link_rewritten_are_found_where_they_are(
    log: Log, tampering: str, expected: str, at: int
) -> None:
    log.write(8)
    log.seal()
    log.owner.execute(tampering.encode(), {"id": (victim := log.chain()[at])})
    found = log.problems()
    assert {one.problem for one in found if one.audit_id in {victim, -1}} == {expected}
    # Sealing again repairs nothing.
    log.seal()
    assert set(log.problems()) >= {one for one in found if one.audit_id in {victim, -1}}


@pytest.mark.parametrize("at", [0, 3, 6])
def test_a_link_taken_out_is_found(log: Log, at: int) -> None:
    log.write(8)
    log.seal()
    ids = log.chain()
    log.owner.execute("DELETE FROM audit_chain WHERE audit_id = %s", (ids[at],))
    assert Problem(ids[at + 1], "links before this one are missing") in log.problems()
    log.seal()
    assert Problem(ids[at + 1], "links before this one are missing") in log.problems()


def test_who_rewrites_the_end_of_the_chain_meets_the_head_that_was_logged(log: Log) -> None:
    log.write(4)
    logged = log.seal()
    last = log.chain()[-1]
    # Taken off and put on again, the same link comes of it: nothing was lost.
    log.owner.execute("DELETE FROM audit_chain WHERE audit_id = %s", (last,))
    assert log.seal() == Seal(1, logged.head_position, logged.head)
    # With another row it is another one.
    log.owner.execute("DELETE FROM audit_chain WHERE audit_id = %s", (last,))
    log.owner.execute("UPDATE audit_log SET target = 'other' WHERE id = %s", (last,))
    rewritten = log.seal()
    assert (rewritten.head_position, log.problems()) == (logged.head_position, [])
    assert rewritten.head != logged.head


def test_a_row_slipped_in_with_an_old_time_is_found(log: Log) -> None:
    log.write(5)
    log.seal()
    row = log.owner.execute(
        "INSERT INTO audit_log (action, target, request_id, created_at) "
        "VALUES ('test.slipped', '', '', now() - interval '2 hours') RETURNING id"
    ).fetchone()
    assert row is not None
    for _ in range(2):
        assert log.problems() == [Problem(row[0], "the row was slipped in")]
        log.write(1)
        log.seal()


def test_the_clock_seals_and_logs_the_head_and_holds_no_writer_up(
    system: None,  # noqa: ARG001
    postgres: Postgres,
    tenant: TestTenant,
    monkeypatch: pytest.MonkeyPatch,
    superuser: Connection,
) -> None:
    logged: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(telemetry, "event", lambda name, **fields: logged.append((name, fields)))
    monkeypatch.setattr(sealer, "_AT_ONCE", 3)
    # Of the tests before, there may be more than it takes at a time.
    while sealer.handler({}, context())["sealed"]:
        pass
    log = Log(postgres, superuser, tenant)
    log.write(8)
    with application(postgres, tenant) as slow:
        append(slow, tenant)
        assert sealer.handler({}, context()) == {"sealed": 8}
        log.write(1)
    end = superuser.execute("SELECT position, hash FROM audit_chain ORDER BY position DESC LIMIT 1").fetchone()
    assert end is not None
    assert logged[-1] == ("audit.sealed", {"rows": 8, "position": end[0], "head": end[1].hex()})
    assert sealer.handler({}, context()) == {"sealed": 2}


def test_a_chain_of_five_thousand_rows_is_sealed_and_verified(log: Log) -> None:
    log.owner.execute(
        """INSERT INTO audit_log (organization_id, workspace_id, user_id, action, target, request_id, ip, detail)
           SELECT %s, %s, %s, 'test.done', n::text, 'req_' || n, '192.0.2.1', jsonb_build_object('rows', n)
           FROM generate_series(1, 5000) AS n""",
        (log.tenant.organization_id, log.tenant.workspace_id, log.tenant.user_id),
    )
    begun = time.perf_counter()
    sealed = 0
    with psycopg.connect(log.server.app_url, autocommit=True) as connection:
        while (run := audit.seal(connection, most=2000)).sealed:
            sealed += run.sealed
        sealing = time.perf_counter() - begun
        begun = time.perf_counter()
        assert problems(connection) == []
        verifying = time.perf_counter() - begun
    print(f"{sealed} rows: sealed in {sealing:.2f} s, verified in {verifying:.2f} s")
    assert sealed == 5000
    assert max(sealing, verifying) < 20
