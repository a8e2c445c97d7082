"""The chunks nearest to a question: by signatures in this process, then exactly in the database.

As the segments that they follow, signatures never change, so a process keeps those it has read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
import psycopg
from cachetools import LRUCache
from numpy.typing import NDArray
from psycopg import Cursor
from psycopg.rows import TupleRow

from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Hit, Standing
from minirag.knowledge.lexical import view
from minirag.knowledge.lexical.view import View
from minirag.knowledge.vectors import halfvec
from minirag.knowledge.vectors.halfvec import HalfVector
from minirag.knowledge.vectors.signatures import Signatures, unpack
from minirag.knowledge.vectors.store import mismatch
from minirag.runtime.db import Connection

_SIGNATURES: Final = """
SELECT segment_id, windows, signatures
FROM vector_signatures
WHERE workspace_id = %(workspace_id)s AND model = %(model)s AND NOT segment_id = ANY(%(known)s::bigint[])
"""

# One row of pairs (_PAIR), because a row for each would take longer to read than to find. OFFSET keeps the planner from
# reading all vectors of a workspace of which it knows too little.
_COSINES: Final = """
SELECT string_agg(int4send(place.number::int) || float8send(1 - v.distance), ''::bytea)
FROM unnest(%(sources)s::uuid[], %(ordinals)s::int[]) WITH ORDINALITY AS place (source_id, ordinal, number)
CROSS JOIN LATERAL (
    SELECT embedding <=> %(query)s::halfvec AS distance
    FROM chunk_vectors
    WHERE workspace_id = %(workspace_id)s AND model = %(model)s
      AND source_id = place.source_id AND ordinal = place.ordinal
    OFFSET 0
) v
"""
_PAIR: Final = np.dtype([("number", ">i4"), ("cosine", ">f8")])

# Chunks whose exact vectors are looked at: for each one wanted, more in a large workspace, and beside that
# (docs/decisions/0010).
_SPARE: Final = 1
_SPARE_OF_MANY: Final = 2
_MANY: Final = 300_000
_BESIDE: Final = 80


@dataclass(frozen=True, slots=True)
class _Kept:
    """The signatures of a view's segments, one segment after the other."""

    bases: Mapping[int, int]  # as of the view
    bounds: Mapping[int, tuple[int, int]]  # the windows of each segment
    signatures: Signatures


def _bytes_of(kept: _Kept) -> int:
    return kept.signatures.words.nbytes + kept.signatures.chunks.nbytes + 200 * len(kept.bases) + 1000


_NOBODY: Final = np.empty(0, dtype=np.int64)
_NONE: Final = _Kept({}, {}, Signatures(np.empty((0, 0), dtype=np.uint64), np.empty(0, dtype=np.int64)))
# By workspace and model, as they were when they were last searched.
_kept: LRUCache[tuple[UUID, str], _Kept] = LRUCache(256 * 1024 * 1024, getsizeof=_bytes_of)


@dataclass(frozen=True, slots=True)
class Found:
    """Chunks by their numbers in the view, with their exact cosines: the `nearest` best first, then `others`.

    The others were asked for beside the nearest, and have a vector.
    """

    chunks: View
    numbers: NDArray[np.int64]
    cosines: NDArray[np.float64]
    count: int  # of the nearest

    @property
    def nearest(self) -> NDArray[np.int64]:
        """The nearest chunks."""
        return self.numbers[: self.count]

    def scores(self) -> list[tuple[int, float]]:
        """Numbers and cosines of all."""
        return list(zip(self.numbers.tolist(), self.cosines.tolist(), strict=True))


