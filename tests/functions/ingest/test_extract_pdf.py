"""PDF: pages, outline, forms, fallback and hostile files."""

import zlib
from io import BytesIO
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]
import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject

from functions.ingest.extract import document, pdf
from functions.ingest.extract.document import Page
from minirag.runtime.errors import ExtractionFailed

DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"
MULTI_PAGE = (DOCUMENTS / "dl_multi_page.pdf").read_bytes()


def written(writer: PdfWriter) -> bytes:
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def made(*pages: str | bytes) -> bytes:
    """A PDF, by hand: a page has one line of Helvetica, or the content of which these are the deflated bytes."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        font,
    ]
    for index, text in enumerate(pages):
        content = text if isinstance(text, bytes) else zlib.compress(f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode())
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * index} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    body = b"%PDF-1.4\n"
    offsets = []
    for number, one in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table) + trailer


def test_a_page_without_text_keeps_its_number() -> None:
    found = pdf.extract(made("first", "", "third", ""))
    assert found.text == "first\n\nthird"
    assert found.pages == (Page(1, 0, 5), Page(2, 5, 5), Page(3, 7, 12), Page(4, 12, 12))


def test_the_outline_gives_headings_where_their_titles_stand() -> None:
    writer = PdfWriter(clone_from=BytesIO(MULTI_PAGE))
    top = writer.add_outline_item(title="The Evolution of the Word Processor", page_number=0)
    writer.add_outline_item(title="The  birth of word\nprocessing", page_number=0, parent=top)
    writer.add_outline_item(title="Not to be found on its page", page_number=2)
    found = pdf.extract(written(writer))
    assert [(heading.level, heading.title) for heading in found.headings] == [
        (1, "The Evolution of the Word Processor"),
        (2, "The birth of word processing"),
        (1, "Not to be found on its page"),
    ]
    assert found.text[found.headings[1].start :].startswith("The Birth of Word Processing (1960s")
    assert found.headings[2].start == found.pages[2].start


def test_a_circular_outline_ends() -> None:
    writer = PdfWriter(clone_from=BytesIO(MULTI_PAGE))
    first = writer.add_outline_item(title="First", page_number=0)
    second = writer.add_outline_item(title="Second", page_number=1)
    item = second.get_object()
    assert isinstance(item, DictionaryObject)
    item.update({NameObject("/Next"): first, NameObject("/First"): first})
    found = pdf.extract(written(writer))
    assert [heading.title for heading in found.headings] == ["First", "Second"]


@pytest.mark.parametrize(
    ("declared", "title"),
    [
        ("Word processors: a history", "Word processors: a history"),
        ("thesis-final2.docx", None),
        ("Microsoft Word - thesis", None),
        (" \n", None),
    ],
)
def test_a_title_is_taken_unless_a_program_left_it(declared: str, title: str | None) -> None:
    writer = PdfWriter(clone_from=BytesIO(MULTI_PAGE))
    writer.add_metadata({"/Title": declared})
    assert pdf.extract(written(writer)).title == title


def test_what_was_filled_into_a_form_is_text() -> None:
    writer = PdfWriter(clone_from=DOCUMENTS / "sf_pdflatex-forms.pdf")
    name = next(iter(PdfReader(DOCUMENTS / "sf_pdflatex-forms.pdf").get_form_text_fields()))
    writer.update_page_form_field_values(writer.pages[0], {name: "Ada Lovelace"})
    assert "Ada Lovelace" in pdf.extract(written(writer)).text


def test_words_hyphenated_at_the_end_of_a_line_are_whole() -> None:
    text = pdf.extract((DOCUMENTS / "sf_multicolumn.pdf").read_bytes()).text
    assert "adipiscing" in text
    assert "\ufffe" not in text


def test_a_file_that_pdfium_cannot_open_is_read_by_pypdf(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: bytes) -> None:
        raise pypdfium2.PdfiumError("Failed to load document", err_code=3)

    monkeypatch.setattr(pypdfium2, "PdfDocument", refuse)
    found = pdf.extract(made("first", "second"))
    assert found.text == "first\n\nsecond"
    assert len(found.pages) == 2


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.7\n" + bytes(5000), MULTI_PAGE[:60000]])
def test_a_damaged_file_is_said_to_be_damaged(data: bytes) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        pdf.extract(data)
    assert failure.value.code == "broken_pdf"


def test_raw_codes_of_a_font_without_characters_are_not_indexed() -> None:
    garbage = r"\001\002A\003\004\005B\006\016\017\020" * 3
    found = pdf.extract(made("A page that can be read", garbage))
    assert found.text == "A page that can be read"
    assert len(found.pages) == 2


def test_reading_ends_where_there_is_more_text_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_CHARACTERS", 1000)
    with pytest.raises(ExtractionFailed) as failure:
        pdf.extract(made(*["word " * 50] * 10))
    assert failure.value.code == "too_much_text"
    assert document.MAX_CHARACTERS == 20_000_000
