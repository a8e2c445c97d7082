"""Citations hold, or are taken out."""

import re
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from functions.ask.cite import verify
from minirag.knowledge.llm import Passage

ONE = "The lighthouse of Alexandria\nstood on Pharos. It was a hundred metres high."
TWO = "The colossus of Rhodes was a statue of Helios. It fell in an earthquake."


def passages(*contents: str) -> list[Passage]:
    return [Passage(n, uuid4(), uuid4(), f"{n}.txt", content, 1.0) for n, content in enumerate(contents, 1)]


STORED = {1: ONE, 2: TWO}


def test_a_sentence_taken_word_for_word_is_quoted_as_it_stands_in_the_text() -> None:
    verified = verify("The lighthouse of Alexandria stood on Pharos. [1]", passages(ONE, TWO), STORED)
    assert [span.quote for span in verified.spans] == ["The lighthouse of Alexandria\nstood on Pharos."]
    assert verified.text == "The lighthouse of Alexandria stood on Pharos. [1]"
    assert verified.score == 1.0


def test_a_sentence_in_other_words_is_traced_to_the_most_similar_one() -> None:
    verified = verify("An earthquake made the colossus fall [2].", passages(ONE, TWO), STORED)
    assert [(span.marker, span.quote) for span in verified.spans] == [(2, "It fell in an earthquake.")]


def test_a_marker_that_no_passage_supports_is_taken_out() -> None:
    verified = verify("Paris is the capital of France. [1] It fell in an earthquake. [2]", passages(ONE, TWO), STORED)
    assert [span.marker for span in verified.spans] == [2]
    assert "[1]" not in verified.text
    assert verified.score == 0.5


def test_a_marker_of_a_passage_that_was_never_shown_is_taken_out() -> None:
    verified = verify("The lighthouse stood on Pharos. [9] [999]", passages(ONE, TWO), STORED)
    assert verified.spans == []
    assert verified.text == "The lighthouse stood on Pharos."


def test_a_passage_that_differs_from_the_stored_text_supports_nothing() -> None:
    verified = verify("It fell in an earthquake. [2]", passages(ONE, TWO), {1: ONE, 2: TWO.replace("fell", "stood")})
    assert verified.spans == []
    assert verified.score == 0.0


def test_two_markers_behind_one_sentence_are_both_checked() -> None:
    verified = verify("It was a hundred metres high. [1][2]", passages(ONE, TWO), STORED)
    assert [span.marker for span in verified.spans] == [1]
    assert verified.text == "It was a hundred metres high. [1]"
    assert verified.score == 1.0


def test_a_marker_that_appears_when_another_goes_is_taken_out_too() -> None:
    verified = verify("The rocket [[[9]9]7] is fast. It fell in an earthquake. [2]", passages(ONE, TWO), STORED)
    assert re.findall(r"\[\d+\]", verified.text) == ["[2]"]


@given(st.text(alphabet="ab .[]123\n", max_size=80), st.lists(st.text(alphabet="ab .\n", max_size=60), max_size=3))
def test_every_quote_is_the_passages_own_text_and_every_marker_left_has_one(draft: str, contents: list[str]) -> None:
    shown = passages(*contents)
    verified = verify(draft, shown, {one.marker: one.content for one in shown})
    for span in verified.spans:
        assert span.quote == contents[span.marker - 1][span.start : span.end] != ""
    groups = re.findall(r"\[\s*(\d{1,3}(?:[\s,]+\d{1,3})*)[\s,]*\]", verified.text)
    markers = {int(number) for group in groups for number in re.findall(r"\d+", group)}
    assert markers <= {span.marker for span in verified.spans}
    assert 0 <= verified.score <= 1
