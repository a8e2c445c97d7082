"""Killed anywhere, nothing is stuck, half-visible or counted twice."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from functions.ingest import send, sweep
from local.moto import JOBS, Moto
from local.postgres import Postgres, temporary
from minirag.runtime import db, settings
from minirag.runtime.migrate import migrate
from tests import tenants
from tests.functions.ingest.test_ingestion import job_of, paste, sources, upload
from tests.tenants import TestTenant

ROOT = Path(__file__).parents[3]
LEASE_SECONDS = 1
TEXT = "\n\n".join(f"# Wonder {part}\n\n" + f"The wonder number {part} stood by the sea. " * 40 for part in range(3))
HELD = """
SELECT (SELECT count(*) FROM chunks WHERE workspace_id = t.workspace_id),
       (SELECT count(*) FROM source_texts WHERE workspace_id = t.workspace_id),
       (SELECT coalesce(sum(size), 0) FROM lexical_runs WHERE workspace_id = t.workspace_id),
       (SELECT count(DISTINCT (source_id, ordinal)) FROM chunk_vectors WHERE workspace_id = t.workspace_id),
       (SELECT count(*) FROM staged_vectors WHERE workspace_id = t.workspace_id),
       t.chunks, t.bytes
FROM workspace_totals t
WHERE t.workspace_id = %s
"""


@pytest.fixture(autouse=True)
def short_leases(system: None, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001
    monkeypatch.setenv("MINIRAG_LEASE_SECONDS", str(LEASE_SECONDS))
    settings.current.cache_clear()
    yield
    monkeypatch.undo()
    settings.current.cache_clear()


class Worker:
    """Worker processes of their own, which may be told to die."""

    def __init__(self, moto: Moto) -> None:
        self._queue = moto.queue_url(JOBS)

    def run(self, calls: int | None = None, *, victim: int | None = None) -> int | None:
        """Do what lies in the queue; returns the calls that were made, None if the worker was killed.

        After so many calls the worker is killed, or the `victim` in its place.
        """
        command = [sys.executable, "-m", "tests.functions.ingest.dying_worker", self._queue]
        if calls is not None:
            command.append(str(calls))
        if victim is not None:
            command.append(str(victim))
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, check=False, timeout=120)
        if done.returncode == -9:
            return None
        assert done.returncode == 0, done.stderr.decode()
        return int(done.stdout.split()[-1])


@pytest.fixture
def worker(moto: Moto, lose_messages: Callable[[], None]) -> Worker:
    lose_messages()
    return Worker(moto)


def held(superuser: psycopg.Connection[Any], tenant: TestTenant) -> tuple[int, ...]:
    row = superuser.execute(HELD, (tenant.workspace_id,)).fetchone()
    assert row is not None
    return tuple(map(int, row))


def end(api: httpx.Client, tenant: TestTenant, worker: Worker, job_id: str) -> dict[str, Any]:
    """What becomes of a job when sweeper and workers go on as they do."""
    deadline = time.monotonic() + 60
    while (job := job_of(api, tenant, job_id))["status"] not in {"done", "failed"}:
        assert time.monotonic() < deadline, job
        time.sleep(LEASE_SECONDS / 4)
        sweep.handler({}, None)
        worker.run()
    return job


def test_a_worker_killed_at_any_point_leaves_nothing_stuck_or_half_done(
    api: httpx.Client,
    tenant: TestTenant,
    worker: Worker,
    route_events: Callable[[], None],
    superuser: psycopg.Connection[Any],
    count: Callable[[int, int], int],
) -> None:
    source_id = paste(api, tenant, "The version before.")["source_id"]
    route_events()
    whole = worker.run()
    assert whole is not None
    before = held(superuser, tenant)
    points = count(2, 20)
    killed = 0
    for point in range(points):
        job = upload(api, tenant, "wonders.md", TEXT.encode(), source_id=source_id).json()["jobs"][0]
        route_events()
        if worker.run(1 + point * whole // points) is None:
            killed += 1
            # Either all of the old version or all of the new one, and the counts say the same.
            assert held(superuser, tenant)[:4] in {before[:4], (3, 1, 3, 3)}
        done = end(api, tenant, worker, job["id"])
        assert (done["status"], done["error"]) == ("done", None)
        assert held(superuser, tenant) == (3, 1, 3, 3, 0, 3, len(TEXT))
        assert [one["name"] for one in sources(api, tenant)] == ["wonders.md"]
        again = paste(api, tenant, "The version before.", source_id=source_id)
        route_events()
        assert end(api, tenant, worker, again["id"])["status"] == "done"
        assert held(superuser, tenant) == before
    assert killed >= points - 1
    print(f"{killed} kills, {points} documents whole, 0 stuck, 0 half")


@pytest.fixture
def own_postgres(system: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:  # noqa: ARG001
    """A database that may be killed."""
    with temporary() as server:
        migrate(server.owner_url, server.app_password)
        monkeypatch.setenv("MINIRAG_DATABASE_URL", server.app_url)
        settings.current.cache_clear()
        db.close()
        yield server
        db.close()


def test_a_database_killed_at_any_point_leaves_nothing_stuck_or_half_done(
    own_postgres: Postgres,
    api: httpx.Client,
    worker: Worker,
    route_events: Callable[[], None],
    count: Callable[[int, int], int],
) -> None:
    tenant = tenants.make(own_postgres.superuser_url)
    source_id = paste(api, tenant, "The version before.")["source_id"]
    route_events()
    whole = worker.run()
    assert whole is not None
    points = count(1, 20)
    for point in range(points):
        job = upload(api, tenant, f"{point}.md", TEXT.encode(), source_id=source_id).json()["jobs"][0]
        route_events()
        worker.run(whole * (2 * point + 1) // (2 * points), victim=own_postgres.pid)
        own_postgres.stop()  # what is left of it
        own_postgres.start()
        done = end(api, tenant, worker, job["id"])
        assert (done["status"], done["error"]) == ("done", None)
        with psycopg.connect(own_postgres.superuser_url, autocommit=True) as superuser:
            assert held(superuser, tenant) == (3, 1, 3, 3, 0, 3, len(TEXT))
    print(f"{points} kills of the database, {points} documents whole")


def test_totals_are_exact_after_many_deliveries_and_kills(
    api: httpx.Client,
    tenant: TestTenant,
    worker: Worker,
    route_events: Callable[[], None],
    superuser: psycopg.Connection[Any],
    count: Callable[[int, int], int],
) -> None:
    rng = random.Random(6)
    documents, kills = count(8, 500), count(1, 30)
    ids = [paste(api, tenant, f"Note {number}. " * 40)["id"] for number in range(documents)]
    route_events()
    for job_id in ids:  # each twice
        send.job(tenant.workspace_id, UUID(job_id))
    killed = 0
    for _ in range(kills):
        killed += worker.run(rng.randrange(200, 200 + 60 * documents // kills)) is None
        sweep.handler({}, None)
    # One that was killed three times may have been given up.
    given_up = sum(end(api, tenant, worker, job_id)["status"] == "failed" for job_id in ids)
    assert given_up <= killed / 3
    chunks, _, indexed, embedded, staged, counted, size = held(superuser, tenant)
    assert (indexed, embedded, staged, counted) == (chunks, chunks, 0, chunks)
    ready = [one for one in every_source(api, tenant) if one["status"] == "ready"]
    assert (chunks, size) == (documents - given_up, sum(one["bytes"] for one in ready))
    print(f"{2 * documents} deliveries, {killed} kills: {counted} chunks counted, {chunks} there")


def every_source(api: httpx.Client, tenant: TestTenant) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = api.get("/api/v1/sources", headers=tenant.headers, params=query).json()
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            return found
