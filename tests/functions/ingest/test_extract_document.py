"""The canonical text: what may be in it, and that it is final."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from functions.ingest.extract.document import Document, Heading, Page, Table, dump, load, normalise, one_line

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=200)
MESSY_TEXT = st.text(st.sampled_from("a \t\n\r\0\v\f\x1f\x7f\x85\u2028\ufeff\ud800\u00a0."), max_size=60)


@given(ANY_TEXT | MESSY_TEXT)
@example("\r\0\n")
def test_the_canonical_text_can_be_stored_and_has_plain_lines(text: str) -> None:
    canonical = normalise(text)
    canonical.encode("utf-8")
    assert not set(canonical) & set("\0\r\v\f\x01\x1f\x7f\x85\u2028\u2029\ufeff")
    assert "\n\n\n" not in canonical
    assert canonical == canonical.strip("\n")
    assert all(line == line.rstrip() for line in canonical.split("\n"))


@given(ANY_TEXT | MESSY_TEXT)
def test_normalising_again_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=100))
def test_normalising_keeps_every_character_that_is_no_control(text: str) -> None:
    assert normalise(text) == text.rstrip()


def test_line_ends_of_every_kind_become_one() -> None:
    assert normalise("a\r\nb\rc\vd\fe\x85f\u2028g  \n\n\n\n\nh") == "a\nb\nc\nd\ne\nf\ng\n\nh"


def test_controls_and_broken_characters_are_replaced() -> None:
    assert normalise("\ufeffa\0b\x07c\td \ud800 e") == "ab c\td \ufffd e"


def test_a_title_is_one_line() -> None:
    assert one_line("  A\n title\twith\0out  end ") == "A title without end"
    assert one_line(" \n\0 ") is None
    assert one_line("x" * 1000) == "x" * 300


def test_a_document_survives_the_way_through_json() -> None:
    document = Document(
        "pdf",
        'Grüße, "世界"\n🎉',
        (Page(1, 0, 14), Page(2, 14, 14)),
        (Heading(0, 1, "Grüße"),),
        (Table(0, 11),),
        notes=("Page 2 holds no text.",),
    )
    assert load(json.loads(json.dumps(dump(document), ensure_ascii=False))) == document
