"""Vector search: what it finds of what exact cosine finds, and how fast, for tenants of one shared table."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.engine import TOP, Merging, Tenant, bytes_of, forget, forgotten
from bench.results import OURS, Contender, Results, interleave, say, timed
from bench.synthetic import Clusters, nearest
from bench.tables import literal, total_bytes
from evals.store import Document, Store
from minirag.knowledge.hits import Hit

PEERS: Final = ("pgvector", "pgvector-hnsw", "pgvector-hnsw-shared")
SHARES: Final = (0.001, 0.005, 0.05, 0.5)  # of the table, for tenants that are asked; the rest is another's

_MODEL: Final = "synthetic"
_PASSAGES: Final = 100
_LIMITS_MS: Final = {10_000: 3.0, 100_000: 15.0}  # p50
_RECALL: Final = 0.98
_WARM_UP: Final = 30
_COLD: Final = "Mini-RAG, nothing cached"
_EXACT: Final = "pgvector, exact"
_OWN: Final = "pgvector, HNSW of the tenant's own"
_SHARED: Final = "pgvector, HNSW of the shared table"
_ITERATIVE: Final = "pgvector, HNSW of the shared table, iterative"

_SEARCH: Final = """
SELECT source_id, ordinal FROM {table} WHERE workspace_id = %s AND model = %s
ORDER BY embedding <=> %s::halfvec LIMIT %s
"""
_COPY: Final = """
CREATE TABLE {table} AS
SELECT workspace_id, model, source_id, ordinal, embedding::halfvec({dimension}) AS embedding
FROM chunk_vectors WHERE workspace_id = ANY(%s);
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """A tenant with vectors: row i belongs to chunk `chunks[i]`, which is at `places[chunks[i]]`."""

    tenant: Tenant
    vectors: NDArray[np.float32]
    chunks: NDArray[np.int64]
    places: list[tuple[UUID, int]]

    @property
    def id(self) -> UUID:
        return self.tenant.workspace.id


Search = Callable[[NDArray[np.float32]], Sequence[tuple[UUID, int]]]


def measure(results: Results, store: Store, dimension: int, total: int, asked: int, peers: Sequence[str]) -> None:
    """Fill a table with `total` chunks of tenants of SHARES, and search each."""
    say(f"vectors: {total:,} chunks of {dimension} dimensions")
    clusters = Clusters(dimension)
    sizes = [round(share * total) for share in SHARES]
    sizes.append(total - sum(sizes))
    seconds: list[float] = []
    tenants = [_fill(store, clusters, size, part, seconds) for part, size in enumerate(sizes)]
    results.fact(f"vector {dimension}", total, "stored, with merges", total / sum(seconds), "chunks/s")
    with ExitStack() as stack:
        superuser = stack.enter_context(psycopg.connect(store.postgres.superuser_url, autocommit=True))
        superuser.execute("SET maintenance_work_mem = '1GB'")
        superuser.execute("VACUUM ANALYZE")
        for table in ("chunk_vectors", "vector_signatures"):
            each = total_bytes(superuser, [table]) / total
            results.fact(f"vector {dimension}", total, f"{table} on disk", each, "bytes a chunk")
        if "pgvector-hnsw-shared" in peers:
            taken = _index(superuser, "peer_vectors", dimension, [one.id for one in tenants])
            results.fact(f"vector {dimension}", total, "pgvector, HNSW of the shared table: built", taken, "s")
        for share, one in zip(SHARES, tenants, strict=False):
            _measure(results, superuser, one, share, clusters, asked, peers)


def _fill(store: Store, clusters: Clusters, size: int, part: int, seconds: list[float]) -> Filled:
    """A workspace of `size` chunks; every tenth has a second window."""
    workspace = store.workspace()
    merging = Merging(workspace)
    windows = np.where(np.arange(size) % 10 == 0, 2, 1)
    vectors = clusters.vectors(int(windows.sum()), part=part)
    bounds = np.concatenate(([0], np.cumsum(windows))).tolist()
    places: list[tuple[UUID, int]] = []
    for first in range(0, size, _PASSAGES):
        last = min(first + _PASSAGES, size)
        of = [vectors[begin:end] for begin, end in pairwise(bounds[first : last + 1])]
        document = Document("Vectors", ["x"] * (last - first), of)
        ids: list[UUID] = []

        def add(document: Document = document, ids: list[UUID] = ids) -> None:
            ids.append(workspace.add(document, model=_MODEL, analyzed=[["x"]] * len(document.passages)))
            merging.tidy()

        seconds.append(timed(add) / 1000)
        places.extend((ids[0], ordinal) for ordinal in range(last - first))
    return Filled(Tenant(workspace), vectors, np.repeat(np.arange(size), windows), places)


