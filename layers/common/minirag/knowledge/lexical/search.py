"""Reading the index: one round trip for the postings of a question, one for whose chunks were found.

Segments never change, so a process keeps the postings and lengths it has read, and asks only for what it lacks. What
is kept is used only for segments that the snapshot still has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from psycopg import Cursor

from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Hit
from minirag.knowledge.lexical import bm25
from minirag.knowledge.lexical.bm25 import Scored, Statistics
from minirag.knowledge.lexical.segment import join, unpack_lengths
from minirag.runtime.db import Connection

# Arrays of integers are sent in PostgreSQL's own notation, which is built far faster than a list is adapted.
_SEGMENTS: Final = """
SELECT id, chunks, CASE WHEN id = ANY(%(lengths_of)s::bigint[]) THEN NULL ELSE lengths END
FROM lexical_segments
WHERE workspace_id = %(workspace_id)s
"""

_TOMBSTONES: Final = """
SELECT segment_id, start, size FROM lexical_tombstones WHERE workspace_id = %(workspace_id)s
"""

# In a page's dictionary an entry is '\n' term '\t' start; the start of the next entry is where the postings end.
_POSTINGS: Final = """
SELECT wanted.segment_id, wanted.number, substring(p.postings FROM e.first + 1 FOR e.last - e.first)
FROM (
    SELECT s.id AS segment_id, q.number::int AS number, q.term
    FROM lexical_segments s
    CROSS JOIN unnest(%(terms)b::bytea[]) WITH ORDINALITY AS q (term, number)
    WHERE s.workspace_id = %(workspace_id)s
      AND NOT (q.number = ANY(%(known_terms)s::int[]) AND s.id = ANY(%(known_segments)s::bigint[]))
    OFFSET 0
) wanted
CROSS JOIN LATERAL (
    SELECT page.dictionary, page.postings
    FROM lexical_pages page
    WHERE page.workspace_id = %(workspace_id)s
      AND page.segment_id = wanted.segment_id
      AND page.first_term <= wanted.term
    ORDER BY page.first_term DESC
    LIMIT 1
) p
CROSS JOIN LATERAL (
    SELECT position('\\x0a'::bytea || wanted.term || '\\x09'::bytea IN p.dictionary) AS at OFFSET 0
) f
CROSS JOIN LATERAL (
    SELECT encode(substring(p.dictionary FROM f.at + octet_length(wanted.term) + 2 FOR 320), 'escape') AS rest OFFSET 0
) r
CROSS JOIN LATERAL (
    SELECT split_part(r.rest, E'\\n', 1)::int AS first,
           split_part(split_part(r.rest, E'\\t', 2), E'\\n', 1)::int AS last
) e
WHERE f.at > 0
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

_PLACES: Final = """
SELECT q.number::int, r.source_id, r.first_ordinal + q.at - r.start
FROM unnest(%(segments)s::bigint[], %(ats)s::int[]) WITH ORDINALITY AS q (segment_id, at, number)
CROSS JOIN LATERAL (
    SELECT run.source_id, run.first_ordinal, run.start
    FROM lexical_runs run
    WHERE run.workspace_id = %(workspace_id)s AND run.segment_id = q.segment_id AND run.start <= q.at
    ORDER BY run.start DESC
    LIMIT 1
) r
"""

# What an entry takes beside its bytes.
_ENTRY_BYTES: Final = 150


def _bytes_of(lists: Mapping[int, bytes]) -> int:
    return sum(map(len, lists.values())) + _ENTRY_BYTES * len(lists)


# Postings by workspace and term, then by segment, empty where a segment lacks the term.
_postings: LRUCache[tuple[UUID, str], Mapping[int, bytes]] = LRUCache(48 * 1024 * 1024, getsizeof=_bytes_of)
# By workspace: the lengths of the segments it had when it was last searched.
_lengths: LRUCache[UUID, Mapping[int, NDArray[np.float32]]] = LRUCache(
    32 * 1024 * 1024, getsizeof=lambda lengths: sum(_ENTRY_BYTES + one.nbytes for one in lengths.values())
)


@dataclass(frozen=True, slots=True)
class Found:
    """The best chunks, and what is known of the question's terms in this workspace."""

    hits: Sequence[Hit]
    statistics: Statistics


