"""Fusion of two ranked lists."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from functions.ask.rank import fuse

IDS = [UUID(int=number) for number in range(40)]
LISTS = st.lists(
    st.tuples(st.sampled_from(IDS), st.floats(-1, 100, allow_nan=False)), unique_by=lambda hit: hit[0], max_size=30
).map(lambda hits: sorted(hits, key=lambda hit: -hit[1]))


def test_a_chunk_high_in_both_lists_beats_one_that_tops_a_single_list() -> None:
    keyword = [(IDS[0], 10.0), (IDS[1], 9.0), (IDS[2], 1.0)]
    vector = [(IDS[3], 0.9), (IDS[1], 0.85), (IDS[2], 0.1)]
    assert fuse(keyword, vector, k=1)[0].chunk_id == IDS[1]


def test_without_vectors_the_keyword_order_stands() -> None:
    keyword = [(IDS[0], 10.0), (IDS[1], 9.0), (IDS[2], 1.0)]
    assert [candidate.chunk_id for candidate in fuse(keyword, None, k=3)] == IDS[:3]
    assert fuse(keyword, None, k=1)[0].vector_rank is None


def test_nothing_found_is_nothing() -> None:
    assert fuse([], [], k=5) == []


@given(LISTS, st.none() | LISTS, st.integers(1, 50))
def test_fusion_returns_the_best_k_each_once_with_its_ranks(
    keyword: list[tuple[UUID, float]], vector: list[tuple[UUID, float]] | None, k: int
) -> None:
    fused = fuse(keyword, vector, k=k)
    ids = [candidate.chunk_id for candidate in fused]
    everything = {chunk for chunk, _ in keyword} | {chunk for chunk, _ in vector or []}
    assert len(ids) == len(set(ids)) == min(k, len(everything))
    assert all(0 <= candidate.score <= 1 for candidate in fused)
    assert [candidate.score for candidate in fused] == sorted((c.score for c in fused), reverse=True)
    for candidate in fused:
        if candidate.keyword_rank is not None:
            assert keyword[candidate.keyword_rank - 1][0] == candidate.chunk_id
        if candidate.vector_rank is not None and vector is not None:
            assert vector[candidate.vector_rank - 1][0] == candidate.chunk_id
