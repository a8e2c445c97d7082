"""DOCX: the order of the body, tables, notes, tracked changes, headings, and hostile files."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import docx as python_docx
import pytest
from docx.document import Document as WordDocument
from docx.oxml.parser import parse_xml

from functions.ingest.extract.document import Document
from functions.ingest.extract.office import docx
from minirag.runtime.errors import ExtractionFailed

DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def saved(word: WordDocument) -> bytes:
    file = BytesIO()
    word.save(file)
    return file.getvalue()


def read(build: Callable[[Any], object]) -> Document:
    word = python_docx.Document()
    build(word)
    return docx.extract(saved(word))


def body_of(xml: str) -> str:
    """The text of a document whose body is this XML."""
    word = python_docx.Document()
    for element in parse_xml(f"<w:body {W}>{xml}</w:body>"):
        word.element.body.insert(len(word.element.body) - 1, element)
    return docx.extract(saved(word)).text


def rewritten(data: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """The same package with one part changed."""
    target = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, change(content.decode()) if name == part else content)
    return target.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_paragraphs_tables_and_lists_keep_the_order_of_the_body() -> None:
    def build(word: Any) -> None:
        word.add_paragraph("Before.")
        table = word.add_table(2, 3)
        for index, cell in enumerate(cell for row in table.rows for cell in row.cells):
            cell.text = f"c{index}"
        word.add_paragraph("one", style="List Bullet")
        word.add_paragraph("two", style="List Bullet")
        word.add_paragraph("After.")

    assert read(build).text == "Before.\n\nc0 | c1 | c2\nc3 | c4 | c5\n\none\ntwo\n\nAfter."


def test_a_merged_cell_appears_once() -> None:
    def build(word: Any) -> None:
        table = word.add_table(2, 2)
        table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
        table.cell(1, 0).text = "left"
        table.cell(1, 1).text = "right"

    assert read(build).text == "wide\nleft | right"


def test_a_table_that_lays_out_passages_is_read_cell_by_cell() -> None:
    def build(word: Any) -> None:
        table = word.add_table(1, 2)
        table.cell(0, 0).text = "First column. " * 30
        table.cell(0, 1).text = "Second."

    text = read(build).text
    assert " | " not in text
    assert text.endswith("\n\nSecond.")


def test_headings_come_from_styles_their_ancestors_and_outline_levels() -> None:
    def build(word: Any) -> None:
        word.add_heading("Report", level=0)  # the style Title
        word.add_heading("Introduction", level=1)
        word.add_paragraph("Text.")
        style = word.styles.add_style("Chapter", 1)
        style.base_style = word.styles["Heading 2"]
        word.add_paragraph("Methods", style="Chapter")
        word.add_paragraph("Results")._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {W} w:val="2"/>'))

    document = read(build)
    assert [(heading.level, heading.title) for heading in document.headings] == [
        (1, "Introduction"),
        (2, "Methods"),
        (3, "Results"),
    ]
    for heading in document.headings:
        assert document.text[heading.start :].startswith(heading.title)
    assert document.title == "Report"


def test_tracked_changes_count_as_accepted() -> None:
    text = body_of(
        "<w:p><w:r><w:t>The price is </w:t></w:r>"
        '<w:del w:id="1" w:author="a"><w:r><w:delText>ten</w:delText></w:r></w:del>'
        '<w:ins w:id="2" w:author="a"><w:r><w:t>twelve</w:t></w:r></w:ins>'
        '<w:moveFrom w:id="3" w:author="a"><w:r><w:t> pounds</w:t></w:r></w:moveFrom>'
        "<w:r><w:t> euros.</w:t></w:r></w:p>"
    )
    assert text == "The price is twelve euros."


def test_content_controls_links_and_breaks_are_read_through() -> None:
    text = body_of(
        f"<w:sdt><w:sdtContent>{paragraph('controlled')}</w:sdtContent></w:sdt>"
        "<w:p><w:hyperlink><w:r><w:t>linked</w:t></w:r></w:hyperlink><w:r><w:br/><w:t>next</w:t><w:tab/>"
        "<w:t>tab</w:t><w:noBreakHyphen/><w:instrText>PAGE</w:instrText></w:r></w:p>"
        f"<w:tbl><w:sdt><w:sdtContent><w:tr><w:tc>{paragraph('cell')}</w:tc></w:tr></w:sdtContent></w:sdt></w:tbl>"
    )
    assert text == "controlled\n\nlinked\nnext\ttab-\n\ncell"


def test_a_text_box_is_read_once_after_its_paragraph() -> None:
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    box = f"<w:txbxContent>{paragraph('boxed')}</w:txbxContent>"
    text = body_of(
        f"<w:p><w:r><w:t>outside</w:t><mc:AlternateContent {mc}><mc:Choice Requires='wps'>{box}</mc:Choice>"
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )
    assert text == "outside\n\nboxed"


def test_a_footnote_stands_below_the_paragraph_that_refers_to_it() -> None:
    text = docx.extract((DOCUMENTS / "poi_footnotes.docx").read_bytes()).text
    assert text == "Eto ochen prostoy[1] text so snoskoy\n\n[1] snoska"


def test_a_comment_stands_below_the_paragraph_it_is_about_with_who_made_it() -> None:
    text = docx.extract((DOCUMENTS / "dl_docx_comments.docx").read_bytes()).text
    assert text.split("\n\n")[1:3] == [
        "This is the first paragraph that has a comment attached to it.",
        "Comment (John Reviewer): This is a sample reviewer comment on the first paragraph.",
    ]
    assert "Comment: " in text


def test_headers_and_footers_are_read_once_each() -> None:
    def build(word: Any) -> None:
        word.add_paragraph("Body.")
        word.sections[0].header.paragraphs[0].text = "Letterhead"
        word.sections[0].footer.paragraphs[0].text = "Page"
        second = word.add_section()
        second.footer.is_linked_to_previous = False
        second.footer.paragraphs[0].text = "Page"

    assert read(build).text == "Letterhead\n\nBody.\n\nPage"


def test_external_entities_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP SECRET")

    def attack(xml: str) -> str:
        declaration, _, rest = xml.partition("?>")
        doctype = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}"><!ENTITY big "{"A" * 1000}">]>'
        return f"{declaration}?>{doctype}{rest}".replace("Hello", "Hello &e; &big;")

    word = python_docx.Document()
    word.add_paragraph("Hello")
    text = docx.extract(rewritten(saved(word), "word/document.xml", attack)).text
    assert text.startswith("Hello")
    assert "SECRET" not in text


def test_a_bomb_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_docx, "Document", lambda _: pytest.fail("was opened"))
    word = python_docx.api.Document()
    bomb = rewritten(saved(word), "word/document.xml", lambda xml: xml + " " * 21 * 1024 * 1024)
    assert len(bomb) < 100_000
    with pytest.raises(ExtractionFailed) as failure:
        docx.extract(bomb)
    assert failure.value.code == "too_large_inside"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: rewritten(data, "word/document.xml", lambda xml: xml[: len(xml) // 2]),
        lambda data: rewritten(data, "[Content_Types].xml", lambda _: "<Types/>"),
        lambda data: rewritten(data, "_rels/.rels", lambda _: ""),
        lambda data: rewritten(data, "word/document.xml", lambda _: "<a/>"),
        lambda data: data.replace(b"\x08\x00", b"\x63\x00"),  # no such compression method
    ],
)
def test_a_damaged_package_is_said_to_be_damaged(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        docx.extract(damage(saved(python_docx.Document())))
    assert failure.value.code == "broken_docx"
