"""How cuts are judged: what of an answer the first chunks of the right documents hold."""

from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest

from evals.answered import Answered, Question, Read
from evals.chunking import Measured, judge, ours
from functions.ingest.extract.document import Document
from infra import ranks
from minirag.knowledge.chunks import Chunk

QUESTION = Question(
    "q", "How long is the Amur?", frozenset({"right"}), ["The Amur is 2824 kilometres long"], literal=True
)


@pytest.fixture(scope="module", autouse=True)
def _ranks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(ranks.build()))
        yield


def chunk(text: str) -> Chunk:
    return Chunk(uuid4(), uuid4(), 0, "name", "text", "text:", "en", 0, len(text), None, None, text)


def judged(*found: tuple[str, str], question: Question = QUESTION) -> dict[str, float]:
    def search(_: str) -> Sequence[tuple[str, Chunk]]:
        return [(document, chunk(text)) for document, text in found]

    return judge(question, search)


def test_words_count_that_the_question_has_not_and_the_right_documents_have() -> None:
    values = judged(("wrong", "2824 kilometres"), ("right", "The Amur is long: kilometres."))
    assert values["words in 8 chunks"] == values["words in 4,096 tokens"] == 0.5
    assert values["answer in 4,096 tokens"] == 0.0
    assert values["recall@10"] == 1.0
    assert values["nDCG@10"] == pytest.approx(0.631, abs=0.001)


def test_the_whole_answer_counts_in_one_chunk_however_its_lines_break() -> None:
    assert judged(("right", "The Amur is\n2824 kilometres  long, they say."))["answer in 4,096 tokens"] == 1.0
    halves = ("right", "The Amur is 2824"), ("right", "kilometres long")
    assert judged(*halves)["words in 8 chunks"] == 1.0
    assert judged(*halves)["answer in 4,096 tokens"] == 0.0


def test_chunks_of_any_size_get_the_same_room() -> None:
    small = [("right", "word")] * 8 + [("right", "2824 kilometres")]
    large = [("right", "word " * 2000)] * 2 + [("right", "2824 kilometres " + "word " * 500)]
    assert (judged(*small)["words in 8 chunks"], judged(*small)["words in 4,096 tokens"]) == (0.0, 1.0)
    assert (judged(*large)["words in 8 chunks"], judged(*large)["words in 4,096 tokens"]) == (1.0, 0.0)


def test_an_answer_in_words_of_its_own_is_not_looked_for_as_it_stands() -> None:
    told = Question("q", "How long?", frozenset({"right"}), ["2824 kilometres"], literal=False)
    assert "answer in 4,096 tokens" not in judged(("right", "2824 kilometres"), question=told)


def test_a_difference_counts_that_two_standard_errors_do_not_explain() -> None:
    def of(values: Sequence[float]) -> Measured:
        return Measured(1, 1, [{"nDCG@10": value} for value in values])

    base = of([0.5, 0.6, 0.7, 0.4])
    assert of([0.8, 0.9, 0.9, 0.7]).apart(base) == {"nDCG@10"}
    assert of([0.9, 0.3, 0.9, 0.2]).apart(base) == set()
    assert base.apart(base) == set()


def test_our_passages_are_those_of_ingestion() -> None:
    text = "One two three four five six seven eight nine ten. " * 20
    chosen = Answered(
        "some", [Read("1", "", Document("text", text.strip())), Read("2", "", Document("text", "Two."))], []
    )
    first, second = ours(chosen, 64, 0)
    assert len(first) > 3
    assert second == ["Two."]
