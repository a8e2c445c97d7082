"""A workspace's chunks as one snapshot has them: numbered through all segments, the removed and the filtered marked.

Segments never change, so a process keeps what it has read of them, joined into one array of each kind, and asks only
for segments it lacks. What is kept is used only for segments that the snapshot still has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from psycopg import Cursor

from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Hit
from minirag.knowledge.lexical.segment import unpack_lengths
from minirag.runtime.db import Connection

# Arrays of integers are sent in PostgreSQL's own notation, which is built far faster than a list is adapted. The runs
# of a segment are packed as _RUN, its tombstones as _TOMBSTONE. The runs of removed sources are missing, or stay in
# what a process keeps: no live chunk is theirs.
_SEGMENTS: Final = """
SELECT s.id, s.chunks,
       CASE WHEN s.id = ANY(%(known)s::bigint[]) THEN NULL ELSE s.lengths END,
       CASE WHEN s.id = ANY(%(known)s::bigint[]) THEN NULL ELSE (
           SELECT string_agg(uuid_send(r.source_id) || int4send(r.first_ordinal) || int4send(r.start), ''::bytea
                             ORDER BY r.start)
           FROM lexical_runs r
           WHERE r.workspace_id = %(workspace_id)s AND r.segment_id = s.id
       ) END,
       (
           SELECT string_agg(int4send(t.start) || int4send(t.size) || int8send(t.length), ''::bytea)
           FROM lexical_tombstones t
           WHERE t.workspace_id = %(workspace_id)s AND t.segment_id = s.id
       )
FROM lexical_segments s
WHERE s.workspace_id = %(workspace_id)s
ORDER BY s.id
"""

_ALLOWED: Final = """
SELECT r.segment_id, r.start, r.size
FROM sources s
JOIN lexical_runs r ON r.workspace_id = s.workspace_id AND r.source_id = s.id
WHERE s.workspace_id = %(workspace_id)s
  AND (%(source_ids)s::uuid[] IS NULL OR s.id = ANY(%(source_ids)s))
  AND (%(types)s::text[] IS NULL OR s.type = ANY(%(types)s))
  AND (%(tags)s::text[] IS NULL OR s.tags && %(tags)s)
  AND (%(language)s::text IS NULL OR s.language = %(language)s)
  AND (%(created_after)s::timestamptz IS NULL OR s.created_at >= %(created_after)s)
  AND (%(created_before)s::timestamptz IS NULL OR s.created_at < %(created_before)s)
