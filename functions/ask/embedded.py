"""The vectors of questions that were asked before: in this process, and for a day in the cache that all share.

By workspace: nobody is to learn, by what it costs or how fast it goes, what others asked.
"""

from typing import Final
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from minirag.knowledge.embeddings import Embedder
from minirag.runtime import cache

_CACHED_SECONDS: Final = 24 * 3600

_here: Final[LRUCache[tuple[UUID, str, str], NDArray[np.float32]]] = LRUCache(2000)


def find(workspace_id: UUID, embedder: Embedder, question: str) -> NDArray[np.float32] | None:
    """The question's vector, of shape (dimension,), if it is known."""
    vector = _here.get((workspace_id, embedder.model, question))
    if vector is None:
        [packed] = cache.get_many([_key(workspace_id, embedder, question)])
        if packed is not None and len(packed) == 4 * embedder.dimension:
            vector = _here[workspace_id, embedder.model, question] = np.frombuffer(packed, dtype=np.float32)
    return vector


def keep(workspace_id: UUID, embedder: Embedder, question: str, vector: NDArray[np.float32]) -> None:
    """Know it the next time."""
    _here[workspace_id, embedder.model, question] = vector
    packed = vector.astype(np.float32).tobytes()
    cache.put_many({_key(workspace_id, embedder, question): packed}, seconds=_CACHED_SECONDS)


def _key(workspace_id: UUID, embedder: Embedder, question: str) -> str:
    return f"embedding:{cache.key('question', workspace_id, embedder.model, question)}"
