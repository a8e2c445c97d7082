"""Packed, immutable segments of an inverted index. Pure; numpy does the work.

A segment holds up to 65536 chunks, numbered from 0. For each of its terms, in byte order, it has the postings: the
numbers of the chunks that hold the term (u16, ascending), each with how often it does (u8). A frequency above 255 is
written as several postings of one chunk that add up. The lengths of the chunks are kept once for the segment, not
with each posting, so that a posting takes three bytes and any length is exact.

Segments are written in pages, runs of neighbouring terms, as a sorted string table is (Chang et al., Bigtable, 2006):
the page of a term is the last one whose first term does not come after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_CHUNKS: Final = 65536
# Small enough that a page's dictionary is searched in about a microsecond, large enough that pages are few.
_PAGE_TERMS: Final = 128
_MAX_FREQUENCY: Final = 255
_POSTING: Final = np.dtype([("chunk", "<u2"), ("frequency", "u1")])
POSTING_BYTES: Final = _POSTING.itemsize

_Term = TypeVar("_Term", str, bytes)


@dataclass(frozen=True, slots=True)
class Segment:
    """An inverted index of `len(lengths)` chunks; terms[i] has the postings from bounds[i] to bounds[i + 1]."""

    lengths: NDArray[np.float32]  # (chunks,)
    terms: Sequence[bytes]  # sorted, each once
    bounds: NDArray[np.int64]  # (terms + 1,)
    ordinals: NDArray[np.uint16]  # (postings,)
    frequencies: NDArray[np.uint8]  # (postings,)


@dataclass(frozen=True, slots=True)
class Page:
    """Neighbouring terms of a segment as they are stored; the format is described beside the table."""

    first_term: bytes
    dictionary: bytes
    postings: bytes


def pack(terms_of: Sequence[Sequence[str]]) -> Segment:
    """Make a segment of chunks given as their analyzed terms. Raises ValueError above MAX_CHUNKS."""
    if len(terms_of) > MAX_CHUNKS:
        raise ValueError(f"{len(terms_of)} chunks do not fit one segment of {MAX_CHUNKS}")
    lengths = np.fromiter(map(len, terms_of), dtype=np.int64, count=len(terms_of))
    # The order of code points is that of their bytes in UTF-8.
    terms = sorted(dict.fromkeys(chain.from_iterable(terms_of)))
    numbers = _numbers(terms, chain.from_iterable(terms_of), int(lengths.sum()))
    chunk = np.repeat(np.arange(len(terms_of)), lengths)
    # Sorted by term, then by chunk.
    occurrences, counts = np.unique(numbers << 16 | chunk, return_counts=True)
    written = (counts + _MAX_FREQUENCY - 1) // _MAX_FREQUENCY
    last = np.cumsum(written) - 1
    occurrences = np.repeat(occurrences, written)
    frequencies = np.full(len(occurrences), _MAX_FREQUENCY, dtype=np.uint8)
    frequencies[last] = counts - (written - 1) * _MAX_FREQUENCY
    return Segment(
        lengths=lengths.astype(np.float32),
        terms=[term.encode() for term in terms],
        bounds=np.searchsorted(occurrences >> 16, np.arange(len(terms) + 1)),
        ordinals=(occurrences & 0xFFFF).astype(np.uint16),
        frequencies=frequencies,
    )


def merge(segments: Sequence[Segment], keep: Sequence[NDArray[np.bool_]]) -> Segment:
    """One segment of the chunks to `keep` of several, in their order. Raises ValueError above MAX_CHUNKS."""
    sizes = [len(segment.lengths) for segment in segments]
    kept = np.concatenate(keep)
    lengths = np.concatenate([segment.lengths for segment in segments])[kept]
    if len(lengths) > MAX_CHUNKS:
        raise ValueError(f"{len(lengths)} chunks do not fit one segment of {MAX_CHUNKS}")
    new_ordinals = np.cumsum(kept) - 1
    every = list(chain.from_iterable(segment.terms for segment in segments))
    # Each once, still in sorted runs, which sort faster than a set.
    terms = sorted(dict.fromkeys(every))
    # All lists of postings, those of one term next to each other and in the order of the segments.
    list_terms = _numbers(terms, every, len(every))
    list_sizes = np.concatenate([np.diff(segment.bounds) for segment in segments])
    list_starts = np.cumsum(list_sizes) - list_sizes
    order = np.argsort(list_terms, kind="stable")
    gather = _ranges(list_starts[order], list_sizes[order])
    bases = np.repeat(np.cumsum(sizes) - sizes, [len(segment.ordinals) for segment in segments])
    chunk = (np.concatenate([segment.ordinals for segment in segments]) + bases)[gather]
    survives = kept[chunk]
    term = np.repeat(list_terms[order], list_sizes[order])[survives]
    held = np.bincount(term, minlength=len(terms))
    return Segment(
        lengths=lengths,
        terms=[terms[number] for number in np.flatnonzero(held)],
        bounds=np.concatenate(([0], np.cumsum(held[held > 0]))),
        ordinals=new_ordinals[chunk[survives]].astype(np.uint16),
        frequencies=np.concatenate([segment.frequencies for segment in segments])[gather[survives]],
    )


def pages(segment: Segment) -> Iterator[Page]:
    """Write the terms and postings of a segment."""
    postings = np.empty(len(segment.ordinals), dtype=_POSTING)
    postings["chunk"], postings["frequency"] = segment.ordinals, segment.frequencies
    packed = postings.tobytes()
    offsets = (segment.bounds * POSTING_BYTES).tolist()
    for first in range(0, len(segment.terms), _PAGE_TERMS):
        last = min(first + _PAGE_TERMS, len(segment.terms))
        begin = offsets[first]
        entries = [b"\n%b\t%d" % (segment.terms[i], offsets[i] - begin) for i in range(first, last)]
        entries.append(b"\n\t%d" % (offsets[last] - begin))
        yield Page(segment.terms[first], b"".join(entries), packed[begin : offsets[last]])


def unpack(written: Sequence[Page], lengths: NDArray[np.float32]) -> Segment:
    """Read a segment back from all of its pages, in the order of their first terms."""
    # Term, start, term, start, ..., an empty term, end; then the next page.
    fields = b"".join(page.dictionary for page in written)[1:].replace(b"\n", b"\t").split(b"\t")
    terms = fields[:-1:2]
    starts = np.fromiter(map(int, fields[1::2]), dtype=np.int64, count=len(terms))
    sizes = np.diff(starts, append=0)[np.fromiter(map(bool, terms), dtype=np.bool_, count=len(terms))]
    postings = np.frombuffer(b"".join(page.postings for page in written), dtype=_POSTING)
    return Segment(
        lengths=lengths,
        terms=[term for term in terms if term],
        bounds=np.cumsum(np.concatenate(([0], sizes // POSTING_BYTES))),
        ordinals=postings["chunk"],
        frequencies=postings["frequency"],
    )


def join(lists: Sequence[bytes], firsts: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The chunks that hold a term, ascending and each once, and how often they do.

    From its postings in several segments, whose first chunks have the numbers `firsts`.
    """
    postings = np.frombuffer(b"".join(lists), dtype=_POSTING)
    chunks = postings["chunk"].astype(np.int64)
    chunks += np.repeat(np.array(firsts, dtype=np.int64), [len(one) // POSTING_BYTES for one in lists])
    frequencies = postings["frequency"].astype(np.float32)
    if len(chunks) and frequencies.max() == _MAX_FREQUENCY:
        once = np.flatnonzero(np.diff(chunks, prepend=-1))
        return chunks[once], np.add.reduceat(frequencies, once)
    return chunks, frequencies


def pack_lengths(lengths: NDArray[np.float32]) -> bytes:
    """Lengths as they are stored: two bytes each if that suffices for all, else four."""
    wide = len(lengths) and int(lengths.max()) > np.iinfo(np.uint16).max
    return lengths.astype("<u4" if wide else "<u2").tobytes()


def unpack_lengths(packed: bytes, chunks: int) -> NDArray[np.float32]:
    """The lengths of `chunks` chunks, exact up to 2 ** 24."""
    return np.frombuffer(packed, dtype="<u2" if len(packed) == 2 * chunks else "<u4").astype(np.float32)


def _numbers(terms: Sequence[_Term], every: Iterable[_Term], count: int) -> NDArray[np.int64]:
    """Which of `terms` each of `every` is; `count` of them."""
    number_of = {term: number for number, term in enumerate(terms)}
    return np.fromiter(map(number_of.__getitem__, every), dtype=np.int64, count=count)


def _ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """starts[0] .. starts[0] + sizes[0] - 1, then the same of starts[1], and so on."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)