"""

_RUN: Final = np.dtype([("source", "V16"), ("first_ordinal", ">i4"), ("start", ">i4")])
_TOMBSTONE: Final = np.dtype([("start", ">i4"), ("size", ">i4"), ("length", ">i8")])


@dataclass(frozen=True, slots=True)
class _Segments:
    """What is read once of each segment: where its chunks begin, how long they are, and whose."""

    bases: Mapping[int, int]
    lengths: NDArray[np.float32]  # (chunks,)
    length: float  # of all together
    run_starts: NDArray[np.int64]  # (runs,), ascending, as chunk numbers
    run_ordinals: NDArray[np.int64]  # (runs,): a run's first chunk within its source
    run_sources: NDArray[np.void]  # (runs,): ids as 16 bytes

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        arrays = (self.lengths, self.run_starts, self.run_ordinals, self.run_sources)
        return sum(one.nbytes for one in arrays) + 100 * len(self.bases) + 1000


_EMPTY: Final = _Segments(
    {}, np.empty(0, np.float32), 0.0, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.dtype("V16"))
)
# By workspace, as it was when it was last searched.
_kept: LRUCache[UUID, _Segments] = LRUCache(64 * 1024 * 1024, getsizeof=lambda segments: segments.nbytes)


@dataclass(frozen=True, slots=True)
class View:
    """The chunks of a snapshot, numbered from 0; segment `id` has those from bases[id] on, in the order of `bases`.

    `live` is False for chunks that were removed, None if none was; `allowed` is True for those that the filters let
    through, None if there are none. `total` and `average` are the number of live chunks and their average length.
    """

    segments: _Segments
    live: NDArray[np.bool_] | None
    allowed: NDArray[np.bool_] | None
    total: int
    average: float

    @property
    def bases(self) -> Mapping[int, int]:
        """The first chunk's number of each segment."""
        return self.segments.bases

    @property
    def lengths(self) -> NDArray[np.float32]:
        """Terms in each chunk."""
        return self.segments.lengths

    @property
    def findable(self) -> NDArray[np.bool_] | None:
        """Which chunks may be found; None if all may."""
        if self.allowed is None or self.live is None:
            return self.live if self.allowed is None else self.allowed
        return self.live & self.allowed

    def places(self, numbers: NDArray[np.int64]) -> list[tuple[UUID, int]]:
        """Source, and number in it, of live chunks."""
        sources, ordinals = self.columns(numbers)
        return [(_uuid(source), at) for source, at in zip(sources.tolist(), ordinals.tolist(), strict=True)]

    def hits(self, numbers: NDArray[np.int64], scores: NDArray[np.float64]) -> list[Hit]:
        """Live chunks with their scores, best first; ties by place."""
        hits = [Hit(*place, score) for place, score in zip(self.places(numbers), scores.tolist(), strict=True)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.source_id, hit.ordinal))

    def columns(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """As `places`, in two arrays, the ids of the sources as 16 bytes."""
        runs = np.searchsorted(self.segments.run_starts, numbers, side="right") - 1
        return self.segments.run_sources[runs], self.segments.run_ordinals[runs] + numbers - self.segments.run_starts[
            runs
        ]

    def among(self, numbers: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `numbers` are among the others."""
        table = np.zeros(len(self.lengths), dtype=np.bool_)
        table[others] = True
        return table[numbers]

    def numbers(self, source_id: UUID) -> NDArray[np.int64]:
        """The live chunks of a source."""
        ends = np.append(self.segments.run_starts[1:], len(self.lengths))
        mine = np.flatnonzero(self.segments.run_sources == np.void(source_id.bytes))
        ranges = [np.arange(self.segments.run_starts[one], ends[one]) for one in mine]
        found: NDArray[np.int64] = np.concatenate(ranges) if ranges else np.empty(0, dtype=np.int64)
        return found if self.live is None else found[self.live[found]]


class Request:
    """A look at the segments that has been sent; it is read in the transaction it was sent in."""

    def __init__(self, tx: Connection, workspace_id: UUID, filters: Filters) -> None:
        self._workspace_id = workspace_id
        self._kept = _kept.get(workspace_id, _EMPTY)
        known = {"workspace_id": workspace_id, "known": array(self._kept.bases)}
        self._segments: Cursor[Any] = tx.cursor(binary=True).execute(_SEGMENTS, known, prepare=True)
        self._allowed: Cursor[Any] | None = None
        if filters != Filters():
            conditions = {"workspace_id": workspace_id, **filters.values()}
            self._allowed = tx.cursor(binary=True).execute(_ALLOWED, conditions, prepare=True)
        self._view: View | None = None

    def view(self) -> View:
        """What was looked at."""
        if self._view is None:
            rows = self._segments.fetchall()
            segments = _joined(self._kept, rows)
            if segments.nbytes <= _kept.maxsize:
                _kept[self._workspace_id] = segments
            total, length = len(segments.lengths), segments.length
            live = None
            for segment_id, *_, packed in rows:
                if packed:
                    live = np.ones(len(segments.lengths), dtype=np.bool_) if live is None else live
                    for start, size, gone in np.frombuffer(packed, dtype=_TOMBSTONE).tolist():
                        live[segments.bases[segment_id] + start :][:size] = False
                        total, length = total - size, length - gone
            allowed = None
            if self._allowed is not None:
                allowed = np.zeros(len(segments.lengths), dtype=np.bool_)
                for segment_id, start, size in self._allowed.fetchall():
                    allowed[segments.bases[segment_id] + start :][:size] = True
            self._view = View(segments, live, allowed, total, length / total if total else 0.0)
        return self._view


@lru_cache(65536)
def _uuid(source: bytes) -> UUID:
    return UUID(bytes=source)


def _joined(kept: _Segments, rows: Sequence[tuple[int, int, bytes | None, bytes | None, bytes | None]]) -> _Segments:
    """The segments of `rows`, whose lengths and runs are given where they are not `kept`."""
    if len(rows) == len(kept.bases) and all(row[0] in kept.bases for row in rows):
        return kept
    bases: dict[int, int] = {}
    lengths: list[NDArray[np.float32]] = []
    runs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.void]]] = []
    first = 0
    for segment_id, chunks, packed, packed_runs, _ in rows:
        bases[segment_id] = first
        base = kept.bases.get(segment_id)
        if base is None:
            own = np.frombuffer(packed_runs or b"", dtype=_RUN)
            lengths.append(unpack_lengths(packed or b"", chunks))
            runs.append((own["start"] + first, own["first_ordinal"].astype(np.int64), own["source"]))
        else:
            lengths.append(kept.lengths[base : base + chunks])
            some = slice(*np.searchsorted(kept.run_starts, (base, base + chunks)))
            runs.append((kept.run_starts[some] + (first - base), kept.run_ordinals[some], kept.run_sources[some]))
        first += chunks
    if not rows:
        return _EMPTY
    joined = np.concatenate(lengths)
    return _Segments(
        bases,
        joined,
        float(joined.sum(dtype=np.float64)),
        np.concatenate([starts for starts, _, _ in runs]),
        np.concatenate([ordinals for _, ordinals, _ in runs]),
        np.concatenate([sources for _, _, sources in runs]),
    )


def array(numbers: Iterable[int]) -> str:
    """An array of integers as PostgreSQL writes it."""
    return f"{{{','.join(map(str, numbers))}}}"
