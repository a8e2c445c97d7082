"""Vectors that are there before their document is: what an attempt embedded that ended early, or the version before.

They are told by what was embedded, so that no text is embedded twice for one source.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from minirag.knowledge.vectors.store import literal
from minirag.runtime.db import Connection

_HASH_BYTES: Final = 16

# halfvec_send puts the dimension and two zero bytes before the values.
_KNOWN: Final = """
SELECT hash, halfvec_send(embedding)
FROM staged_vectors
WHERE workspace_id = %(workspace_id)s AND source_id = %(source_id)s AND model = %(model)s
UNION ALL
SELECT hash, halfvec_send(embedding)
FROM chunk_vectors
WHERE workspace_id = %(workspace_id)s AND source_id = %(source_id)s AND model = %(model)s AND hash IS NOT NULL
"""
_HEADER: Final = 4

# Not of a source that is deleted, or is being deleted at this moment.
_STAGE: Final = """
WITH alive AS (
    SELECT workspace_id, id
    FROM sources
    WHERE workspace_id = %(workspace_id)s AND id = %(source_id)s AND deleted_at IS NULL
    FOR SHARE
)
INSERT INTO staged_vectors (workspace_id, source_id, model, hash, embedding)
SELECT alive.workspace_id, alive.id, %(model)s, t.hash, t.embedding::halfvec
FROM alive, unnest(%(hashes)s::bytea[], %(embeddings)s::text[]) AS t (hash, embedding)
ON CONFLICT DO NOTHING
"""
_CLEAR: Final = "DELETE FROM staged_vectors WHERE workspace_id = %s AND source_id = %s"


def hash_of(text: str) -> bytes:
    """By what a vector is told: the first half of the SHA-256 of the text that was embedded."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:_HASH_BYTES]


def known(
    tx: Connection, workspace_id: UUID, source_id: UUID, model: str, hashes: Iterable[bytes]
) -> dict[bytes, NDArray[np.float32]]:
    """The vectors of a source that are there of those asked for, staged or stored."""
    wanted = frozenset(hashes)
    values = {"workspace_id": workspace_id, "source_id": source_id, "model": model}
    found: dict[bytes, NDArray[np.float32]] = {}
    for digest, packed in tx.cursor(binary=True).execute(_KNOWN, values):
        if digest in wanted:
            found[digest] = np.frombuffer(packed, dtype=">f2", offset=_HEADER).astype(np.float32)
    return found


def stage(
    tx: Connection, workspace_id: UUID, source_id: UUID, model: str, vectors: Mapping[bytes, NDArray[np.float32]]
) -> None:
    """Keep vectors for whoever takes this source up next."""
    values = {
        "workspace_id": workspace_id, "source_id": source_id, "model": model, "hashes": list(vectors),
        "embeddings": [literal(vector) for vector in vectors.values()],
    }  # fmt: skip
    tx.execute(_STAGE, values)


def clear(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """Forget what was kept of a source: it is stored, or will never be."""
    tx.execute(_CLEAR, (workspace_id, source_id))
