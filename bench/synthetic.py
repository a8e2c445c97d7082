"""Vectors to measure with: clusters, made from a fixed seed.

A vector is a point of a cluster in 48 latent dimensions, turned into the wanted ones, with some noise in all of them:
embeddings of text, too, vary in far fewer directions than they have dimensions. What a search finds among them says
that it finds what exact cosine finds, not how well any model places texts; that is the evaluation's matter.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.texts import SEED

_LATENT: Final = 48
_CLUSTERS: Final = 500
_WITHIN: Final = 0.7  # spread of a cluster, where that of the centres is 1
_NOISE: Final = 0.25
_BLOCK: Final = 20000


class Clusters:
    """Unit vectors of `dimension` dimensions; the same for the same part."""

    def __init__(self, dimension: int) -> None:
        rng = np.random.default_rng([SEED, dimension])
        self.dimension = dimension
        self._turn = rng.standard_normal((_LATENT, dimension), dtype=np.float32) / np.float32(np.sqrt(_LATENT))
        self._centres = rng.standard_normal((_CLUSTERS, _LATENT), dtype=np.float32)

    def vectors(self, count: int, *, part: int) -> NDArray[np.float32]:
        """`count` vectors, (count, dimension); other parts are others, of the same clusters."""
        made = np.empty((count, self.dimension), dtype=np.float32)
        rng = np.random.default_rng([SEED, self.dimension, part])
        for first in range(0, count, _BLOCK):
            block = made[first : first + _BLOCK]
            latent = self._centres[rng.integers(_CLUSTERS, size=len(block))]
            latent = latent + np.float32(_WITHIN) * rng.standard_normal(latent.shape, dtype=np.float32)
            block[:] = latent @ self._turn
            block += np.float32(_NOISE) * rng.standard_normal(block.shape, dtype=np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
        return made


def nearest(
    vectors: NDArray[np.float32], chunks: NDArray[np.int64], query: NDArray[np.float32], k: int
) -> NDArray[np.int64]:
    """The `k` chunks nearest to `query` by exact cosine; `chunks` says, ascending, whose each vector is."""
    best = np.maximum.reduceat(vectors @ query, np.flatnonzero(np.diff(chunks, prepend=-1)))
    return np.unique(chunks)[np.argsort(-best, kind="stable")[:k]]
