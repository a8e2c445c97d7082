"""Reading the index: the postings of a question's terms in one round trip, then scores in numpy.

Segments never change, so a process keeps the postings it has read, and asks only for what it lacks. What is kept is
used only for segments that the snapshot still has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Hit, Standing
from minirag.knowledge.lexical import bm25, view
from minirag.knowledge.lexical.bm25 import Scored, Statistics
from minirag.knowledge.lexical.segment import join
from minirag.knowledge.lexical.view import View, array
from minirag.runtime.db import Connection

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

# What an entry takes beside its bytes, and each of its lists.
_ENTRY_BYTES: Final = 500
_LIST_BYTES: Final = 150


def _bytes_of(lists: Mapping[int, bytes]) -> int:
    return sum(map(len, lists.values())) + _LIST_BYTES * len(lists) + _ENTRY_BYTES


# Postings by workspace and term, then by segment, empty where a segment lacks the term.
_postings: LRUCache[tuple[UUID, str], Mapping[int, bytes]] = LRUCache(48 * 1024 * 1024, getsizeof=_bytes_of)


_NOBODY: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Found:
    """The best chunks, best first, ties by number; and the scores of all, by their numbers in the view."""

    chunks: View
    scored: Scored
    best: NDArray[np.int64]

    @property
    def statistics(self) -> Statistics:
        """What is known of the question's terms in this workspace."""
        return self.scored.statistics

    def scores(self, others: NDArray[np.int64] = _NOBODY) -> list[tuple[int, float]]:
        """Numbers and scores of the best; then of those of `others` that are not among them and hold a term."""
        beyond = others[~self.chunks.among(others, self.best)]
        beyond = beyond[self.scored.scores[beyond] > 0]
        numbers = np.concatenate([self.best, beyond])
        return list(zip(numbers.tolist(), self.scored.scores[numbers].tolist(), strict=True))


class Request:
    """A question that has been sent to the index; its answer is read once, in the same transaction."""

    def __init__(self, tx: Connection, workspace_id: UUID, terms: Sequence[str], chunks: view.Request) -> None:
        self._workspace_id = workspace_id
        self._chunks = chunks
        self._asked = Counter(terms)
        self._known = {
            term: lists for term in self._asked if (lists := _postings.get((workspace_id, term))) is not None
        }
        # What is known of all terms that are known at all.
        known = [lists.keys() for lists in self._known.values()]
        values = {
            "workspace_id": workspace_id,
            "terms": [term.encode() for term in self._asked],
            "known_terms": array(number for number, term in enumerate(self._asked, 1) if term in self._known),
            "known_segments": array(set(known[0]).intersection(*known[1:]) if known else ()),
        }
        self._postings = tx.cursor(binary=True).execute(_POSTINGS, values, prepare=True)

    def found(self, k: int) -> Found:
        """The `k` best chunks."""
        chunks = self._chunks.view()
        postings = {term: _joined(lists, chunks.bases) for term, lists in self._read_postings(chunks.bases).items()}
        collection = bm25.Collection(
            chunks.lengths, chunks.total, chunks.average, chunks.live, chunks.allowed, postings
        )
        scored = bm25.score(collection, self._asked)
        return Found(chunks, scored, scored.best(k))

    def standing(self, source_id: UUID) -> Standing | None:
        """Where the best chunk of a source stands among all; None if it has none of the terms or may not be found."""
        chunks = self._chunks.view()
        scores, own = self.found(1).scored.scores, chunks.numbers(source_id)
        if not len(own) or scores[own].max() <= 0:
            return None
        best = own[scores[own].argmax()]
        (_, ordinal), *_ = chunks.places(best[np.newaxis])
        return Standing(ordinal, float(scores[best]), int(np.count_nonzero(scores > scores[best])) + 1)

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


def search(tx: Connection, workspace_id: UUID, terms: Sequence[str], *, k: int, filters: Filters) -> list[Hit]:
    """The `k` best chunks for a question's `terms`, best first; ties by place."""
    found = Request(tx, workspace_id, terms, view.Request(tx, workspace_id, filters)).found(k)
    return found.chunks.hits(found.best, found.scored.scores[found.best])


def _joined(lists: Mapping[int, bytes], bases: Mapping[int, int]) -> bm25.Postings:
    held = [(packed, bases[segment_id]) for segment_id, packed in lists.items() if packed]
    return join([packed for packed, _ in held], [first for _, first in held])
