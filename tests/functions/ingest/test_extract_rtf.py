"""RTF: encodings, headings, tables, notes, what is hidden, and hostile files."""

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.rtf import rtf
from minirag.runtime.errors import ExtractionFailed
from tests.functions.ingest.packing import table_texts, titles


def document(body: str, head: str = r"\ansi\ansicpg1252\deff0") -> Document:
    return rtf.extract(f"{{\\rtf1{head} {body}}}".encode("latin-1"))


def text(body: str, head: str = r"\ansi\ansicpg1252\deff0") -> str:
    return document(body, head).text


def test_paragraphs_breaks_and_characters_by_name() -> None:
    assert text("One\\line two\\tab three\\par\nFo\nur \\endash  five\\~six\\_seven\\-eight \\{a\\\\b\\}\\par") == (
        "One\ntwo\tthree\n\nFour – five\xa0six-seveneight {a\\b}"
    )


def test_bytes_are_read_in_the_code_page_of_the_document_or_of_the_font() -> None:
    assert text(r"Gr\'f6\'dfe", r"\ansi\ansicpg1252") == "Größe"
    assert text(r"\'cc\'ee\'f1\'ea\'e2\'e0", r"\ansi\ansicpg1251") == "Москва"
    assert text("na\xefve") == "naïve"
    fonts = r"{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial;}\f2\fcharset238 Arial;}"
    assert text(fonts + r"\f0 \'e9 {\f1 \'e9} \f2 \'e9\'f8 \plain \'e9") == "é й éř é"
    assert text(r"\'8e", r"\mac") == "é"
    assert text(r"\'82", r"\pc") == "é"


def test_japanese_characters_of_two_bytes_are_whole_however_the_second_is_written() -> None:
    japanese = r"\ansi\ansicpg932"
    assert text(r"\'93\'fa\'96\'7b", japanese) == "日本"
    assert text(r"\'83A\'83\\\'83\}", japanese) == "アソマ"  # the second byte is a letter, a backslash, a brace
    assert text("\\'93\n\\'fa", japanese) == "日"


def test_unicode_replaces_the_characters_that_stand_for_it() -> None:
    assert text(r"\u8364?5") == "€5"
    assert text(r"\uc2\u26085\'93\'fa\u26412\'96\'7b.") == "日本."
    assert text(r"{\uc0 \u8364 5}\u8364?5") == "€5€5"
    assert text(r"\u-10179?\u-8704?") == "😀"
    assert text(r"\u-10179?!") == "\ufffd!"
    assert text(r"\u8364 \b next") == "€next"  # no character stands for it: a word is not swallowed
    assert text(r"a\u-3844?b") == "ab"  # a symbol font's


def test_headings_come_from_outline_levels_and_styles() -> None:
    styles = r"{\stylesheet{\s0 Normal;}{\s3\b heading 2;}{\*\cs4 heading 9;}{\s5\outlinelevel2 Own;}}"
    read = document(
        styles
        + r"{\pard\outlinelevel0 Report\par}\pard\s3 Part\par\pard Text.\par\pard\s5 Third\par\pard\plain End.\par"
    )
    assert titles(read) == [(1, "Report"), (2, "Part"), (3, "Third")]
    assert read.text == "Report\n\nPart\n\nText.\n\nThird\n\nEnd."


def test_a_table_is_rows() -> None:
    first = r"\trowd\cellx100\cellx200\pard\intbl a\par again\cell\pard\intbl b\cell\row"
    second = r"\trowd\pard\intbl c{\nestcell}{\*\nesttableprops\nestrow}\cell d\cell\row"
    read = document(r"Before.\par" + first + second + r"\pard After.\par" + first)
    assert read.text == "Before.\n\na again | b\nc | d\n\nAfter.\n\na again | b"
    assert table_texts(read) == ["a again | b\nc | d", "a again | b"]


def test_a_table_whose_rows_do_not_end_loses_nothing() -> None:
    assert text(r"\intbl a\cell b\cell\pard After.\par") == "a | b\n\nAfter."
    assert text(r"\intbl only\par") == "only"


