"""The index as a whole: exact after any history, also while others write, remove and merge."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import index, merge, search, view
from minirag.knowledge.vectors import store as vectors
from tests.layers.knowledge.oracle import Place, assert_same_ranking, scores
from tests.tenants import TestTenant

Connection = psycopg.Connection[Any]

VOCABULARY = [f"w{i}" for i in range(40)]
K = 10


def add_source(tx: Connection, workspace_id: UUID, **columns: Any) -> UUID:
    """A source without chunks."""
    source_id = uuid4()
    tx.execute(
        "INSERT INTO sources (workspace_id, id, name, uri, type, language, tags) VALUES (%s, %s, '', '', %s, %s, %s)",
        (workspace_id, source_id, columns.get("type"), columns.get("language"), columns.get("tags", [])),
    )
    return source_id


def find(tx: Connection, workspace_id: UUID, query: Sequence[str], k: int = K, **filters: Any) -> dict[Place, float]:
    found = search.search(tx, workspace_id, query, k=k, filters=Filters(**filters))
    assert found == sorted(found, key=lambda hit: (-hit.score, hit.source_id, hit.ordinal))
    return {(hit.source_id, hit.ordinal): hit.score for hit in found}


def merge_all(tx: Connection, workspace_id: UUID) -> int:
    merged = 0
    while (wanted := merge.due(tx, workspace_id)) is not None:
        assert merge.run(tx, workspace_id, wanted, carry=vectors.carry)
        merged += 1
    return merged


def random_chunk(rng: random.Random) -> list[str]:
    """Zipf's law in small, with a chunk of none, of very many and of one term over and over now and then."""
    dice = rng.random()
    if dice < 0.02:
        return []
    if dice < 0.04:
        return ["w0"] * rng.randint(200, 600)
    length = rng.randint(900, 2000) if dice < 0.06 else rng.randint(1, 40)
    return [VOCABULARY[min(int(rng.paretovariate(0.7)) - 1, len(VOCABULARY) - 1)] for _ in range(length)]


OPERATIONS = st.lists(st.sampled_from(["insert", "insert", "insert", "remove", "merge"]), min_size=1, max_size=45)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, st.integers(0, 2**32), st.integers(1, 3))
def test_scores_are_those_of_the_textbook_after_any_insertions_removals_and_merges(
    tenant: TestTenant, connect: Callable[[UUID], Connection], operations: list[str], seed: int, fan: int
) -> None:
    workspace_id, rng = tenant.workspace_id, random.Random(seed)
    connection = connect(workspace_id)
    chunks: dict[Place, list[str]] = {}
    sources: list[UUID] = []
    with pytest.MonkeyPatch.context() as patch, connection.transaction(force_rollback=True):
        # Merges come after so few segments only here.
        patch.setattr(merge, "_FAN", fan + 1)
        patch.setattr(merge, "_LEAST", 2)
        for operation in operations:
            if operation == "insert":
                source_id = add_source(connection, workspace_id)
                document = [random_chunk(rng) for _ in range(rng.randint(1, 12))]
                split = rng.randint(0, len(document))
                index.insert(connection, workspace_id, source_id, document[:split])
                index.insert(connection, workspace_id, source_id, document[split:], first_ordinal=split)
                chunks.update({(source_id, ordinal): terms for ordinal, terms in enumerate(document)})
                sources.append(source_id)
            elif operation == "remove" and sources:
                source_id = sources.pop(rng.randrange(len(sources)))
                index.remove(connection, workspace_id, source_id)
                chunks = {place: terms for place, terms in chunks.items() if place[0] != source_id}
            elif operation == "merge":
                merge_all(connection, workspace_id)
            query = [rng.choice([*VOCABULARY, "unknown"]) for _ in range(rng.randint(1, 6))]
            assert_same_ranking(find(connection, workspace_id, query), scores(chunks, query), K)
        merge_all(connection, workspace_id)
        for term in VOCABULARY[:8]:
            assert_same_ranking(find(connection, workspace_id, [term], k=1000), scores(chunks, [term]), 1000)


def test_statistics_are_those_of_the_live_chunks(tenant: TestTenant, connect: Callable[[UUID], Connection]) -> None:
    workspace_id = tenant.workspace_id
    connection = connect(workspace_id)
    first, second = (add_source(connection, workspace_id) for _ in range(2))
    index.insert(connection, workspace_id, first, [["a", "b"], ["a"], ["c"] * 5])
    index.insert(connection, workspace_id, second, [["a", "a", "d"], ["b"]])

    def ask() -> search.Found:
        chunks = view.Request(connection, workspace_id, Filters())
        return search.Request(connection, workspace_id, ["a", "b", "x"], chunks).found(K)

    found = ask()
    assert found.statistics.total == 5
    assert found.statistics.average == pytest.approx(12 / 5)
    assert found.statistics.frequencies == {"a": 3, "b": 2, "x": 0}
    index.remove(connection, workspace_id, first)
    after = ask().statistics
    assert (after.total, after.average, after.frequencies) == (2, 2.0, {"a": 1, "b": 1, "x": 0})


