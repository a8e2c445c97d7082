"""Vectors that are kept between runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evals.embeddings import Kept, documents
from evals.sets import Set, Source
from minirag.knowledge.embeddings import Embedded, titled


class Counting:
    """A model of two dimensions that remembers what it was asked."""

    model = "counting"
    dimension = 2
    batch = 32
    languages = frozenset({"en"})

    def __init__(self) -> None:
        self.asked: list[str] = []

    def windows(self, passage: str, title: str = "") -> list[str]:
        return [titled(title, part) for part in passage.split(". ")]

    def embed(self, texts: Sequence[str], *, seconds: float) -> Embedded:
        self.asked += texts
        return Embedded(np.array([[len(text), seconds] for text in texts], dtype=np.float32), 0)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setenv("EVALS_EMBEDDINGS", str(tmp_path))
    return Counting()


def test_a_text_is_embedded_once_for_ever(model: Counting) -> None:
    first = Kept(model, "some").embed(["a", "bb", "a"], seconds=1)
    again = Kept(model, "some").embed(["bb", "a", "ccc"], seconds=1)
    assert model.asked == ["a", "bb", "ccc"]
    assert first.vectors[:, 0].tolist() == [1, 2, 1]
    assert again.vectors[:, 0].tolist() == [2, 1, 3]


def test_two_that_save_keep_what_both_embedded(model: Counting) -> None:
    one, other = Kept(model, "some"), Kept(model, "some")
    one.embed(["a"], seconds=1)
    other.embed(["bb"], seconds=1)
    Kept(model, "some").embed(["a", "bb"], seconds=1)
    assert model.asked == ["a", "bb"]


def test_nothing_has_no_vectors(model: Counting) -> None:
    assert Kept(model, "some").embed([], seconds=1).vectors.shape == (0, 2)


def test_a_document_has_the_vectors_of_each_passage_below_its_title(model: Counting) -> None:
    sources = [Source("1", "T", "One. Two"), Source("2", "", ""), Source("3", "", "Three")]
    read = documents(Set("some", "en", sources, {}, {}), model)
    assert model.asked == ["T\nOne", "T\nTwo", "Three"]
    assert [[one.tolist() for one in document.windows] for document in read] == [
        [[[5, 3600], [5, 3600]]],
        [],
        [[[5, 3600]]],
    ]
