"""Fusion of two ranked lists."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ask.rank import Candidate, Fusion, Scored, distinct, fuse


def lists(least: float, most: float) -> st.SearchStrategy[list[Scored]]:
    scored = st.tuples(st.integers(0, 39), st.floats(least, most, allow_nan=False))
    found = st.lists(scored, unique_by=lambda one: one[0], max_size=30)
    return found.map(lambda some: sorted(some, key=lambda one: -one[1]))


def test_a_chunk_high_in_both_lists_beats_one_that_tops_a_single_list() -> None:
    keyword, vector = [(0, 10.0), (1, 9.0), (2, 1.0)], [(3, 0.9), (1, 0.85), (2, 0.1)]
    for fusion in Fusion:
        assert fuse(keyword, vector, attainable=12.0, fusion=fusion)[0].number == 1


def test_the_score_is_the_share_of_what_bm25_could_reach_and_the_cosine() -> None:
    fused = fuse([(0, 5.0)], [(0, 0.8), (1, -0.2)], attainable=20.0)
    assert [candidate.score for candidate in fused] == pytest.approx([0.55 * 5 / 20 + 0.45 * 0.8, 0.0])
    assert (fused[0].keyword_rank, fused[0].keyword_score, fused[0].vector_rank) == (1, 5.0, 1)
    assert (fused[1].keyword_rank, fused[1].keyword_score, fused[1].vector_score) == (None, None, -0.2)


def test_what_lies_beyond_the_candidates_of_a_list_lends_its_score_but_is_no_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("functions.ask.rank.CANDIDATES", 2)
    keyword, vector = [(0, 10.0), (1, 9.0), (2, 8.0)], [(2, 0.9), (3, 0.8), (0, 0.7), (4, 0.6)]
    fused = {candidate.number: candidate for candidate in fuse(keyword, vector, attainable=20.0)}
    assert fused.keys() == {0, 1, 2, 3}
    assert fused[0].score == pytest.approx(0.55 * 10 / 20 + 0.45 * 0.7)
    assert (fused[0].vector_rank, fused[0].vector_score) == (None, 0.7)
    assert fused[2].score == pytest.approx(0.55 * 8 / 20 + 0.45 * 0.9)
    assert (fused[2].keyword_rank, fused[2].vector_rank) == (None, 1)
    # Where only places in the lists count, there is none to lend.
    by_rank = fuse(keyword, vector, attainable=20.0, fusion=Fusion.RECIPROCAL_RANK)
    assert {one.number: one.score for one in by_rank}[0] == pytest.approx(0.5)


def test_without_vectors_the_keyword_order_stands() -> None:
    keyword = [(0, 10.0), (1, 9.0), (2, 1.0)]
    fused = fuse(keyword, None, attainable=20.0)
    assert [candidate.number for candidate in fused] == [0, 1, 2]
    assert fused[0].score == pytest.approx(0.5)
    assert fused[0].vector_rank is None


def test_nothing_found_is_nothing() -> None:
    assert fuse([], [], attainable=1.0) == []


@given(lists(0.001, 100), st.none() | lists(-1, 1), st.sampled_from(Fusion))
def test_fusion_returns_every_chunk_once_best_first_with_its_ranks(
    keyword: list[Scored], vector: list[Scored] | None, fusion: Fusion
) -> None:
    fused = fuse(keyword, vector, attainable=101.0, fusion=fusion)
    assert {candidate.number for candidate in fused} == {number for number, _ in [*keyword, *(vector or [])]}
    assert len(fused) == len({candidate.number for candidate in fused})
    assert all(0 <= candidate.score <= 1 for candidate in fused)
    assert fused == sorted(fused, key=lambda one: (-one.score, -(one.keyword_score or 0.0), one.number))
    for candidate in fused:
        if candidate.keyword_rank is not None:
            assert keyword[candidate.keyword_rank - 1] == (candidate.number, candidate.keyword_score)
        if candidate.vector_rank is not None and vector is not None:
            assert vector[candidate.vector_rank - 1] == (candidate.number, candidate.vector_score)


def candidate(number: int) -> Candidate:
    return Candidate(number, 0.5, 1, 1.0, None, None)


def text(source: int, content: str) -> tuple[UUID, str]:
    return UUID(int=source), content


PAGE = "The quarterly report of the board is confidential and may not be copied"


def test_a_chunk_that_repeats_a_better_one_of_its_source_makes_room_for_the_next() -> None:
    texts = {
        0: text(0, PAGE),
        1: text(0, f"{PAGE} page"),  # the same boilerplate again
        2: text(1, PAGE),  # of another document: its own place
        3: text(0, "Revenue grew by a tenth"),
        # 4 was removed meanwhile
    }
    assert [one.number for one in distinct([candidate(i) for i in range(5)], texts, 3)] == [0, 2, 3]


def test_a_heading_that_ranks_first_does_not_hide_the_section_that_repeats_it() -> None:
    texts = {0: text(0, "Warranty terms"), 1: text(0, "Warranty terms two years from delivery")}
    assert len(distinct([candidate(0), candidate(1)], texts, 8)) == 2
    assert len(distinct([candidate(1), candidate(0)], texts, 8)) == 1
