"""Where sentences end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.knowledge.sentences import sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["Mr. Smith came.", "Dr. Jones left."],
        ["Use a tool, e.g. a saw.", "See Fig. 3 and No. 4."],
        ["He lives in the U.S. in winter.", "She does not."],
        ["J. R. R. Tolkien wrote it.", "It sold well."],
        ["It costs $3.50 a piece.", "Version 2.0.1 is out!"],
        ['"I am here."', "He said it twice."],
        ["Is it (really?) so?", "Yes."],
        ["これは文です。", "次の文！", "最後？"],
        ["Это предложение.", "А это второе."],
        ["यह एक वाक्य है।", "यह दूसरा है।"],
        ["😀😀 Hello there.", "𝒳 is a letter."],
    ],
)
def test_a_sentence_ends_where_a_reader_says(expected: list[str]) -> None:
    joined = ("" if "。" in expected[0] else " ").join(expected)
    assert split(joined) == expected


def test_a_line_break_within_a_sentence_does_not_end_it() -> None:
    assert split("The engine was made in\nEngland by a firm that\nno longer exists. It runs.") == [
        "The engine was made in\nEngland by a firm that\nno longer exists.",
        "It runs.",
    ]


def test_a_short_line_that_began_in_the_middle_of_a_sentence_is_no_heading() -> None:
    text = "He sailed with the whole crew of the ship to\nthe city of New\nYork and never came back to the harbour."
    assert split(text) == [text]


def test_a_blank_line_ends_a_sentence() -> None:
    assert split("no full stop here\n\nnor here") == ["no full stop here", "nor here"]


@pytest.mark.parametrize("bullet", ["-", "*", "•", "–", "1.", "(2)", "(a)"])
def test_a_bullet_begins_a_sentence(bullet: str) -> None:
    text = f"You need:\n{bullet} Bread and butter\n{bullet} Milk"
    assert len(split(text)) == 3
    assert split(text)[2].endswith("Milk")


def test_a_dash_in_running_text_is_no_bullet() -> None:
    assert len(split("It was the ship that they had wanted\n– but far too dear for them.")) == 1


def test_a_heading_is_a_sentence_of_its_own() -> None:
    body = "The policy says that everybody who works here gets thirty days."
    assert split(f"Holidays\n{body}") == ["Holidays", body]
    assert split(f"## Holidays\n{body}") == ["## Holidays", body]


def test_each_row_of_a_table_is_a_sentence_of_its_own() -> None:
    assert split("| Country | Days |\n| Spain | 22 |") == ["| Country | Days |", "| Spain | 22 |"]


@given(st.text(alphabet=st.sampled_from("aB9 .!?。「」“”\"'()\n\r\t-•#|\ud800😀é\u2028\x00"), max_size=300))
def test_spans_are_apart_in_order_stripped_and_leave_nothing_out(text: str) -> None:
    at = 0
    for start, end in sentences(text):
        assert at <= start < end <= len(text)
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


def test_a_sentence_longer_than_what_is_looked_at_in_one_go_is_found_whole() -> None:
    long = "The list goes on with " + ", ".join(["one"] * 300) + " and ends."
    assert split("It begins. " * 50 + long + " Then it stops.")[50:] == [long, "Then it stops."]


# A run that grows with the square of its input takes minutes for these.
@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["これは「文。」です。", "« Hi. ", "- \n", "A b\nCccccc ddddd\n"])
def test_half_a_megabyte_made_to_be_slow_is_split(unit: str) -> None:
    text = unit * (500_000 // len(unit))
    spans = sentences(text)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text.rstrip())
