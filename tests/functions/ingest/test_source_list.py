"""The list of documents is cached, and yet never older than the last commit before it was asked for."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from local import ports
from local.moto import BUCKET
from local.postgres import Postgres
from local.valkey import Valkey
from minirag.knowledge import sources
from minirag.runtime import cache, settings
from minirag.runtime.page import Cursor
from minirag.tenancy import workspaces
from tests.functions.ingest.test_ingestion import TEXT, Deliver, paste, upload
from tests.functions.ingest.test_ledger import retry
from tests.tenants import TestTenant, add_member

PLACE: Final = "/api/v1/sources"
BROKEN: Final = b"%PDF-1.7 nothing"
# Of what a list shows, another value each.
OTHER_VALUES: Final[dict[str, object]] = {
    "name": "Colossus", "type": "pdf", "uri": "drop:colossus.pdf", "status": "failed", "bytes": 7, "pages": 3,
    "chunks": 11, "language": "el", "tags": ["wonders"], "error_code": "broken_pdf", "error_detail": "It is broken.",
}  # fmt: skip

Connection = psycopg.Connection[Any]


@contextmanager
def cached_at(url: str | None) -> Iterator[None]:
    """Let the functions use the cache at this address, or none."""
    with pytest.MonkeyPatch.context() as patch:
        if url is None:
            patch.delenv("MINIRAG_REDIS_URL", raising=False)
        else:
            patch.setenv("MINIRAG_REDIS_URL", url)
        patch.setattr(cache, "_closed_from", 0.0)
        settings.current.cache_clear()
        yield
    settings.current.cache_clear()


@pytest.fixture
def cached(system: None, valkey: Valkey) -> Iterator[None]:  # noqa: ARG001
    """Let the functions use a cache."""
    with cached_at(valkey.url):
        yield


@contextmanager
def connected(postgres: Postgres, tenant: TestTenant) -> Iterator[Connection]:
    """The application for the tenant, which waits for nobody longer than a second; a statement is a transaction."""
    with psycopg.connect(postgres.app_url, autocommit=True, options="-c statement_timeout=1s") as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
        yield connection


def listed(api: httpx.Client, tenant: TestTenant, **params: Any) -> httpx.Response:
    answer = api.get(PLACE, headers=tenant.headers, params=params)
    assert answer.status_code == 200, answer.text
    return answer


def names(answer: httpx.Response) -> list[str]:
    return [item["name"] for item in answer.json()["items"]]


def version(superuser: Connection, tenant: TestTenant) -> int:
    row = superuser.execute("SELECT sources_version FROM workspaces WHERE id = %s", (tenant.workspace_id,)).fetchone()
    assert row is not None
    return int(row[0])


def add(connection: Connection, tenant: TestTenant) -> UUID:
    source_id = uuid4()
    sources.create(connection, tenant.workspace_id, source_id, user_id=None)
    return source_id


def rename(connection: Connection, tenant: TestTenant, name: str, source_id: UUID | None = None) -> None:
    """One document, or all, by whoever."""
    connection.execute(
        "UPDATE sources SET name = %s WHERE workspace_id = %s AND id = coalesce(%s, id)",
        (name, tenant.workspace_id, source_id),
    )


class Interleaving:
    """What happens to the documents of a tenant, in any order, and what the list says after each."""

    def __init__(self, api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any, chance: random.Random) -> None:
        self._api, self._tenant, self._deliver, self._s3, self._chance = api, tenant, deliver, s3, chance
        self.reads: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()

    def change(self) -> None:
        steps: dict[str, Callable[[], object]] = {
            "paste": self._paste, "replace": self._replace, "retag": self._retag, "break": self._break,
            "drop": self._drop, "take away": self._take_away, "delete": self._delete, "retry": self._retry,
            "dedupe": self._dedupe, "deliver": self._deliver,
        }  # fmt: skip
        kind = self._chance.choice((*steps, "deliver", "deliver"))
        steps[kind]()
        self.changes[kind] += 1

    def read(self) -> None:
        """A page or two of the list, each as one that nobody has cached."""
        cursor: str | None = None
        limit = self._chance.choice((1, 2, 50))
        for _ in range(self._chance.choice((1, 1, 2))):
            params = {"limit": limit} if cursor is None else {"limit": limit, "cursor": cursor}
            answer = listed(self._api, self._tenant, **params)
            with cached_at(None):
                wanted = listed(self._api, self._tenant, **params)
            assert wanted.headers["X-Cache"] == "miss"
            assert answer.json() == wanted.json()
            self.reads[answer.headers["X-Cache"]] += 1
            cursor = answer.json()["next_cursor"]
            if cursor is None:
                return

    def _documents(self) -> list[dict[str, Any]]:
        with cached_at(None):
            items: list[dict[str, Any]] = listed(self._api, self._tenant, limit=200).json()["items"]
        return items

    def _paste(self) -> None:
        paste(self._api, self._tenant, self._chance.choice((TEXT, "The temple of Artemis stood at Ephesus.")))

    def _replace(self, **more: Any) -> None:
        own = [one["id"] for one in self._documents() if not one["uri"].startswith("drop:")]
        if own:
            paste(self._api, self._tenant, f"Wonder {uuid4()}", source_id=self._chance.choice(own), **more)

    def _retag(self) -> None:
        self._replace(tags=[self._chance.choice(("wonders", "seven"))])

    def _break(self) -> None:
        upload(self._api, self._tenant, "broken.pdf", BROKEN)

    def _drop(self) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=self._file(), Body=f"Wonder {uuid4()}".encode())

    def _take_away(self) -> None:
        self._s3.delete_object(Bucket=BUCKET, Key=self._file())

    def _file(self) -> str:
        return f"drop/{self._tenant.workspace_id}/{self._chance.choice('ab')}.txt"

    def _delete(self) -> None:
        if documents := self._documents():
            place = f"{PLACE}/{self._chance.choice(documents)['id']}"
            assert self._api.delete(place, headers=self._tenant.headers).status_code == 204

    def _retry(self) -> None:
        known = self._api.get("/api/v1/jobs", headers=self._tenant.headers).json()["items"]
        failed = [job["id"] for job in known if job["status"] == "failed"]
        if failed:
            retry(self._api, self._tenant, self._chance.choice(failed))

    def _dedupe(self) -> None:
        assert self._api.post("/api/v1/dedupe", headers=self._tenant.headers).status_code == 202


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cached")
def test_whatever_happens_in_whatever_order_the_list_is_what_an_uncached_one_says(
    api: httpx.Client,
    make_tenant: Callable[[], TestTenant],
    deliver: Deliver,
    s3: Any,
    count: Callable[[int, int], int],
) -> None:
    reads: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    for seed in range(count(2, 20)):
        chance = random.Random(seed)
        run = Interleaving(api, make_tenant(), deliver, s3, chance)
        for _ in range(count(40, 200)):
            if chance.random() < 0.4:
                run.change()
            else:
                run.read()
        reads += run.reads
        changes += run.changes
    print(f"{changes.total()} changes ({dict(changes)}), {reads.total()} reads ({dict(reads)}), 0 stale")
    assert reads["hit"] > 0
    assert reads["miss"] > 0


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("when", ["before it reads", "after it has read"])
def test_who_keeps_a_list_after_it_has_changed_shows_it_to_nobody_who_asks_later(
    api: httpx.Client, tenant: TestTenant, superuser: Connection, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    whole = sources.page
    source_id = add(superuser, tenant)
    rename(superuser, tenant, "old", source_id)

    def overtaken(*given: Any, **more: Any) -> list[sources.Source]:
        monkeypatch.setattr(sources, "page", whole)
        if when == "before it reads":
            rename(superuser, tenant, "new", source_id)
        rows = whole(*given, **more)
        if when == "after it has read":
            rename(superuser, tenant, "new", source_id)
        return rows

    monkeypatch.setattr(sources, "page", overtaken)
    first, *later = [listed(api, tenant) for _ in range(3)]
    # What was read at the same time may be either.
    assert names(first) == (["new"] if when == "before it reads" else ["old"])
    assert [(names(answer), answer.headers["X-Cache"]) for answer in later] == [(["new"], "miss"), (["new"], "hit")]


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cached")
def test_while_documents_change_every_list_is_at_least_as_new_as_the_last_commit_before_it(
    api: httpx.Client, tenant: TestTenant, postgres: Postgres, count: Callable[[int, int], int]
) -> None:
    committed, over = [0], threading.Event()

    def write() -> None:
        chance = random.Random(7)
        with connected(postgres, tenant) as connection:
            source_id = add(connection, tenant)
            while not over.is_set():
                rename(connection, tenant, str(committed[0] + 1), source_id)
                committed[0] += 1
                over.wait(chance.choice((0, 0, 0.001, 0.01)))

    reads: Counter[str] = Counter()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            while reads.total() < count(500, 20_000) and not writing.done():
                before = committed[0]
                answer = listed(api, tenant)
                if before:
                    assert [int(name) for name in names(answer)] >= [before]
                    reads[answer.headers["X-Cache"]] += 1
        finally:
            over.set()
        writing.result()
    print(f"{committed[0]} changes, {reads.total()} reads ({dict(reads)}), 0 stale")
    assert reads["hit"] > 0


@pytest.mark.usefixtures("cached")
def test_what_is_not_committed_yet_changes_nothing_and_shows_once_it_is(
    api: httpx.Client, tenant: TestTenant, superuser: Connection, postgres: Postgres
) -> None:
    source_id = add(superuser, tenant)
    rename(superuser, tenant, "old", source_id)
    listed(api, tenant)
    with connected(postgres, tenant) as connection:
        with connection.transaction():
            rename(connection, tenant, "new", source_id)
            during = listed(api, tenant)
        after = listed(api, tenant)
        with connection.transaction(force_rollback=True):
            rename(connection, tenant, "undone", source_id)
        undone = listed(api, tenant)
    assert (names(during), during.headers["X-Cache"]) == (["old"], "hit")
    assert (names(after), after.headers["X-Cache"]) == (["new"], "miss")
    assert (names(undone), undone.headers["X-Cache"]) == (["new"], "hit")


@pytest.mark.usefixtures("cached")
def test_a_list_is_cached_for_all_who_may_see_it_and_for_no_other_workspace(
    api: httpx.Client, make_tenant: Callable[[], TestTenant], postgres: Postgres, superuser: Connection
) -> None:
    one, other = make_tenant(), make_tenant()
    for tenant in (one, other):
        rename(superuser, tenant, str(tenant.workspace_id), add(superuser, tenant))
        assert version(superuser, tenant) == 2
        answer = listed(api, tenant)
        assert (names(answer), answer.headers["X-Cache"]) == ([str(tenant.workspace_id)], "miss")
    reader = add_member(postgres.superuser_url, one, role="reader")
    answer = api.get(PLACE, headers={"X-API-Key": reader})
    assert (names(answer), answer.headers["X-Cache"]) == ([str(one.workspace_id)], "hit")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_a_cache_or_while_it_is_down_the_list_is_read(
    api: httpx.Client, tenant: TestTenant, superuser: Connection
) -> None:
    add(superuser, tenant)
    answers = [listed(api, tenant) for _ in range(2)]
    with cached_at(f"redis://{ports.LOOPBACK}:{ports.pick()}/0"):
        answers += [listed(api, tenant) for _ in range(2)]
    assert [answer.headers["X-Cache"] for answer in answers] == ["miss"] * 4
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.usefixtures("cached")
def test_a_broken_cursor_is_refused_and_not_looked_for(api: httpx.Client, tenant: TestTenant) -> None:
    answer = api.get(PLACE, headers=tenant.headers, params={"cursor": "x"})
    assert answer.status_code == 400
    assert "X-Cache" not in answer.headers


@pytest.mark.usefixtures("cached")
def test_an_admin_of_a_workspace_lets_go_what_was_cached_for_it(
    api: httpx.Client, make_tenant: Callable[..., TestTenant], postgres: Postgres, superuser: Connection
) -> None:
    one, other = make_tenant(), make_tenant()
    generations = "SELECT generation, sources_version FROM workspaces WHERE id = %s"
    for tenant in (one, other):
        listed(api, tenant)
    place = f"/api/v1/workspaces/{one.workspace_id}/cache/clear"
    editor = add_member(postgres.superuser_url, one, role="editor", scopes=("read", "write", "admin"))
    assert api.post(place, headers={"X-API-Key": editor}).status_code == 403
    assert api.post(place, headers=other.headers).status_code == 404
    cleared = api.post(place, headers=one.headers)
    assert (cleared.status_code, cleared.json()) == (200, {"workspaces": 1})
    assert [listed(api, tenant).headers["X-Cache"] for tenant in (one, other)] == ["miss", "hit"]
    assert superuser.execute(generations, (one.workspace_id,)).fetchone() == (1, 1)
    assert superuser.execute(generations, (other.workspace_id,)).fetchone() == (0, 0)
    lines = superuser.execute(
        "SELECT action, target, user_id FROM audit_log WHERE workspace_id = %s", (one.workspace_id,)
    ).fetchall()
    assert lines == [("workspace.cache.clear", str(one.workspace_id), one.user_id)]


def test_whatever_the_list_shows_of_a_document_raises_the_version_when_it_changes(
    tenant: TestTenant, superuser: Connection
) -> None:
    source_id, other = add(superuser, tenant), add(superuser, tenant)
    values = {**OTHER_VALUES, "duplicate_of": other, "created_at": "2020-01-01T00:00:00Z", "id": uuid4()}
    assert set(values) == {field.name for field in fields(sources.Source)}
    before = version(superuser, tenant)
    for name, value in values.items():
        statement = f"UPDATE sources SET {name} = %s WHERE workspace_id = %s AND id = %s"
        superuser.execute(statement.encode(), (value, tenant.workspace_id, source_id))
        assert version(superuser, tenant) == (before := before + 1), name


def test_what_the_list_shows_nothing_of_raises_no_version(tenant: TestTenant, superuser: Connection) -> None:
    whose = (tenant.workspace_id, add(superuser, tenant))
    raised = [version(superuser, tenant)]
    for change in (
        "name = name", "deleted_at = now()",
        "object_key = NULL, seen = '7', bytes = 0", "deleted_at = NULL", "name = 'x'",
    ):  # fmt: skip
        superuser.execute(f"UPDATE sources SET {change} WHERE workspace_id = %s AND id = %s".encode(), whose)
        raised.append(version(superuser, tenant))
    superuser.execute("DELETE FROM sources WHERE workspace_id = %s AND id = %s", whose)
    raised.append(version(superuser, tenant))
    # The same again, gone, a tombstone of which something changes, back, renamed, away.
    assert raised == [1, 1, 2, 2, 3, 4, 5]


def test_a_transaction_raises_the_version_once_however_many_documents_it_changes(
    postgres: Postgres, tenant: TestTenant, superuser: Connection
) -> None:
    with connected(postgres, tenant) as connection:
        with connection.transaction():
            for _ in range(20):
                add(connection, tenant)
            rename(connection, tenant, "Pharos")
            assert version(superuser, tenant) == 0
        assert version(superuser, tenant) == 1
        rename(connection, tenant, "Ephesus")
        assert version(superuser, tenant) == 2
        with connection.transaction():
            with connection.transaction(force_rollback=True):
                rename(connection, tenant, "nowhere")
            rename(connection, tenant, "Rhodes")
        with connection.transaction(), connection.transaction(force_rollback=True):
            rename(connection, tenant, "nowhere")
        assert version(superuser, tenant) == 3
    shown = superuser.execute("SELECT DISTINCT name FROM sources WHERE workspace_id = %s", (tenant.workspace_id,))
    assert shown.fetchall() == [("Rhodes",)]


def test_of_two_that_change_documents_neither_waits_for_the_other_before_its_end(
    postgres: Postgres, tenant: TestTenant, superuser: Connection
) -> None:
    with connected(postgres, tenant) as one, connected(postgres, tenant) as other:
        first, second = add(one, tenant), add(other, tenant)
        with one.transaction():
            rename(one, tenant, "one", first)
            rename(other, tenant, "other", second)
    assert version(superuser, tenant) == 4


def test_documents_that_come_and_go_at_the_same_time_lock_nobody_out(
    postgres: Postgres, tenant: TestTenant, superuser: Connection, count: Callable[[int, int], int]
) -> None:
    threads, each = 8, count(25, 500)
    start = threading.Barrier(threads)

    def run(number: int) -> None:
        chance = random.Random(number)
        with psycopg.connect(postgres.app_url, autocommit=True, options="-c lock_timeout=10s") as connection:
            connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
            start.wait(10)
            for _ in range(each):
                with connection.transaction():
                    # As uploads do; and as those that end, whose questions find something else from now on.
                    workspaces.hold(connection, tenant.workspace_id)
                    source_id = add(connection, tenant)
                    rename(connection, tenant, "Pharos", source_id)
                    if chance.random() < 0.5:
                        sources.bury(connection, tenant.workspace_id, source_id)
                        workspaces.next_generation(connection, tenant.workspace_id)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run, number) for number in range(threads)]:
            done.result()
    print(f"{threads * each} transactions of {threads} callers, 0 deadlocks")
    assert version(superuser, tenant) == threads * each


@pytest.mark.usefixtures("cached")
def test_pages_are_cached_apart(api: httpx.Client, tenant: TestTenant, superuser: Connection) -> None:
    ids = [add(superuser, tenant) for _ in range(3)]
    moments = dict(superuser.execute("SELECT id, created_at FROM sources WHERE id = ANY(%s)", (ids,)).fetchall())
    cursor = Cursor(moments[ids[2]], ids[2]).encode()
    asked: list[dict[str, Any]] = [{}, {"limit": 1}, {"limit": 2}, {"limit": 1, "cursor": cursor}]
    for wanted in ("miss", "hit"):
        answers = [listed(api, tenant, **params) for params in asked]
        assert [answer.headers["X-Cache"] for answer in answers] == [wanted] * 4
        shown = [[UUID(item["id"]) for item in answer.json()["items"]] for answer in answers]
        assert shown == [ids[::-1], [ids[2]], [ids[2], ids[1]], [ids[1]]]
        assert [answer.json()["next_cursor"] is None for answer in answers] == [True, False, False, False]
