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
_FAR: Final = np.uint16(0xFFFF)


@dataclass(frozen=True, slots=True)
class Signatures:
    """The windows of many chunks, in the order of their chunks."""

    words: NDArray[np.uint64]  # (words, windows): dimension 64 * i .. 64 * i + 63 of all windows lie next to each other
    chunks: NDArray[np.int64]  # (windows,): whose window it is, ascending

    def nearest(self, query: NDArray[np.float32], count: int, findable: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """At least `count` chunks whose signatures are nearest to that of `query`, or all that are `findable`.

        Ascending by number. `findable` tells it of each chunk; None if all are.
        """
        if not len(self.chunks):
            return self.chunks
        distances = self._distances(words(query[np.newaxis])[:, 0])
        if findable is not None:
            distances[~findable[self.chunks]] = _FAR
        histogram = np.cumsum(np.bincount(distances))
        wanted = count
        while True:
            limit = min(int(np.searchsorted(histogram, wanted)), len(histogram) - 1)
            near = np.flatnonzero((distances <= limit) & (distances < _FAR))
            # Several windows of one chunk are one.
            found = self.chunks[near]
            found = found[np.flatnonzero(np.diff(found, prepend=-1))]
            if len(found) >= count or limit == len(histogram) - 1:
                return found
            wanted *= 2

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