def test_filters_confine_what_is_found_and_leave_the_scores_as_they_are(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    workspace_id = tenant.workspace_id
    connection = connect(workspace_id)
    rng = random.Random(4)
    chunks: dict[Place, list[str]] = {}
    of_type: dict[str, set[UUID]] = {"pdf": set(), "docx": set()}
    for number in range(30):
        kind = "pdf" if number % 3 else "docx"
        source_id = add_source(connection, workspace_id, type=kind)
        of_type[kind].add(source_id)
        document = [random_chunk(rng) for _ in range(3)]
        index.insert(connection, workspace_id, source_id, document)
        chunks.update({(source_id, ordinal): terms for ordinal, terms in enumerate(document)})
    merge_all(connection, workspace_id)
    query = ["w1", "w2", "w5"]
    everything = scores(chunks, query)
    for kind, members in of_type.items():
        wanted = {place: score for place, score in everything.items() if place[0] in members}
        assert_same_ranking(find(connection, workspace_id, query, types=[kind]), wanted, K)
    assert find(connection, workspace_id, query, types=["csv"]) == {}


def test_a_question_of_no_known_term_finds_nothing(tenant: TestTenant, connect: Callable[[UUID], Connection]) -> None:
    connection = connect(tenant.workspace_id)
    assert find(connection, tenant.workspace_id, ["w1"]) == {}
    source_id = add_source(connection, tenant.workspace_id)
    index.insert(connection, tenant.workspace_id, source_id, [["w1"], []])
    assert find(connection, tenant.workspace_id, ["nothing"]) == {}
    assert find(connection, tenant.workspace_id, []) == {}


def test_a_removed_source_leaves_no_segment_of_its_own(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    workspace_id = tenant.workspace_id
    connection = connect(workspace_id)
    source_id = add_source(connection, workspace_id)
    index.insert(connection, workspace_id, source_id, [["w1"], ["w2"]])
    index.remove(connection, workspace_id, source_id)
    for table in ("segments", "pages", "runs", "tombstones"):
        row = connection.execute(f"SELECT count(*) FROM lexical_{table}").fetchone()
        assert row == (0,), table


def test_what_was_removed_is_written_out_of_the_segments_once_it_is_a_third_of_them(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    workspace_id = tenant.workspace_id
    connection = connect(workspace_id)
    sources = [add_source(connection, workspace_id) for _ in range(20)]
    for source_id in sources:
        index.insert(connection, workspace_id, source_id, [["w1", f"only{source_id.hex}"]])
    assert merge_all(connection, workspace_id) == 1
    for source_id in sources[:8]:
        index.remove(connection, workspace_id, source_id)
    assert merge_all(connection, workspace_id) == 1
    row = connection.execute("SELECT sum(chunks), count(*) FROM lexical_segments").fetchone()
    assert row == (12, 1)
    assert connection.execute("SELECT count(*) FROM lexical_tombstones").fetchone() == (0,)
    for page in connection.execute("SELECT dictionary FROM lexical_pages").fetchall():
        assert not any(f"only{source_id.hex}".encode() in page[0] for source_id in sources[:8])
    assert len(find(connection, workspace_id, ["w1"], k=100)) == 12


def test_no_segment_of_another_tenant_is_searched_merged_or_removed(
    tenant: TestTenant, make_tenant: Callable[[], TestTenant], connect: Callable[[UUID], Connection]
) -> None:
    mine, theirs = connect(tenant.workspace_id), connect((other := make_tenant()).workspace_id)
    source_id = add_source(theirs, other.workspace_id)
    for ordinal in range(20):
        index.insert(theirs, other.workspace_id, source_id, [["secret"]], first_ordinal=ordinal)
    # Even where a statement names the other workspace.
    for workspace_id in (tenant.workspace_id, other.workspace_id):
        assert find(mine, workspace_id, ["secret"]) == {}
        assert merge.due(mine, workspace_id) is None
        index.remove(mine, workspace_id, source_id)
    assert len(find(theirs, other.workspace_id, ["secret"], k=50)) == 20


def test_a_snapshot_sees_one_state_while_segments_are_merged_and_removed(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    workspace_id = tenant.workspace_id
    reader, writer = connect(workspace_id), connect(workspace_id)
    sources = [add_source(writer, workspace_id) for _ in range(20)]
    for source_id in sources:
        index.insert(writer, workspace_id, source_id, [["w1"]])
    reader.autocommit = False
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    request = search.Request(reader, workspace_id, ["w1"], view.Request(reader, workspace_id, Filters()))
    with writer.transaction():
        assert merge_all(writer, workspace_id) == 1
    with writer.transaction():
        index.remove(writer, workspace_id, sources[0])
    found = request.found(30)
    assert {source_id for source_id, _ in found.chunks.places(found.best)} == set(sources)
    reader.rollback()
    assert set(find(reader, workspace_id, ["w1"], k=50)) == {(source_id, 0) for source_id in sources[1:]}


def test_a_removal_that_meets_a_merge_waits_for_it_and_then_removes(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    workspace_id = tenant.workspace_id
    merger, remover = connect(workspace_id), connect(workspace_id)
    sources = [add_source(merger, workspace_id) for _ in range(20)]
    for source_id in sources:
        index.insert(merger, workspace_id, source_id, [["w1"]])
    with ThreadPoolExecutor(1) as thread:
        with merger.transaction():
            assert merge_all(merger, workspace_id) == 1

            def remove() -> None:
                with remover.transaction():
                    index.remove(remover, workspace_id, sources[3])

            removal = thread.submit(remove)
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            while merger.execute(waiting, (remover.info.backend_pid,)).fetchone() == (0,):
                assert not removal.done()
        removal.result()
    assert {source_id for source_id, _ in find(merger, workspace_id, ["w1"], k=50)} == {*sources} - {sources[3]}


def test_a_merge_leaves_alone_what_somebody_is_removing_from(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    workspace_id = tenant.workspace_id
    merger, remover = connect(workspace_id), connect(workspace_id)
    sources = [add_source(merger, workspace_id) for _ in range(20)]
    for source_id in sources:
        index.insert(merger, workspace_id, source_id, [["w1"]])
    with remover.transaction():
        index.remove(remover, workspace_id, sources[0])
        wanted = merge.due(merger, workspace_id)
        assert wanted is not None
        with merger.transaction():
            assert not merge.run(merger, workspace_id, wanted, carry=vectors.carry)
    assert {source_id for source_id, _ in find(merger, workspace_id, ["w1"], k=50)} == set(sources[1:])


def test_readers_are_exact_while_others_write_remove_and_merge(
    tenant: TestTenant, connect: Callable[[UUID], Connection], count: Callable[[int, int], int]
) -> None:
    workspace_id = tenant.workspace_id
    rounds = count(150, 3000)
    contents: dict[UUID, list[list[str]]] = {}
    writing = [True, True]

    def write(number: int) -> int:
        rng, connection = random.Random(number), connect(workspace_id)
        mine: list[UUID] = []
        for _ in range(rounds):
            with connection.transaction():
                if mine and rng.random() < 0.4:
                    source_id = mine.pop(rng.randrange(len(mine)))
                    connection.execute("SELECT FROM sources WHERE id = %s FOR UPDATE", (source_id,))
                    index.remove(connection, workspace_id, source_id)
                    connection.execute("UPDATE sources SET deleted_at = now() WHERE id = %s", (source_id,))
                else:
                    document = [random_chunk(rng)[:60] for _ in range(rng.randint(1, 4))]
                    source_id = add_source(connection, workspace_id)
                    contents[source_id] = document
                    index.insert(connection, workspace_id, source_id, document)
                    mine.append(source_id)
        writing[number] = False
        return rounds

    def compact() -> int:
        connection, merged = connect(workspace_id), 0
        while any(writing):
            if (wanted := merge.due(connection, workspace_id)) is not None:
                with connection.transaction():
                    merged += merge.run(connection, workspace_id, wanted, carry=vectors.carry)
        return merged

    def read() -> int:
        rng, connection, compared = random.Random(9), connect(workspace_id), 0
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        while any(writing):
            query = [rng.choice(VOCABULARY[:12]) for _ in range(rng.randint(1, 4))]
            with connection.transaction():
                found = find(connection, workspace_id, query)
                live = connection.execute("SELECT id FROM sources WHERE deleted_at IS NULL").fetchall()
            chunks = {(one, n): terms for (one,) in live for n, terms in enumerate(contents[one])}
            assert_same_ranking(found, scores(chunks, query), K)
            compared += 1
        return compared

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(2)]
        merger, reader = threads.submit(compact), threads.submit(read)
        try:
            written = sum(writer.result() for writer in writers)
        finally:
            writing[:] = [False, False]
        print(f"{written} writes and removals, {merger.result()} merges, {reader.result()} exact readings")
        assert merger.result() > 3
        assert reader.result() > 10


def test_questions_to_an_empty_workspace_leave_little_behind(
    tenant: TestTenant, connect: Callable[[UUID], Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(tenant.workspace_id)
    monkeypatch.setattr(search, "_postings", type(search._postings)(100_000, getsizeof=search._bytes_of))
    for number in range(100):
        find(connection, tenant.workspace_id, [f"w{number}x{i}" for i in range(50)])
    assert 0 < len(search._postings) <= 200