class Request:
    """A search that has been sent; it is read in the transaction it was sent in, which `chunks` is a look at, too."""

    def __init__(
        self, tx: Connection, workspace_id: UUID, model: str, query: NDArray[np.float32], chunks: view.Request
    ) -> None:
        self.tx, self.workspace_id, self.model, self.query, self.chunks = tx, workspace_id, model, query, chunks
        self._known = _kept.get((workspace_id, model), _NONE)
        values = {"workspace_id": workspace_id, "model": model, "known": view.array(self._known.bases)}
        self._k = 0
        self._near = _Asked(self, _NOBODY)
        self._signatures = tx.cursor(binary=True).execute(_SIGNATURES, values, prepare=True)

    def look(self, k: int) -> None:
        """Find what seems nearest, and ask for its exact cosines without waiting for them."""
        chunks = self.chunks.view()
        signatures = self._read(chunks)
        if len(signatures.chunks) and not signatures.fits(self.query):
            raise mismatch(self.model, len(self.query))
        spare = _SPARE_OF_MANY if chunks.total > _MANY else _SPARE
        self._k = k
        self._near = _Asked(self, signatures.nearest(self.query, spare * k + _BESIDE, chunks.findable))

    def found(self, *, beside: NDArray[np.int64] = _NOBODY) -> Found:
        """The chunks nearest to the query; the cosines of live chunks `beside` them are looked up as well."""
        chunks = self.chunks.view()
        more = _Asked(self, beside[~chunks.among(beside, self._near.numbers)])
        numbers = np.concatenate([self._near.numbers, more.numbers])
        exact = np.concatenate([self._near.cosines(), more.cosines()])
        # What has no vector, sorts last.
        order = np.argsort(-exact, kind="stable")[: int(np.count_nonzero(~np.isnan(exact)))]
        beyond = order[self._k :]
        order = np.concatenate([order[: self._k], beyond[chunks.among(numbers[beyond], beside)]])
        return Found(chunks, numbers[order], exact[order], min(self._k, len(order)))

    def standing(self, source_id: UUID) -> Standing | None:
        """Where the best chunk of a source stands among all, its rank by signatures; None if it has no vector."""
        chunks = self.chunks.view()
        own = chunks.numbers(source_id)
        if chunks.allowed is not None:
            own = own[chunks.allowed[own]]
        asked = _Asked(self, own)
        exact = asked.cosines()
        if np.isnan(exact).all():
            return None
        best = int(np.nanargmax(exact))
        (_, ordinal), *_ = chunks.places(asked.numbers[best : best + 1])
        order = self._read(chunks).nearest(self.query, chunks.total, chunks.findable)
        rank = int(np.flatnonzero(order == asked.numbers[best])[0]) + 1
        return Standing(ordinal, float(exact[best]), rank, estimated=True)

    def _read(self, chunks: View) -> Signatures:
        new = {segment_id: (counts, packed) for segment_id, counts, packed in self._signatures.fetchall()}
        kept = _joined(self._known, chunks.bases, new)
        if _bytes_of(kept) <= _kept.maxsize:
            _kept[self.workspace_id, self.model] = kept
        return kept.signatures


class _Asked:
    """Live chunks whose exact cosines have been asked for; of each, its nearest window counts."""

    def __init__(self, request: Request, numbers: NDArray[np.int64]) -> None:
        # In the order they are stored in, which the database reads fastest.
        self.numbers = np.sort(numbers)
        self._request = request
        self._cursor: Cursor[TupleRow] | None = None
        if len(numbers):
            self._cursor = self._send()

    def _send(self) -> Cursor[TupleRow]:
        request = self._request
        sources, ordinals = request.chunks.view().columns(self.numbers)
        ids = sources.tobytes().hex()
        values = {
            "workspace_id": request.workspace_id,
            "model": request.model,
            "query": HalfVector(request.query),
            "sources": f"{{{','.join([ids[at : at + 32] for at in range(0, len(ids), 32)])}}}",
            "ordinals": view.array(ordinals.tolist()),
        }
        with self._named():
            return halfvec.cursor(request.tx).execute(_COSINES, values, prepare=True)

    def cosines(self) -> NDArray[np.float64]:
        """The cosine of each, NaN if it has no vector."""
        cosines = np.full(len(self.numbers), np.nan)
        if self._cursor is not None:
            with self._named():
                row = self._cursor.fetchone()
            found = np.frombuffer((row and row[0]) or b"", dtype=_PAIR)
            np.fmax.at(cosines, found["number"] - 1, found["cosine"].astype(np.float64))
        return cosines

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.DataException as error:
            raise mismatch(self._request.model, len(self._request.query)) from error


def search(
    tx: Connection, workspace_id: UUID, model: str, query: NDArray[np.float32], *, k: int, filters: Filters
) -> list[Hit]:
    """The `k` chunks nearest to the unit vector `query`, best first; ties by place."""
    request = Request(tx, workspace_id, model, query, view.Request(tx, workspace_id, filters))
    request.look(k)
    found = request.found()
    return found.chunks.hits(found.numbers, found.cosines)


def _joined(kept: _Kept, bases: Mapping[int, int], new: Mapping[int, tuple[bytes, bytes]]) -> _Kept:
    """The signatures of the segments in `bases`; those that are neither `kept` nor `new` have none."""
    if kept.bases is bases:
        return kept
    parts: list[Signatures] = []
    bounds: dict[int, tuple[int, int]] = {}
    at = 0
    for segment_id, base in bases.items():
        if segment_id in kept.bounds:
            some = slice(*kept.bounds[segment_id])
            moved = kept.signatures.chunks[some] + (base - kept.bases[segment_id])
            part = Signatures(kept.signatures.words[:, some], moved)
        elif segment_id in new:
            part = unpack(*new[segment_id], base)
        else:
            part = _NONE.signatures
        bounds[segment_id] = (at, at + len(part.chunks))
        at += len(part.chunks)
        parts.append(part)
    held = [part for part in parts if len(part.chunks)]
    if not held:
        return _Kept(bases, bounds, _NONE.signatures)
    joined = Signatures(
        np.concatenate([part.words for part in held], axis=1), np.concatenate([part.chunks for part in held])
    )
    return _Kept(bases, bounds, joined)
