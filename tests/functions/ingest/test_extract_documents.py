"""Real documents, good and bad, each read in the sandbox within 512 MB and 30 s."""

import unicodedata
from pathlib import Path

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.sandbox import extract
from minirag.runtime.errors import Unprocessable

DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"

PHRASES = {
    "dl_docx_lists.docx": "ORCHARD MAP AND GARDEN NOTES",
    "dl_formatting.html": "HTML Text Formatting Examples",
    "dl_multi_page.pdf": "The Evolution of the Word Processor",
    "dl_right_to_left_01.pdf": "البرمجة بلغة R",
    "dl_wiki.md": "Alexander Dey invented the dial recorder (1888",
    "dl_word_sample.docx": "This is a cute duckling",
    "dl_word_tables.docx": "A non-uniform table with horizontal spans",
    "gen_nul_bytes.txt": "first line before nul",
    "gen_pdf_named.docx": "The round pegs in the square holes.",
    "pm_zen_of_python_corrupted.pdf": "Explicit is better than implicit.",
    "poi_ExternalEntityInText.docx": "Here should not be the POI web site",
    "poi_delins.docx": "Lucene Boot Camp",
    "poi_footnotes.docx": "snoska",
    "poi_headerFooter.docx": "this is a simple footer.",
    "py_r6-empty-password.pdf": "pdf encryption test",
    "sf_habibi.pdf": "حَبيبي",
    "sf_multicolumn.pdf": "This is a sample document with two columns",
    "sf_pdflatex-forms.pdf": "Submit",
    "tk_boilerplate.html": "This is the real meat of the page",
    "tk_russian.cp866.txt": "Однажды, в студеную зимнюю пору",
    "tk_testHTMLBadScript.html": "This is a test.",
    "un_fake-html-cp1252.html": "Die schöne Frau hat einen Kaffee mit Kuchen gegessen.",
    "un_umlauts-non-utf8.md": "können",
}
REASONS = {
    "dl_ocr_test.pdf": "no_text_layer",
    "pj_empty.pdf": "no_text_layer",
    "poi_truncated62886.docx": "broken_docx",
    "py_r6-user-password.pdf": "encrypted",
}


def read(name: str) -> Document:
    return extract((DOCUMENTS / name).read_bytes(), name, seconds=30, memory_bytes=512 * 1024 * 1024)


def squeezed(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize("name", PHRASES)
def test_a_document_yields_its_text_with_offsets_that_hold(name: str) -> None:
    document = read(name)
    assert squeezed(PHRASES[name]) in squeezed(document.text)
    for page in document.pages:
        assert 0 <= page.start <= page.end <= len(document.text)
    for heading in document.headings:
        assert squeezed(heading.title) in squeezed(document.text[heading.start : heading.start + 400])
    assert list(document.headings) == sorted(document.headings, key=lambda heading: heading.start)


@pytest.mark.parametrize("name", REASONS)
def test_what_cannot_be_read_says_why(name: str) -> None:
    with pytest.raises(Unprocessable) as refusal:
        read(name)
    assert refusal.value.code == REASONS[name]
    assert len(refusal.value.detail) > 40


def test_pages_cover_the_whole_text_but_for_the_blank_line_between_them() -> None:
    document = read("dl_multi_page.pdf")
    assert [page.number for page in document.pages] == [1, 2, 3, 4, 5]
    slices = [document.text[page.start : page.end] for page in document.pages]
    assert "\n\n".join(slices) == document.text
    assert all(slices)


def test_arabic_comes_in_logical_order() -> None:
    assert "تحسين الإنتاجية وحل المشكلات" in read("dl_right_to_left_01.pdf").text


def test_columns_do_not_run_into_each_other() -> None:
    text = squeezed(read("sf_multicolumn.pdf").text)
    assert "Loremipsumdolorsitamet,consectetueradipiscingelit" in text  # hyphenated over two lines of one column


def test_text_deleted_under_tracked_changes_is_left_out() -> None:
    text = read("poi_delins.docx").text
    assert "DragonLance" not in text
    assert "named after the last place" in text
