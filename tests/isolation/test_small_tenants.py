"""A tenant finds all that matches in its own documents, however small its share of the tables is."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import psycopg
import pytest

from local.postgres import Postgres
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import index
from minirag.knowledge.lexical import search as lexical
from minirag.knowledge.vectors import search as vectors
from minirag.knowledge.vectors import store
from tests.layers.knowledge.test_lexical import add_source, merge_all
from tests.layers.knowledge.test_vectors import DIMENSION, MODEL, unit
from tests.tenants import TestTenant

# Chunks of tenants that share the tables: a tenth of a per cent, half a per cent, five, fifty, and the others.
SHARES: Final = (2, 10, 100, 1000, 888)
# A source each so many chunks; every third of them holds the rarer word.
TOGETHER: Final = 50


@pytest.fixture
def connected(postgres: Postgres, make_tenant: Callable[[], TestTenant]) -> Any:
    """Make a tenant, and a connection for it."""

    def connect() -> tuple[TestTenant, psycopg.Connection[Any]]:
        tenant = make_tenant()
        connection: psycopg.Connection[Any] = psycopg.connect(postgres.app_url, autocommit=True)
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
        return tenant, connection

    return connect


def test_small_tenants_get_as_many_as_they_ask_for_or_all_that_match(connected: Any) -> None:
    rng = np.random.default_rng(11)
    query = unit(rng, DIMENSION)
    filled = []
    for share in SHARES:
        tenant, connection = connected()
        with connection.transaction():
            for first in range(0, share, TOGETHER):
                _add(connection, tenant, min(TOGETHER, share - first), rng)
            merge_all(connection, tenant.workspace_id)
        filled.append((share, tenant.workspace_id, connection))
    searched = 0
    for share, workspace_id, connection in filled:
        rare = sum(-(-min(TOGETHER, share - first) // 3) for first in range(0, share, TOGETHER))
        for k in (1, 10, 50, 2000):
            for word, matches in (("common", share), ("rare", rare)):
                hits = lexical.search(connection, workspace_id, [word], k=k, filters=Filters())
                assert len({(hit.source_id, hit.ordinal) for hit in hits}) == len(hits) == min(k, matches)
                searched += 1
            near = vectors.search(connection, workspace_id, MODEL, query, k=k, filters=Filters())
            assert len({(hit.source_id, hit.ordinal) for hit in near}) == len(near) == min(k, share)
            searched += 1
        print(f"{share / sum(SHARES):.1%} of {sum(SHARES)} chunks: rows = min(k, {share} or {rare} matches)")
        connection.close()
    print(f"{searched} searches")


def _add(tx: psycopg.Connection[Any], tenant: TestTenant, size: int, rng: np.random.Generator) -> None:
    """A source of so many chunks."""
    source_id = add_source(tx, tenant.workspace_id)
    tx.cursor().executemany(
        """INSERT INTO chunks (workspace_id, source_id, id, ordinal, start_offset, end_offset, content, content_hash,
                               tokens)
           VALUES (%s, %s, gen_random_uuid(), %s, 0, 1, 'x', '', 1)""",
        [(tenant.workspace_id, source_id, ordinal) for ordinal in range(size)],
    )
    terms = [["common", "rare"] if ordinal % 3 == 0 else ["common"] for ordinal in range(size)]
    placed = index.insert(tx, tenant.workspace_id, source_id, terms)
    windows = [store.Row(ordinal, 0, unit(rng, DIMENSION)) for ordinal in range(size)]
    store.insert(tx, tenant.workspace_id, source_id, MODEL, windows)
    store.sign(tx, tenant.workspace_id, source_id, placed)
