"""The index of a workspace: segments in ordinary tables, written once, read in slices.

Whoever adds chunks writes a segment of their own, so writers never wait for each other; N and the average length are
sums over segments and tombstones, df is counted from the postings read, so no row is written by all. Removal leaves a
tombstone. All within the caller's transaction: what is committed is what is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import randbits
from typing import Final
from uuid import UUID

from minirag.knowledge.lexical import analyzer
from minirag.knowledge.lexical.segment import MAX_CHUNKS, Segment, pack, pack_lengths, pages
from minirag.runtime.db import Connection

_INSERT_SEGMENT: Final = """
INSERT INTO lexical_segments (workspace_id, id, level, chunks, length, lengths, analyzer)
VALUES (%s, %s, %s, %s, %s, %b, %s)
"""

# COPY is not available under row-level security; arrays are the next fastest.
_INSERT_PAGES: Final = """
INSERT INTO lexical_pages (workspace_id, segment_id, first_term, dictionary, postings)
SELECT %s, %s, first_term, dictionary, postings
FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[]) AS t (first_term, dictionary, postings)
"""

_INSERT_RUN: Final = """
INSERT INTO lexical_runs (workspace_id, source_id, first_ordinal, segment_id, start, size, length)
VALUES (%s, %s, %s, %s, 0, %s, %s)
"""

# A merge that is retiring a segment holds it FOR UPDATE: this waits for it, and then does not find the segment.
_HOLD: Final = """
SELECT id FROM lexical_segments
WHERE workspace_id = %(workspace_id)s
  AND id IN (SELECT segment_id FROM lexical_runs WHERE workspace_id = %(workspace_id)s AND source_id = %(source_id)s)
ORDER BY id
FOR KEY SHARE
"""

_REMOVE_RUNS: Final = """
DELETE FROM lexical_runs
WHERE workspace_id = %s AND source_id = %s AND segment_id = ANY(%s)
RETURNING segment_id, start, size, length
"""

# A segment that holds nothing else goes at once.
_REMOVE_SEGMENTS: Final = """
DELETE FROM lexical_segments s
USING unnest(%(segments)s::bigint[], %(sizes)s::int[]) AS gone (segment_id, size)
WHERE s.workspace_id = %(workspace_id)s AND s.id = gone.segment_id AND s.chunks = gone.size
"""

_BURY: Final = """
INSERT INTO lexical_tombstones (workspace_id, segment_id, start, size, length)
SELECT s.workspace_id, s.id, gone.start, gone.size, gone.length
FROM unnest(%(segments)s::bigint[], %(starts)s::int[], %(sizes)s::int[], %(lengths)s::bigint[])
     AS gone (segment_id, start, size, length)
JOIN lexical_segments s ON s.workspace_id = %(workspace_id)s AND s.id = gone.segment_id
"""

_RUNS_LEFT: Final = "SELECT EXISTS (SELECT FROM lexical_runs WHERE workspace_id = %s AND source_id = %s)"

_OUTDATED: Final = """
SELECT c.source_id
FROM chunks c
WHERE c.workspace_id = %(workspace_id)s AND c.ordinal = 0
  AND NOT EXISTS (
      SELECT FROM lexical_runs r
      JOIN lexical_segments s ON s.workspace_id = r.workspace_id AND s.id = r.segment_id
      WHERE r.workspace_id = %(workspace_id)s AND r.source_id = c.source_id AND s.analyzer = %(analyzer)s
  )
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Placed:
    """A segment of one source: its chunks from `first_ordinal` on, `size` of them."""

    segment_id: int
    first_ordinal: int
    size: int


def insert(
    tx: Connection,
    workspace_id: UUID,
    source_id: UUID,
    terms_of: Sequence[Sequence[str]],
    *,
    first_ordinal: int = 0,
) -> list[Placed]:
    """Index chunks of a source by their analyzed terms; the first is number `first_ordinal` of the source.

    Returns the new segments, which hold nothing else.
    """
    placed: list[Placed] = []
    for at in range(0, len(terms_of), MAX_CHUNKS):
        segment = pack(terms_of[at : at + MAX_CHUNKS])
        segment_id = write(tx, workspace_id, segment)
        run = (workspace_id, source_id, first_ordinal + at, segment_id, len(segment.lengths))
        tx.execute(_INSERT_RUN, (*run, int(segment.lengths.sum())))
        placed.append(Placed(segment_id, first_ordinal + at, len(segment.lengths)))
    return placed


def write(tx: Connection, workspace_id: UUID, segment: Segment) -> int:
    """Store a segment; the runs that say whose chunks it holds are the caller's."""
    # Random, so that no segment ever has the id of another that a process still has in its cache.
    segment_id = randbits(63)
    chunks = len(segment.lengths)
    row = (workspace_id, segment_id, level(chunks), chunks, int(segment.lengths.sum()))
    tx.execute(_INSERT_SEGMENT, (*row, pack_lengths(segment.lengths), analyzer.VERSION))
    written = list(pages(segment))
    columns = (
        [page.first_term for page in written],
        [page.dictionary for page in written],
        [page.postings for page in written],
    )
    tx.execute(_INSERT_PAGES, (workspace_id, segment_id, *columns))
    return segment_id


def level(chunks: int) -> int:
    """Order of magnitude of a segment of `chunks` chunks: 0 below ten, 4 from ten thousand."""
    return len(str(chunks)) - 1


def remove(tx: Connection, workspace_id: UUID, source_id: UUID) -> None:
    """Take the chunks of a source out of the index, while the caller holds the source."""
    while _has_runs(tx, workspace_id, source_id):
        held = tx.execute(_HOLD, {"workspace_id": workspace_id, "source_id": source_id}).fetchall()
        gone = tx.execute(_REMOVE_RUNS, (workspace_id, source_id, [row[0] for row in held])).fetchall()
        values = {
            "workspace_id": workspace_id,
            "segments": [row[0] for row in gone],
            "starts": [row[1] for row in gone],
            "sizes": [row[2] for row in gone],
            "lengths": [row[3] for row in gone],
        }
        tx.execute(_REMOVE_SEGMENTS, values)
        tx.execute(_BURY, values)


def _has_runs(tx: Connection, workspace_id: UUID, source_id: UUID) -> bool:
    row = tx.execute(_RUNS_LEFT, (workspace_id, source_id)).fetchone()
    return row is not None and bool(row[0])


def outdated(tx: Connection, workspace_id: UUID) -> UUID | None:
    """A source with chunks that is not indexed, or was by another version of the analyzer; None if there is none."""
    row = tx.execute(_OUTDATED, {"workspace_id": workspace_id, "analyzer": analyzer.VERSION}).fetchone()
    return None if row is None else row[0]
