"""The measures, against values worked out by hand."""

from math import log2

import pytest

from evals.metrics import measure, ndcg, recall, reciprocal_rank

GRADES = {"a": 3, "b": 2, "c": 1}


def test_the_ideal_order_is_one() -> None:
    assert ndcg(["a", "b", "c", "x"], GRADES) == pytest.approx(1.0)


def test_the_gain_is_the_grade_and_the_discount_the_binary_logarithm() -> None:
    # Gains 2, 0, 3 at ranks 1, 2, 3: 2/1 + 3/2 = 3.5. Ideal 3, 2, 1: 3/1 + 2/1.584963 + 1/2 = 4.761860.
    assert ndcg(["b", "x", "a"], GRADES) == pytest.approx(3.5 / 4.761860, abs=1e-6)


def test_what_was_not_found_counts_in_the_ideal() -> None:
    assert ndcg(["a"], GRADES) == pytest.approx(3 / (3 + 2 / log2(3) + 1 / 2))


def test_what_stands_behind_k_counts_nowhere() -> None:
    assert ndcg(["x", "y", "a"], GRADES, k=2) == 0.0
    # Of three relevant documents, only two can stand among the first two.
    assert ndcg(["a", "b"], GRADES, k=2) == pytest.approx(1.0)


def test_recall_is_the_share_of_all_that_is_relevant() -> None:
    assert recall(["x", "a", "y", "b"], GRADES, 2) == pytest.approx(1 / 3)
    assert recall(["x", "a", "y", "b"], GRADES, 4) == pytest.approx(2 / 3)


def test_reciprocal_rank_is_of_the_first_hit_alone() -> None:
    assert reciprocal_rank(["x", "y", "c", "a"], GRADES) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x"], GRADES) == 0.0


def test_means_count_questions_without_a_ranking() -> None:
    means = measure({"1": ["a"]}, {"1": {"a": 1}, "2": {"b": 1}})
    assert means == {"nDCG@10": 0.5, "recall@10": 0.5, "recall@100": 0.5, "MRR": 0.5}


def test_a_hit_behind_the_hundredth_place_is_none() -> None:
    far = [f"x{i}" for i in range(100)] + ["a"]
    assert measure({"1": far}, {"1": {"a": 1}}) == {"nDCG@10": 0.0, "recall@10": 0.0, "recall@100": 0.0, "MRR": 0.0}