def test_a_table_that_lays_out_passages_is_read_cell_by_cell() -> None:
    read = document(r"\intbl " + "Long. " * 60 + r"\cell Short.\cell\row")
    assert read.tables == ()
    assert read.text.endswith("\n\nShort.")


def test_footnotes_and_comments_stand_below_their_paragraph() -> None:
    note = r"{\super\chftn}{\footnote\pard\plain{\super\chftn} A note.\par Its end.}"
    comment = r"{\*\atnid A}{\*\atnauthor Anna}\chatn{\*\annotation\pard\plain Sure?}"
    assert text(rf"One{note}{comment} two{note}.\par Next.\par") == (
        "One[1] two[2].\n\n[1] A note. Its end.\n\nComment (Anna): Sure?\n\n[2] A note. Its end.\n\nNext."
    )


def test_notes_nested_without_end_are_read_once() -> None:
    read = text(r"{\footnote note " * 5000 + "}" * 5000)
    assert read.count("note") == 5000
    assert "[7]" in read
    assert "[8]" not in read


def test_headers_and_footers_are_read_once_each() -> None:
    section = r"\sectd{\header Letterhead\par}{\headerf Letterhead\par}{\footer Page\par}"
    assert text(rf"{section}One.\par\sect{section}Two.\par") == "Letterhead\n\nOne.\n\nTwo.\n\nPage"


def test_hidden_and_deleted_text_is_left_out() -> None:
    assert text(r"a{\v hidden}b\v more\v0 c{\deleted gone}d\deleted no\plain e") == "abcde"
    assert text(r"{\revised\revauth1 inserted}") == "inserted"


def test_what_describes_the_file_is_no_text() -> None:
    read = document(
        r"{\fonttbl{\f0 Arial{\*\falt Helvetica};}}{\colortbl;\red0;}{\info{\title Annual Report}{\author Anna}}"
        r"{\*\generator Word;}{\*\unknown secret{\b deeper}}{\pict\wmetafile8 0102030405}"
        r"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}} {\object{\*\objdata 0102}{\result shown}}"
        r"{\listtext 1.\tab}\ls1 item\par \ls1 second\par"
    )
    assert read.text == "link shownitem\nsecond"
    assert read.title == "Annual Report"


def test_a_title_given_twice_is_the_one_in_unicode() -> None:
    assert document(r"{\info{\upr{\title ??}{\*\ud{\title \u26085?\u26412?}}}}Text.").title == "日本"


def test_a_text_box_follows_its_paragraph() -> None:
    shape = r"{\shp{\*\shpinst{\sp{\sn name}{\sv value}}{\shptxt boxed\par}}}"
    read = document(rf"\outlinelevel0 before{shape} after\par\pard next\par")
    assert read.text == "before after\n\nboxed\n\nnext"
    assert titles(read) == [(1, "before after")]


def test_binary_data_is_stepped_over() -> None:
    assert rtf.extract(b"{\\rtf1 a{\\pict\\bin6 }{\\x}}}b}").text == "ab"
    assert rtf.extract(b"{\\rtf1 a\\bin999999999 }b}").text == "a"


def test_a_file_cut_short_says_so() -> None:
    read = rtf.extract(rb"{\rtf1 First.\par {\b Sec")
    assert read.text == "First.\n\nSec"
    assert read.notes == ("The file is cut short: it ends in the middle, and what followed is missing.",)
    with pytest.raises(ExtractionFailed) as failure:
        rtf.extract(rb"{\rtf1{\fonttbl{\f0 Ari")
    assert failure.value.code == "broken_rtf"


def test_braces_and_words_without_sense_are_survived() -> None:
    assert text("{" * 100_000 + "deep" + "}" * 100_000) == "deep"
    assert rtf.extract(b"{\\rtf1 a}}}} b").text == "a"
    assert text(r"\ansicpg99999\f99999\u8364 ?\fcharset7\s-5\outlinelevel77\uc-3 a\'zz") == "€azz"
    assert rtf.extract(b"{\\rtf1 a\\").text == "a"