class Request:
    """A question that has been sent to the index; its answer is read once, in the same transaction."""

    def __init__(self, tx: Connection, workspace_id: UUID, terms: Sequence[str], filters: Filters) -> None:
        self._tx = tx
        self._workspace_id = workspace_id
        self._asked = Counter(terms)
        self._lengths = _lengths.get(workspace_id, {})
        self._known = {
            term: lists for term in self._asked if (lists := _postings.get((workspace_id, term))) is not None
        }
        # What is known of all terms that are known at all.
        segments = set(self._lengths)
        for lists in self._known.values():
            segments &= lists.keys()
        values = {
            "workspace_id": workspace_id,
            "terms": [term.encode() for term in self._asked],
            "lengths_of": _array(self._lengths),
            "known_terms": _array(number for number, term in enumerate(self._asked, 1) if term in self._known),
            "known_segments": _array(segments),
            **filters.values(),
        }
        self._segments = self._send(_SEGMENTS, values)
        self._tombstones = self._send(_TOMBSTONES, values)
        self._postings = self._send(_POSTINGS, values)
        self._allowed = None if filters == Filters() else self._send(_ALLOWED, values)

    def _send(self, statement: str, values: Mapping[str, Any]) -> Cursor[Any]:
        return self._tx.cursor(binary=True).execute(statement, values, prepare=True)

    def found(self, k: int) -> Found:
        """The `k` best chunks, best first; ties by place."""
        scored, bases = self._scored()
        best = scored.best(k)
        if not len(best):
            return Found((), scored.statistics)
        segments = np.array(list(bases), dtype=np.int64)
        firsts = np.array(list(bases.values()), dtype=np.int64)
        held_by = np.searchsorted(firsts, best, side="right") - 1
        values = {
            "workspace_id": self._workspace_id,
            "segments": _array(segments[held_by].tolist()),
            "ats": _array((best - firsts[held_by]).tolist()),
        }
        scores = scored.scores[best].tolist()
        places = self._send(_PLACES, values).fetchall()
        hits = [Hit(source_id, ordinal, scores[number - 1]) for number, source_id, ordinal in places]
        return Found(sorted(hits, key=lambda hit: (-hit.score, hit.source_id, hit.ordinal)), scored.statistics)

    def _scored(self) -> tuple[Scored, Mapping[int, int]]:
        """The scores of all chunks of the workspace, segment after segment, and where each segment begins."""
        lengths = self._read_lengths()
        sizes = [len(one) for one in lengths.values()]
        bases = dict(zip(lengths, np.cumsum([0, *sizes]).tolist(), strict=False))
        live = np.ones(sum(sizes), dtype=np.bool_)
        for segment_id, start, size in self._tombstones.fetchall():
            live[bases[segment_id] + start :][:size] = False
        allowed = None
        if self._allowed is not None:
            allowed = np.zeros(len(live), dtype=np.bool_)
            for segment_id, start, size in self._allowed.fetchall():
                allowed[bases[segment_id] + start :][:size] = True
        collection = bm25.Collection(
            lengths=np.concatenate(list(lengths.values())) if lengths else np.empty(0, dtype=np.float32),
            live=live,
            allowed=allowed,
            postings={term: _joined(lists, bases) for term, lists in self._read_postings(lengths).items()},
        )
        return bm25.score(collection, self._asked), bases

    def _read_lengths(self) -> Mapping[int, NDArray[np.float32]]:
        lengths = {
            segment_id: self._lengths[segment_id] if packed is None else unpack_lengths(packed, chunks)
            for segment_id, chunks, packed in self._segments.fetchall()
        }
        if sum(one.nbytes + _ENTRY_BYTES for one in lengths.values()) <= _lengths.maxsize:
            _lengths[self._workspace_id] = lengths
        return lengths

    def _read_postings(self, segments: Iterable[int]) -> Mapping[str, Mapping[int, bytes]]:
        read: dict[str, dict[int, bytes]] = {term: {} for term in self._asked}
        terms = list(read)
        for segment_id, number, packed in self._postings.fetchall():
            read[terms[number - 1]][segment_id] = packed
        for term, lists in read.items():
            known = self._known.get(term, {})
            # That a segment lacks a term is worth remembering as well.
            read[term] = {one: lists.get(one) or known.get(one, b"") for one in segments}
            if _bytes_of(read[term]) <= _postings.maxsize:
                _postings[self._workspace_id, term] = read[term]
        return read


def search(tx: Connection, workspace_id: UUID, terms: Sequence[str], *, k: int, filters: Filters) -> Found:
    """The `k` best chunks for a question's `terms`, best first; ties by place."""
    return Request(tx, workspace_id, terms, filters).found(k)


def _joined(lists: Mapping[int, bytes], bases: Mapping[int, int]) -> bm25.Postings:
    held = [(packed, bases[segment_id]) for segment_id, packed in lists.items() if packed]
    return join([packed for packed, _ in held], [first for _, first in held])


def _array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"
