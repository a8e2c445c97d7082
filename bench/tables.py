"""Peers inside the same PostgreSQL: full text search with ts_rank_cd and pgvector by itself, in plain tables.

They are what a user would make, read over a connection of the superuser. Their statements are not prepared: planned
with the question in hand, PostgreSQL computes the tsquery once and knows how rare its words are.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.engine import TOP
from bench.results import timed

CHUNKS: Final = "peer_chunks"

_TABLE: Final = f"""
DROP TABLE IF EXISTS {CHUNKS};
CREATE TABLE {CHUNKS} (
    id        bigint PRIMARY KEY,
    content   text NOT NULL,
    embedding vector({{dimension}}),
    tsv       tsvector GENERATED ALWAYS AS (to_tsvector('english', content)) STORED
)
"""
# Any of the words, as BM25 has it; plainto_tsquery wants all of them, and finds nothing for most whole questions.
_ANY: Final = f"""
SELECT id FROM {CHUNKS} CROSS JOIN (SELECT replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery AS asked) q
WHERE tsv @@ asked ORDER BY ts_rank_cd(tsv, asked) DESC LIMIT {TOP}
"""
_ALL: Final = f"""
SELECT id FROM {CHUNKS}, plainto_tsquery('english', %s) AS asked
WHERE tsv @@ asked ORDER BY ts_rank_cd(tsv, asked) DESC LIMIT {TOP}
"""


class TextTable:
    """Chunks with a generated tsvector and its GIN index."""

    def __init__(self, connection: "psycopg.Connection[Any]", dimension: int = 384) -> None:
        self._connection = connection
        connection.execute(_TABLE.format(dimension=dimension))

    def fill(self, contents: Iterable[str], vectors: NDArray[np.float32] | None) -> float:
        """Load and index; returns seconds."""

        def load() -> None:
            copy = f"COPY {CHUNKS} (id, content, embedding) FROM STDIN"
            with self._connection.cursor() as cursor, cursor.copy(copy) as rows:
                for number, content in enumerate(contents):
                    vector = None if vectors is None else literal(vectors[number])
                    rows.write_row((number, content, vector))
            self.index()
            self._connection.execute(f"VACUUM ANALYZE {CHUNKS}")

        return timed(load) / 1000

    def index(self) -> None:
        """Make the GIN index of a table that is filled bit by bit."""
        self._connection.execute(f"CREATE INDEX ON {CHUNKS} USING gin (tsv)")

    def add(self, first: int, contents: Sequence[str]) -> None:
        """Store a document in one transaction, its chunks numbered from `first`."""
        copy = f"COPY {CHUNKS} (id, content) FROM STDIN"
        with self._connection.transaction(), self._connection.cursor() as cursor, cursor.copy(copy) as rows:
            for number, content in enumerate(contents, first):
                rows.write_row((number, content))

    def any_word(self, question: str) -> Sequence[int]:
        return self._ask(_ANY, question)

    def all_words(self, question: str) -> Sequence[int]:
        return self._ask(_ALL, question)

    def _ask(self, statement: str, question: str) -> Sequence[int]:
        return [row[0] for row in self._connection.execute(statement, (question,), prepare=False).fetchall()]

    def size(self) -> int:
        """Bytes of the tsvectors and their index."""
        statement = f"""
        SELECT pg_relation_size('{CHUNKS}_tsv_idx') + (SELECT sum(pg_column_size(tsv)) FROM {CHUNKS})
        """
        return number(self._connection, statement)

    def drop(self) -> None:
        self._connection.execute(f"DROP TABLE {CHUNKS}")


def total_bytes(connection: "psycopg.Connection[Any]", tables: Sequence[str]) -> int:
    """What tables take on disk, with their indexes and long values."""
    return number(
        connection, "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS name", list(tables)
    )


def number(connection: "psycopg.Connection[Any]", statement: str, *values: object) -> int:
    """The one number a statement gives, 0 for null."""
    row = connection.execute(statement, values or None).fetchone()
    assert row is not None
    return int(row[0] or 0)


def literal(vector: NDArray[np.float32]) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join([f"{value:.6g}" for value in vector.tolist()]) + "]"