def _measure(
    results: Results, superuser: "psycopg.Connection[Any]", one: Filled, share: float, clusters: Clusters, asked: int,
    peers: Sequence[str],
) -> None:  # fmt: skip
    size, part = len(one.places), f"vector {clusters.dimension}"
    say(f"{size:,} chunks, {share:.1%} of the table")
    queries = clusters.vectors(asked, part=1000)
    warm_up = clusters.vectors(_WARM_UP, part=1001)
    searches: dict[str, Search] = {OURS: lambda query: _places(one.tenant.nearest(_MODEL, query))}
    if "pgvector" in peers:
        searches[_EXACT] = partial(_ask, superuser, "chunk_vectors", one)
    if "pgvector-hnsw" in peers and size >= min(_LIMITS_MS):
        results.fact(part, size, f"{_OWN}: built", _index(superuser, "peer_own", clusters.dimension, [one.id]), "s")
        searches[_OWN] = partial(_ask, superuser, "peer_own", one)
    if "pgvector-hnsw-shared" in peers:
        searches[_SHARED] = partial(_ask, superuser, "peer_vectors", one)
        searches[_ITERATIVE] = partial(_ask, superuser, "peer_vectors", one, iterative=True)
    truth = [{one.places[chunk] for chunk in nearest(one.vectors, one.chunks, query, TOP)} for query in queries]
    for name, search in searches.items():
        for query in warm_up:
            search(query)
        found = [search(query) for query in queries]
        shares = [len(best & set(got)) / len(best) for best, got in zip(truth, found, strict=True)]
        least = _RECALL if name == OURS else None
        results.fact(part, size, f"{name}: recall@10", float(np.mean(shares)), "", least=least)
        fewest = min(len(set(got)) for got in found)
        results.fact(part, size, f"{name}: fewest chunks found", fewest, f"of {min(TOP, size)}")

    def cold(number: int) -> float:
        with forgotten():
            return timed(partial(searches[OURS], queries[number]))

    contenders: dict[str, Contender] = {_COLD: cold}
    for name, search in searches.items():
        contenders[name] = lambda number, search=search: timed(partial(search, queries[number]))  # type: ignore[misc]
    results.latency(part, size, interleave(len(queries), contenders))
    results.processor(part, size, lambda number: searches[OURS](queries[number]), len(queries))
    ours = results.median(part, size)
    if ours is not None and size in _LIMITS_MS:
        results.fact(part, size, "p50", ours[0], "ms", most=_LIMITS_MS[size])
    forget()
    results.fact(part, size, "moved by the first question", bytes_of(partial(searches[OURS], queries[0])) / 1000, "kB")
    results.fact(part, size, "moved by the next", bytes_of(partial(searches[OURS], queries[1])) / 1000, "kB")
    superuser.execute("DROP TABLE IF EXISTS peer_own")


def _places(hits: Sequence[Hit]) -> Sequence[tuple[UUID, int]]:
    return [(hit.source_id, hit.ordinal) for hit in hits]


def _ask(
    superuser: "psycopg.Connection[Any]",
    table: str,
    one: Filled,
    query: NDArray[np.float32],
    *,
    iterative: bool = False,
) -> Sequence[tuple[UUID, int]]:
    # Twice as many as are wanted, since some are two windows of one chunk.
    values = (one.id, _MODEL, literal(query), 2 * TOP)
    with superuser.pipeline():
        superuser.execute("SELECT set_config('hnsw.iterative_scan', %s, false)", [_scan(iterative)], prepare=True)
        # Planned with the tenant in hand, so that the planner may choose between its index and the other.
        found = superuser.execute(_SEARCH.format(table=table), values, prepare=False)
    return list(dict.fromkeys((source_id, ordinal) for source_id, ordinal in found.fetchall()))[:TOP]


def _scan(iterative: bool) -> str:
    return "relaxed_order" if iterative else "off"


def _index(superuser: "psycopg.Connection[Any]", table: str, dimension: int, workspaces: list[UUID]) -> float:
    """Copy the vectors of workspaces and index them; returns the seconds that the index took."""
    superuser.execute(f"DROP TABLE IF EXISTS {table}")
    superuser.execute(_COPY.format(table=table, dimension=dimension), (workspaces,))
    superuser.execute(f"CREATE INDEX ON {table} (workspace_id)")
    took = (
        timed(partial(superuser.execute, f"CREATE INDEX ON {table} USING hnsw (embedding halfvec_cosine_ops)")) / 1000
    )
    superuser.execute(f"VACUUM ANALYZE {table}")
    return took
