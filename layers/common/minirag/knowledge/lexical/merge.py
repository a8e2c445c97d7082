"""Merging: many small segments become one, and what was removed is left out.

Segments of one order of magnitude are merged once there are ten of them, or twenty of the small (a log-structured merge
tree with tiers; O'Neil et al., 1996), so that a posting is written again at most once an order of magnitude, and a
question reads a few dozen segments whatever the size of the workspace. A reader's snapshot keeps the old segments until
it ends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from minirag.knowledge.lexical import analyzer
from minirag.knowledge.lexical.index import write
from minirag.knowledge.lexical.segment import MAX_CHUNKS, Page, Segment, merge, unpack, unpack_lengths
from minirag.runtime.db import Connection

_FAN: Final = 10
# Of segments below a hundred chunks, which cost more to merge, and little to read.
_FAN_OF_SMALL: Final = 20
_SMALL: Final = 2  # levels
# So many of one level at once; a backlog is worked off in a few merges.
_MOST: Final = 40
# Where segments are so large that only few fit together, fewer are not worth writing them again.
_LEAST: Final = 3
# Once this share of a segment is gone, it is written again without it.
_GARBAGE: Final = 0.3

_COUNTS: Final = """
SELECT s.level, s.id, s.chunks, coalesce(t.removed, 0)::int, coalesce(t.old, false)
FROM lexical_segments s
LEFT JOIN (
    SELECT segment_id, sum(size) AS removed, min(created_at) < now() - interval '20 hours' AS old
    FROM lexical_tombstones
    WHERE workspace_id = %(workspace_id)s
    GROUP BY segment_id
) t ON t.segment_id = s.id
WHERE s.workspace_id = %(workspace_id)s AND s.analyzer = %(analyzer)s
ORDER BY s.level, s.chunks, s.id
"""

# Whoever removes from a segment at this moment holds it FOR KEY SHARE, another merge FOR UPDATE: such are left alone.
_LOCK: Final = """
SELECT id, chunks, lengths FROM lexical_segments
WHERE workspace_id = %s AND id = ANY(%s)
ORDER BY id
FOR UPDATE SKIP LOCKED
"""
_RUNS: Final = """
SELECT segment_id, start, size, source_id, first_ordinal
FROM lexical_runs
WHERE workspace_id = %s AND segment_id = ANY(%s)
"""
_PAGES: Final = """
SELECT segment_id, first_term, dictionary, postings
FROM lexical_pages
WHERE workspace_id = %s AND segment_id = ANY(%s)
ORDER BY segment_id, first_term
"""
_MOVE_RUNS: Final = """
UPDATE lexical_runs r
SET segment_id = %(segment_id)s, start = moved.start
FROM unnest(%(sources)s::uuid[], %(firsts)s::int[], %(starts)s::int[]) AS moved (source_id, first_ordinal, start)
WHERE r.workspace_id = %(workspace_id)s AND r.source_id = moved.source_id AND r.first_ordinal = moved.first_ordinal
"""
_FIND_GARBAGE: Final = "SELECT workspace_id FROM find_index_garbage(%s)"
_RETIRE: Final = "DELETE FROM lexical_segments WHERE workspace_id = %s AND id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Due:
    """Segments to be merged into one, and how many live chunks that will hold."""

    segments: Sequence[int]
    chunks: int


class _Count(NamedTuple):
    """A segment's chunks, how many of them were removed, and whether the first of those were long ago."""

    segment_id: int
    chunks: int
    removed: int
    old: bool


def due(tx: Connection, workspace_id: UUID) -> Due | None:
    """The merge that should come next, the smallest first; None if there is nothing to gain."""
    levels: dict[int, list[_Count]] = {}
    rows = tx.execute(_COUNTS, {"workspace_id": workspace_id, "analyzer": analyzer.VERSION}).fetchall()
    for level, *count in rows:
        levels.setdefault(level, []).append(_Count(*count))
    for level, segments in levels.items():
        taken = _fitting(segments) if len(segments) >= (_FAN_OF_SMALL if level < _SMALL else _FAN) else []
        if len(taken) < _LEAST:
            taken = [one for one in segments if one.removed > _GARBAGE * one.chunks or one.old][:1]
        if taken:
            return Due([one.segment_id for one in taken], sum(one.chunks - one.removed for one in taken))
    return None


def workspaces_with_garbage(tx: Connection, *, most: int) -> list[UUID]:
    """Workspaces, of all tenants, whose indexes hold what was removed long ago: within a day it is merged away."""
    return [row[0] for row in tx.execute(_FIND_GARBAGE, (most,)).fetchall()]


def _fitting(segments: Sequence[_Count]) -> list[_Count]:
    """As many of the smallest as fit one segment."""
    taken: list[_Count] = []
    room = MAX_CHUNKS
    for segment in segments[:_MOST]:
        room -= segment.chunks - segment.removed
        if room < 0:
            break
        taken.append(segment)
    return taken


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge that is about to retire `segments`: of each, the chunks that went on into `into`, in this order."""

    into: int
    segments: Mapping[int, NDArray[np.bool_]]


Carry = Callable[[Connection, UUID, Merged], None]


def run(tx: Connection, workspace_id: UUID, wanted: Due, *, carry: Carry) -> bool:
    """Merge what is due, in a transaction of its own; False if somebody else is at it.

    `carry` brings along what others keep of the segments (see vectors.store.carry).
    """
    held = tx.execute(_LOCK, (workspace_id, list(wanted.segments))).fetchall()
    if len(held) < len(wanted.segments):
        return False
    lengths = {segment_id: unpack_lengths(packed, chunks) for segment_id, chunks, packed in held}
    ids = list(lengths)
    runs = tx.execute(_RUNS, (workspace_id, ids)).fetchall()
    keep = {segment_id: np.zeros(len(lengths[segment_id]), dtype=np.bool_) for segment_id in ids}
    for segment_id, start, size, _, _ in runs:
        keep[segment_id][start : start + size] = True
    kept = np.concatenate([keep[segment_id] for segment_id in ids])
    if kept.any():
        merged = merge(list(_read(tx, workspace_id, lengths)), [keep[segment_id] for segment_id in ids])
        new_id = write(tx, workspace_id, merged)
        base = dict(zip(ids, np.cumsum([0, *(len(lengths[one]) for one in ids)]).tolist(), strict=False))
        position = np.cumsum(kept) - 1
        values = {
            "workspace_id": workspace_id,
            "segment_id": new_id,
            "sources": [source_id for _, _, _, source_id, _ in runs],
            "firsts": [first for _, _, _, _, first in runs],
            "starts": [int(position[base[segment_id] + start]) for segment_id, start, _, _, _ in runs],
        }
        tx.execute(_MOVE_RUNS, values)
        carry(tx, workspace_id, Merged(new_id, keep))
    tx.execute(_RETIRE, (workspace_id, ids))
    return True


def _read(tx: Connection, workspace_id: UUID, lengths: Mapping[int, NDArray[np.float32]]) -> Sequence[Segment]:
    pages: dict[int, list[Page]] = {segment_id: [] for segment_id in lengths}
    cursor = tx.cursor(binary=True)
    for segment_id, *columns in cursor.execute(_PAGES, (workspace_id, list(lengths))).fetchall():
        pages[segment_id].append(Page(*map(bytes, columns)))
    return [unpack(pages[segment_id], lengths[segment_id]) for segment_id in lengths]
