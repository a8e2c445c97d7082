"""Packed segments: what is packed comes back, whatever the terms, lengths and frequencies."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.knowledge.lexical.segment import (
    MAX_CHUNKS,
    Segment,
    join,
    merge,
    pack,
    pack_lengths,
    pages,
    unpack,
    unpack_lengths,
)

WORDS = st.text(min_size=1, max_size=12).filter(lambda word: not any(character in "\n\t" for character in word))
CHUNKS = st.lists(st.lists(WORDS, max_size=30), min_size=1, max_size=20)


def contents(segment: Segment) -> list[Counter[str]]:
    """What each chunk of a segment holds."""
    chunks: list[Counter[str]] = [Counter() for _ in segment.lengths]
    for term, first, last in zip(segment.terms, segment.bounds, segment.bounds[1:], strict=False):
        for i in range(first, last):
            chunks[segment.ordinals[i]][term.decode()] += int(segment.frequencies[i])
    return chunks


def stored(segment: Segment) -> Segment:
    """The segment after a way to the database and back."""
    lengths = unpack_lengths(pack_lengths(segment.lengths), len(segment.lengths))
    return unpack(list(pages(segment)), lengths)


@given(CHUNKS)
def test_every_chunk_comes_back_with_its_terms_frequencies_and_length(chunks: Sequence[Sequence[str]]) -> None:
    segment = stored(pack(chunks))
    assert contents(segment) == [Counter(chunk) for chunk in chunks]
    assert segment.lengths.tolist() == [len(chunk) for chunk in chunks]
    assert list(segment.terms) == sorted({word.encode() for chunk in chunks for word in chunk})


@given(st.lists(CHUNKS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_merged_segment_is_the_segment_of_the_chunks_that_were_kept(
    documents: list[list[list[str]]], random: object
) -> None:
    keep = [np.array([random.random() < 0.7 for _ in chunks]) for chunks in documents]  # type: ignore[attr-defined]
    merged = stored(merge([stored(pack(chunks)) for chunks in documents], keep))
    kept = [
        chunk
        for chunks, mask in zip(documents, keep, strict=True)
        for chunk, kept in zip(chunks, mask, strict=True)
        if kept
    ]
    assert contents(merged) == [Counter(chunk) for chunk in kept]
    assert merged.lengths.tolist() == [len(chunk) for chunk in kept]
    assert list(merged.terms) == sorted({word.encode() for chunk in kept for word in chunk})


@pytest.mark.parametrize("frequency", [1, 254, 255, 256, 510, 511, 70_000])
def test_any_frequency_and_any_length_is_exact(frequency: int) -> None:
    chunks = [["rare"], ["often"] * frequency, ["often", "rare"]]
    segment = merge([stored(pack(chunks)), stored(pack(chunks))], [np.array([True] * 3), np.array([False, True, True])])
    at = list(segment.terms).index(b"often")
    size = segment.bounds[at + 1] - segment.bounds[at]
    page = next(pages(segment))
    numbers, frequencies = join([page.postings[: 3 * size]], [1000])
    assert numbers.tolist() == [1001, 1002, 1003, 1004]
    assert frequencies.tolist() == [frequency, 1, frequency, 1]
    assert stored(segment).lengths.tolist() == [1, frequency, 2, frequency, 2]


def test_postings_of_several_segments_are_joined_under_the_numbers_of_their_chunks() -> None:
    one, other = (next(pages(pack([["a"], ["b"], ["a", "a"]]))).postings[:6] for _ in range(2))
    numbers, frequencies = join([one, other], [0, 3])
    assert numbers.tolist() == [0, 2, 3, 5]
    assert frequencies.tolist() == [1, 2, 1, 2]


def test_more_chunks_than_a_segment_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pack([["a"]] * (MAX_CHUNKS + 1))
    full = pack([["a"]] * MAX_CHUNKS)
    assert full.ordinals[-1] == MAX_CHUNKS - 1
    with pytest.raises(ValueError, match="do not fit"):
        merge([full, pack([["a"]])], [np.ones(MAX_CHUNKS, dtype=np.bool_), np.ones(1, dtype=np.bool_)])
