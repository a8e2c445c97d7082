"""Signatures: the signs of a vector's dimensions, a bit each. Pure; numpy does the work.

The more signs of two vectors differ, the larger the angle between them (Charikar, 2002), so that what is nearest by
the number of differing bits holds what is nearest by cosine, if somewhat more is taken. A signature takes a sixteenth
of a vector in half precision, and a processor counts 64 bits at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# How many windows each chunk has, as it is stored.
COUNT: Final = np.dtype(">u2")

# Windows compared at a time: their words stay in the processor's cache.
_BLOCK: Final = 16384
# Windows looked at more closely: of less than many, of more, and for each chunk wanted (docs/decisions/0010).
_CLOSER: Final = 1000
_CLOSER_OF_MANY: Final = 4000
_MANY: Final = 300_000
_CLOSER_PER_CHUNK: Final = 6
# Bits a dimension of the question is rounded to, for looking closer.
_PLANES: Final = 4
_FAR: Final = np.uint16(0xFFFF)


@dataclass(frozen=True, slots=True)
class Signatures:
    """The windows of many chunks, in the order of their chunks."""

    words: NDArray[np.uint64]  # (words, windows): dimension 64 * i .. 64 * i + 63 of all windows lie next to each other
    chunks: NDArray[np.int64]  # (windows,): whose window it is, ascending

    def fits(self, query: NDArray[np.float32]) -> bool:
        """Whether these can be signatures of vectors of the query's dimension."""
        return len(self.words) == -(-len(query) // 64)

    def nearest(self, query: NDArray[np.float32], count: int, findable: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """The `count` chunks that seem nearest to `query`, or all that are `findable` if those are fewer.

        `findable` tells of each chunk whether it may be found; None if all may. A chunk is as near as its nearest
        window.
        """
        if not len(self.chunks):
            return self.chunks
        distances = self._distances(words(query[np.newaxis])[:, 0])
        if findable is not None:
            distances[~findable[self.chunks]] = _FAR
        wanted = max(_CLOSER if len(distances) < _MANY else _CLOSER_OF_MANY, _CLOSER_PER_CHUNK * count)
        while True:
            near = _smallest(distances, wanted)
            # Both ascend, so that the windows of a chunk lie next to each other. Several of one are one chunk.
            chunks = self.chunks[near]
            starts = np.flatnonzero(np.diff(chunks, prepend=-1))
            # If those of a few crowd out others, more must be looked at.
            if len(starts) >= count or len(near) < wanted:
                best = np.maximum.reduceat(self._estimates(query, near), starts) if len(starts) else starts
                found: NDArray[np.int64] = chunks[starts[np.argsort(-best)[:count]]]
                return found
            wanted *= 4

    def _estimates(self, query: NDArray[np.float32], windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Larger for windows of a larger cosine: the sum of the query's dimensions whose sign a window has positive.

        As in RaBitQ (Gao and Long, 2024) only the stored vector is a bit a dimension; the query is a few, each of which
        is counted as the distances are.
        """
        low, high = float(query.min()), float(query.max())
        step = (high - low) / (2**_PLANES - 1) or 1.0
        levels = np.rint((query - low) / step).astype(np.uint8)
        planes = words((levels >> np.arange(_PLANES, dtype=np.uint8)[:, np.newaxis] & 1).astype(np.float32))
        near = self.words[:, windows]
        # Of each positive dimension `low` was taken: it is given back.
        estimates: NDArray[np.float32] = np.bitwise_count(near).sum(axis=0, dtype=np.uint16) * np.float32(low)
        for bit in range(_PLANES):
            counted = np.bitwise_count(near & planes[:, bit : bit + 1]).sum(axis=0, dtype=np.uint16)
            estimates += counted * np.float32(step * 2**bit)
        return estimates

    def _distances(self, query: NDArray[np.uint64]) -> NDArray[np.uint16]:
        """How many bits of each window differ from the query's."""
        distances = np.zeros(self.words.shape[1], dtype=np.uint16)
        differing = np.empty(_BLOCK, dtype=np.uint64)
        counted = np.empty(_BLOCK, dtype=np.uint8)
        for first in range(0, len(distances), _BLOCK):
            block = distances[first : first + _BLOCK]
            size = len(block)
            for row, word in zip(self.words, query, strict=True):
                np.bitwise_xor(row[first : first + size], word, out=differing[:size])
                np.bitwise_count(differing[:size], out=counted[:size])
                np.add(block, counted[:size], out=block)
        return distances


def _smallest(distances: NDArray[np.uint16], count: int) -> NDArray[np.int64]:
    """Where the `count` smallest distances are, or all that are not far; a few more where some are equal."""
    limit = _FAR - 1
    if count < len(distances):
        limit = min(limit, np.partition(distances, count - 1)[count - 1])
    return np.flatnonzero(distances <= limit)


def words(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The signatures of `vectors` (vectors, dimension) as (words, vectors): what `unpack` reads of the stored ones."""
    return _columns(np.packbits(vectors > 0, axis=1))


def unpack(counts: bytes, signatures: bytes, base: int) -> Signatures:
    """Read a segment's signatures, of whose first chunk the number is `base`."""
    windows = np.frombuffer(counts, dtype=COUNT)
    chunks = np.repeat(np.arange(base, base + len(windows)), windows)
    return Signatures(_columns(_rows(signatures, len(chunks))), chunks)


def merge(segments: Sequence[tuple[NDArray[np.bool_], bytes, bytes]]) -> tuple[bytes, bytes]:
    """Counts and signatures of the chunks to keep of several segments, each (keep, counts, signatures), one by one.

    A segment without signatures has empty counts.
    """
    all_counts: list[NDArray[np.uint16]] = []
    all_rows: list[bytes] = []
    for keep, counts, signatures in segments:
        windows = np.frombuffer(counts, dtype=COUNT) if counts else np.zeros(len(keep), dtype=COUNT)
        all_counts.append(windows[keep])
        if signatures:
            all_rows.append(_rows(signatures, int(windows.sum()))[np.repeat(keep, windows)].tobytes())
    return np.concatenate(all_counts).astype(COUNT).tobytes(), b"".join(all_rows)


def _rows(signatures: bytes, windows: int) -> NDArray[np.uint8]:
    return np.frombuffer(signatures, dtype=np.uint8).reshape(windows, -1 if windows else 0)


def _columns(rows: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Rows of bytes as columns of words, filled up with zeros, which differ from no other."""
    if missing := -rows.shape[1] % 8:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    return np.ascontiguousarray(np.ascontiguousarray(rows).view(np.uint64).T)
