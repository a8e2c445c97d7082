"""Nearest chunks: those that an exact scan finds, after any history, for tenants and filters of any size."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import index, merge
from minirag.knowledge.vectors import search, signatures, store
from minirag.runtime.errors import Unprocessable
from tests.tenants import TestTenant

Connection = psycopg.Connection[Any]
Place = tuple[UUID, int]
Stored = dict[Place, NDArray[np.float32]]  # the windows of each chunk, (windows, dimension)

MODEL = "test"
DIMENSION = 64


def unit(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    vectors = rng.standard_normal(shape).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def add(
    tx: Connection, workspace_id: UUID, windows: list[NDArray[np.float32]], model: str = MODEL, **columns: Any
) -> tuple[UUID, Stored]:
    """A source of a chunk for each of `windows`, which may be none."""
    source_id = uuid4()
    tx.execute(
        "INSERT INTO sources (workspace_id, id, name, uri, type, tags) VALUES (%s, %s, '', '', %s, %s)",
        (workspace_id, source_id, columns.get("type"), columns.get("tags", [])),
    )
    tx.cursor().executemany(
        """INSERT INTO chunks (workspace_id, source_id, id, ordinal, start_offset, end_offset, content, content_hash,
                               tokens)
           VALUES (%s, %s, gen_random_uuid(), %s, 0, 1, 'x', '', 1)""",
        [(workspace_id, source_id, ordinal) for ordinal in range(len(windows))],
    )
    placed = index.insert(tx, workspace_id, source_id, [["w"]] * len(windows))
    rows = [store.Row(ordinal, number, one) for ordinal, of in enumerate(windows) for number, one in enumerate(of)]
    store.insert(tx, workspace_id, source_id, model, rows)
    store.sign(tx, workspace_id, source_id, placed)
    return source_id, {(source_id, ordinal): of for ordinal, of in enumerate(windows) if len(of)}


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    index.remove(tx, workspace_id, source_id)
    store.remove(tx, workspace_id, source_id)


def merge_all(tx: Connection, workspace_id: UUID) -> int:
    merged = 0
    while (wanted := merge.due(tx, workspace_id)) is not None:
        assert merge.run(tx, workspace_id, wanted, carry=store.carry)
        merged += 1
    return merged


def assert_nearest(
    tx: Connection, workspace_id: UUID, stored: Stored, query: NDArray[np.float32], k: int, **filters: Any
) -> None:
    """Search finds what looking at every stored vector finds."""
    expected = {place: float((of @ query).max()) for place, of in stored.items()}
    found = search.search(tx, workspace_id, MODEL, query, k=k, filters=Filters(**filters))
    assert found == sorted(found, key=lambda hit: (-hit.score, hit.source_id, hit.ordinal))
    best = sorted(expected.values(), reverse=True)[:k]
    assert len(found) == len(best)
    for hit, score in zip(found, best, strict=True):
        # Half precision: three digits.
        assert abs(hit.score - score) < 2e-3
        assert abs(hit.score - expected[hit.source_id, hit.ordinal]) < 2e-3


OPERATIONS = st.lists(st.sampled_from(["insert", "insert", "insert", "remove", "merge"]), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, st.integers(0, 2**32), st.integers(1, 3))
def test_the_nearest_are_those_of_an_exact_scan_after_any_insertions_removals_and_merges(
    tenant: TestTenant, connect: Callable[[UUID], Connection], operations: list[str], seed: int, fan: int
) -> None:
    workspace_id, rng, dice = tenant.workspace_id, np.random.default_rng(seed), random.Random(seed)
    connection = connect(workspace_id)
    stored: Stored = {}
    with pytest.MonkeyPatch.context() as patch, connection.transaction(force_rollback=True):
        patch.setattr(merge, "_FAN", fan + 1)
        patch.setattr(merge, "_LEAST", 2)
        # All of so few are looked at exactly; what signatures miss of many is measured elsewhere.
        patch.setattr(search, "_BESIDE", 1000)
        for operation in operations:
            if operation == "insert":
                # Chunks of no, one or several windows; documents without any vector.
                windows = [unit(rng, dice.choice([0, 1, 1, 2, 5]), DIMENSION) for _ in range(dice.randint(1, 8))]
                if dice.random() < 0.2:
                    windows = [unit(rng, 0, DIMENSION)] * len(windows)
                stored |= add(connection, workspace_id, windows)[1]
            elif operation == "remove" and stored:
                source_id = dice.choice(sorted({place[0] for place in stored}))
                remove(connection, workspace_id, source_id)
                stored = {place: of for place, of in stored.items() if place[0] != source_id}
            elif operation == "merge":
                merge_all(connection, workspace_id)
            assert_nearest(connection, workspace_id, stored, unit(rng, DIMENSION), dice.choice([1, 10, 200]))
        merge_all(connection, workspace_id)


def test_recall_at_ten_is_kept_and_every_match_is_found_for_tenants_and_filters_of_any_size(
    make_tenant: Callable[..., TestTenant], connect: Callable[[UUID], Connection]
) -> None:
    rng = np.random.default_rng(7)
    centres = unit(rng, 40, 384)
    for share in (2, 10, 100, 1000):  # chunks of tenants that share the tables
        tenant = make_tenant()
        connection = connect(tenant.workspace_id)
        stored: Stored = {}
        tagged: Stored = {}
        with connection.transaction():
            for first in range(0, share, 50):
                count = min(50, share - first)
                near = centres[rng.integers(0, 40, count)] + 0.6 * unit(rng, count, 384)
                near /= np.linalg.norm(near, axis=1, keepdims=True)
                tags = ["rare"] if first == 0 else []
                _, new = add(connection, tenant.workspace_id, list(near[:, np.newaxis]), tags=tags)
                stored |= new
                tagged |= new if tags else {}
        recalled = 0
        for _ in range(20):
            query = unit(rng, 384) * 0.5 + centres[rng.integers(0, 40)]
            query /= np.linalg.norm(query)
            for wanted, filters in ((stored, Filters()), (tagged, Filters(tags=["rare"]))):
                found = search.search(connection, tenant.workspace_id, MODEL, query, k=10, filters=filters)
                assert len(found) == min(10, len(wanted))
                best = sorted(wanted, key=lambda place: -float(wanted[place][0] @ query))[:10]
                recalled += len({(hit.source_id, hit.ordinal) for hit in found} & set(best))
            assert len(search.search(connection, tenant.workspace_id, MODEL, query, k=2000, filters=Filters())) == share
        recall = recalled / (20 * (min(10, share) + min(10, len(tagged))))
        print(f"{share} chunks: recall@10 {recall:.3f}")
        assert recall >= 0.98


def test_no_chunk_is_lost_to_the_many_windows_of_another(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    rng = np.random.default_rng(1)
    query = unit(rng, DIMENSION)
    crowd = np.repeat(query[np.newaxis], 500, axis=0)
    connection = connect(tenant.workspace_id)
    with connection.transaction():
        _, stored = add(connection, tenant.workspace_id, [crowd, *unit(rng, 12, 1, DIMENSION)])
    assert_nearest(connection, tenant.workspace_id, stored, query, 10)


def test_models_of_different_dimensions_lie_side_by_side(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    rng = np.random.default_rng(2)
    workspace_id, connection = tenant.workspace_id, connect(tenant.workspace_id)
    with connection.transaction():
        source_id, stored = add(connection, workspace_id, list(unit(rng, 30, 1, DIMENSION)))
        # Another model's vectors of the same chunks, of a dimension that fills no whole words; signed anew, in place.
        wide = unit(rng, 30, 100)
        store.insert(connection, workspace_id, source_id, "wide", [store.Row(i, 0, one) for i, one in enumerate(wide)])
        index.remove(connection, workspace_id, source_id)
        store.sign(connection, workspace_id, source_id, index.insert(connection, workspace_id, source_id, [["w"]] * 30))
    for _ in range(10):
        assert_nearest(connection, workspace_id, stored, unit(rng, DIMENSION), 5)
        query = unit(rng, 100)
        found = search.search(connection, workspace_id, "wide", query, k=5, filters=Filters())
        assert [hit.ordinal for hit in found] == np.argsort(-(wide @ query))[:5].tolist()
    assert search.search(connection, workspace_id, "none", query, k=5, filters=Filters()) == []


def test_a_dimension_that_does_not_match_is_named_and_spoils_nothing(
    tenant: TestTenant, connect: Callable[[UUID], Connection]
) -> None:
    rng = np.random.default_rng(4)
    workspace_id, connection = tenant.workspace_id, connect(tenant.workspace_id)
    with connection.transaction():
        _, stored = add(connection, workspace_id, list(unit(rng, 5, 1, DIMENSION)))
    for dimension in (DIMENSION - 1, DIMENSION + 64):
        with pytest.raises(Unprocessable, match=f"{MODEL} now gives vectors of {dimension} dimensions"):
            search.search(connection, workspace_id, MODEL, unit(rng, dimension), k=5, filters=Filters())
        with pytest.raises(Unprocessable, match=f"{dimension} dimensions"), connection.transaction():
            add(connection, workspace_id, list(unit(rng, 1, 1, dimension)))
        assert_nearest(connection, workspace_id, stored, unit(rng, DIMENSION), 5)


def test_no_statement_of_the_search_reaches_another_tenants_vectors(
    make_tenant: Callable[..., TestTenant], connect: Callable[[UUID], Connection]
) -> None:
    mine, theirs = make_tenant(), make_tenant()
    rng = np.random.default_rng(3)
    connection, other = connect(mine.workspace_id), connect(theirs.workspace_id)
    with other.transaction():
        source_id, _ = add(other, theirs.workspace_id, list(unit(rng, 5, 1, DIMENSION)))
    query = unit(rng, DIMENSION)
    assert len(search.search(other, theirs.workspace_id, MODEL, query, k=5, filters=Filters())) == 5
    # Under the other's name, and with the other's source, but without its rights.
    for workspace_id in (mine.workspace_id, theirs.workspace_id):
        for filters in (Filters(), Filters(source_ids=[source_id])):
            assert search.search(connection, workspace_id, MODEL, query, k=5, filters=filters) == []


@given(st.integers(0, 2**32), st.integers(0, 300), st.integers(1, 200))
def test_signatures_are_the_signs_and_survive_packing_and_merging(seed: int, chunks: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, chunks).astype(signatures.COUNT)
    vectors = rng.standard_normal((int(counts.sum()), dimension)).astype(np.float32)
    packed = np.packbits(vectors > 0, axis=1).tobytes()
    keep = rng.random(chunks) < 0.7
    twice = signatures.merge([(keep, counts.tobytes(), packed), (keep, b"", b""), (~keep, counts.tobytes(), packed)])
    read = signatures.unpack(*twice, 5)
    kept = np.concatenate([vectors[np.repeat(keep, counts)], vectors[np.repeat(~keep, counts)]])
    assert np.array_equal(read.words, signatures.words(kept)) or not len(kept)
    expected = np.repeat(
        np.arange(5, 5 + 2 * keep.sum() + (~keep).sum()),
        np.concatenate([counts[keep], np.zeros(keep.sum(), dtype=int), counts[~keep]]),
    )
    assert read.chunks.tolist() == expected.tolist()
