"""Vectors as they are stored: the exact ones in rows, their signatures beside the segment that holds their chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from minirag.knowledge.lexical.index import Placed
from minirag.knowledge.lexical.merge import Merged
from minirag.knowledge.vectors.signatures import merge
from minirag.runtime.db import Connection
from minirag.runtime.errors import Unprocessable

_INSERT: Final = """
INSERT INTO chunk_vectors (workspace_id, source_id, model, ordinal, window_no, embedding, hash)
SELECT %s, %s, %s, ordinal, window_no, embedding::halfvec, hash
FROM unnest(%s::int[], %s::smallint[], %s::text[], %s::bytea[]) AS t (ordinal, window_no, embedding, hash)
"""

_DIMENSION: Final = "SELECT vector_dims(embedding) FROM chunk_vectors WHERE workspace_id = %s AND model = %s LIMIT 1"

# bit_send puts the number of bits, in four bytes, before them.
_SIGN: Final = """
INSERT INTO vector_signatures (workspace_id, segment_id, model, windows, signatures)
SELECT %(workspace_id)s, chunk.segment_id, chunk.model,
       string_agg(int2send(coalesce(v.windows, 0)::smallint), ''::bytea ORDER BY chunk.ordinal),
       coalesce(string_agg(v.signatures, ''::bytea ORDER BY chunk.ordinal), ''::bytea)
FROM (
    SELECT placed.segment_id, m.model, placed.first_ordinal + n AS ordinal
    FROM unnest(%(segments)s::bigint[], %(firsts)s::int[], %(sizes)s::int[]) AS placed (segment_id, first_ordinal, size)
    CROSS JOIN LATERAL generate_series(0, placed.size - 1) AS n
    CROSS JOIN (
        SELECT DISTINCT model FROM chunk_vectors WHERE workspace_id = %(workspace_id)s AND source_id = %(source_id)s
    ) m
) chunk
LEFT JOIN (
    SELECT model, ordinal, count(*) AS windows,
           string_agg(substring(bit_send(binary_quantize(embedding)) FROM 5), ''::bytea ORDER BY window_no)
               AS signatures
    FROM chunk_vectors
    WHERE workspace_id = %(workspace_id)s AND source_id = %(source_id)s
    GROUP BY model, ordinal
) v ON v.model = chunk.model AND v.ordinal = chunk.ordinal
GROUP BY chunk.segment_id, chunk.model
"""

_READ_SIGNATURES: Final = """
SELECT model, segment_id, windows, signatures
FROM vector_signatures
WHERE workspace_id = %s AND segment_id = ANY(%s)
"""

_INSERT_SIGNATURES: Final = """
INSERT INTO vector_signatures (workspace_id, segment_id, model, windows, signatures) VALUES (%s, %s, %s, %b, %b)
"""

_REMOVE: Final = """
DELETE FROM chunk_vectors
WHERE workspace_id = %(workspace_id)s AND source_id = %(source_id)s
  AND (%(model)s::text IS NULL OR model = %(model)s)
"""

_REMOVE_OTHERS: Final = "DELETE FROM chunk_vectors WHERE workspace_id = %s AND model <> %s"
_REMOVE_OTHER_SIGNATURES: Final = "DELETE FROM vector_signatures WHERE workspace_id = %s AND model <> %s"


# Rows sent in one statement: as text, a thousand of 1,536 dimensions take 9 MB.
_AT_ONCE: Final = 1000


def literal(vector: NDArray[np.float32]) -> str:
    """A vector as pgvector reads it, to half precision."""
    return "[" + ",".join([f"{value:.5g}" for value in vector.tolist()]) + "]"


@dataclass(frozen=True, slots=True)
class Row:
    """The unit vector of a window of a chunk, and the hash of the text that was embedded, if it is known."""

    ordinal: int
    window: int
    vector: NDArray[np.float32]
    hash: bytes | None = None


def insert(tx: Connection, workspace_id: UUID, source_id: UUID, model: str, rows: Sequence[Row]) -> None:
    """Store vectors of a source's chunks; `sign` lets them be found.

    Raises Unprocessable if they have another dimension than those that the workspace has of this model.
    """
    if not rows:
        return
    dimension = len(rows[0].vector)
    stored = tx.execute(_DIMENSION, (workspace_id, model)).fetchone()
    if stored is not None and stored[0] != dimension:
        raise mismatch(model, dimension)
    for at in range(0, len(rows), _AT_ONCE):
        some = rows[at : at + _AT_ONCE]
        columns: tuple[list[object], ...] = (
            [row.ordinal for row in some],
            [row.window for row in some],
            [literal(row.vector) for row in some],
            [row.hash for row in some],
        )
        tx.execute(_INSERT, (workspace_id, source_id, model, *columns))


def mismatch(model: str, dimension: int) -> Unprocessable:
    """The error of vectors that cannot be compared with those of the workspace."""
    return Unprocessable(
        f"The model {model} now gives vectors of {dimension} dimensions, but embedded the documents of this workspace "
        "in another number. Set the model back, or ingest the documents into a new workspace.",
        code="dimension_mismatch",
    )


def sign(tx: Connection, workspace_id: UUID, source_id: UUID, placed: Sequence[Placed]) -> None:
    """Make the signatures of a source's vectors, of all models, for the segments its chunks were just placed in."""
    values = {
        "workspace_id": workspace_id,
        "source_id": source_id,
        "segments": [one.segment_id for one in placed],
        "firsts": [one.first_ordinal for one in placed],
        "sizes": [one.size for one in placed],
    }
    tx.execute(_SIGN, values)


def carry(tx: Connection, workspace_id: UUID, merged: Merged) -> None:
    """Bring the signatures of merged segments along into the new one."""
    by_model: dict[str, dict[int, tuple[bytes, bytes]]] = {}
    cursor = tx.cursor(binary=True)
    for model, segment_id, windows, signatures in cursor.execute(
        _READ_SIGNATURES, (workspace_id, list(merged.segments))
    ).fetchall():
        by_model.setdefault(model, {})[segment_id] = (windows, signatures)
    for model, of in by_model.items():
        packed = merge([(keep, *of.get(one, (b"", b""))) for one, keep in merged.segments.items()])
        tx.execute(_INSERT_SIGNATURES, (workspace_id, merged.into, model, *packed))


def keep_model(tx: Connection, workspace_id: UUID, model: str) -> None:
    """Remove the vectors of all other models."""
    tx.execute(_REMOVE_OTHER_SIGNATURES, (workspace_id, model))
    tx.execute(_REMOVE_OTHERS, (workspace_id, model))


def remove(tx: Connection, workspace_id: UUID, source_id: UUID, *, model: str | None = None) -> None:
    """Remove the vectors of a source, of one model or of all, before its chunks.

    Their signatures go with the chunks' place in the index.
    """
    tx.execute(_REMOVE, {"workspace_id": workspace_id, "source_id": source_id, "model": model})
