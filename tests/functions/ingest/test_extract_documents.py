"""Real documents, good and bad, each read in the sandbox within 512 MB and 30 s."""

from pathlib import Path

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.sandbox import extract
from minirag.runtime.errors import Unprocessable
from tests.functions.ingest.test_corpus import squeezed

DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"

REASONS = {
    "dl_ocr_test.pdf": "no_text_layer",
    "pj_empty.pdf": "no_text_layer",
    "poi_poc-xmlbomb.xlsx": "unsafe_xml",
    "poi_truncated62886.docx": "broken_docx",
    "py_r6-user-password.pdf": "encrypted",
    "tk_droste.zip": "nothing_to_read",
}


def read(name: str) -> Document:
    return extract((DOCUMENTS / name).read_bytes(), name, seconds=30, memory_bytes=512 * 1024 * 1024)


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
    assert "deleted" not in read("kz_trackedChanges.odt").text
