"""OpenDocument: texts with tracked changes and notes, sheets with repeated cells, slides, and hostile files."""

import random
from collections.abc import Callable

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.office import odf, odf_tables
from minirag.runtime.errors import ExtractionFailed
from tests.functions.ingest.packing import packed, table_texts, titles

NAMES = ("office", "text", "table", "style", "draw", "presentation", "manifest", "meta")
URNS = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in NAMES)
ROOT = f'{URNS} xmlns:dc="http://purl.org/dc/elements/1.1/"'


def package(kind: str, content: str, *, styles: str = "", extra: dict[str, str | bytes] | None = None) -> bytes:
    body = f"<office:body><office:{kind}>{content}</office:{kind}></office:body>"
    automatic = f"<office:automatic-styles>{styles}</office:automatic-styles>"
    parts: dict[str, str | bytes] = {
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "content.xml": f"<office:document-content {ROOT}>{automatic}{body}</office:document-content>",
    }
    return packed(parts | (extra or {}))


def read(kind: str, content: str, *, styles: str = "", extra: dict[str, str | bytes] | None = None) -> Document:
    return odf.extract(package(kind, content, styles=styles, extra=extra))


def text(content: str) -> str:
    return read("text", content).text


def sheet(rows: str, name: str = "S1") -> Document:
    return read("spreadsheet", f'<table:table table:name="{name}">{rows}</table:table>')


def row(*cells: str, attributes: str = "") -> str:
    inner = "".join(cell if cell.startswith("<") else cell_of(cell) for cell in cells)
    return f"<table:table-row {attributes}>{inner}</table:table-row>"


def cell_of(content: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{content}</text:p></table:table-cell>"


def test_headings_paragraphs_lists_and_tables_keep_their_order() -> None:
    items = "".join(f"<text:list-item><text:p>{item}</text:p></text:list-item>" for item in ("one", "two"))
    document = read(
        "text",
        '<text:h text:outline-level="1">Chapter</text:h><text:p>Before.</text:p>'
        f"<text:list>{items}</text:list>"
        f"<text:section><table:table>{row('a', 'b')}{row('c', 'd')}</table:table></text:section>"
        '<text:h text:outline-level="2">Part</text:h><text:p>After.</text:p>',
    )
    assert document.text == "Chapter\n\nBefore.\n\none\ntwo\n\na | b\nc | d\n\nPart\n\nAfter."
    assert titles(document) == [(1, "Chapter"), (2, "Part")]
    assert table_texts(document) == ["a | b\nc | d"]


def test_tracked_changes_count_as_accepted() -> None:
    deleted = "<text:changed-region><text:deletion><text:p>ten</text:p></text:deletion></text:changed-region>"
    assert (
        text(
            f"<text:tracked-changes>{deleted}</text:tracked-changes><text:p>The price is <text:change/>"
            "<text:change-start/>twelve<text:change-end/> euros.</text:p>"
        )
        == "The price is twelve euros."
    )


def test_notes_and_comments_stand_below_their_paragraph() -> None:
    note = (
        "<text:note><text:note-citation>7</text:note-citation><text:note-body><text:p>{}</text:p></text:note-body>"
        "</text:note>"
    )
    comment = "<dc:creator>Anna</dc:creator><dc:date>2024</dc:date><text:p>Sure?</text:p>"
    comment = f"<office:annotation>{comment}</office:annotation>"
    assert text(
        f"<text:p>One{note.format('first')} two{note.format('second')}.{comment}</text:p><text:p>Next.</text:p>"
    ) == ("One[1] two[2].\n\n[1] first\n\n[2] second\n\nComment (Anna): Sure?\n\nNext.")


def test_blanks_tabs_and_breaks_are_those_of_the_document_not_of_its_xml() -> None:
    assert text('<text:p>a\n   b<text:s text:c="3"/>c<text:tab/>d<text:line-break/>e</text:p>') == "a b   c\td\ne"
    assert len(text('<text:p>a<text:s text:c="999999999"/>b</text:p>')) < 200


def test_text_boxes_follow_and_directories_and_hidden_sections_are_left_out() -> None:
    box = "<draw:frame><draw:text-box><text:p>boxed</text:p></draw:text-box></draw:frame>"
    contents = (
        "<text:table-of-content><text:index-body><text:p>Chapter 7</text:p></text:index-body></text:table-of-content>"
    )
    hidden = '<text:section text:display="none"><text:p>unseen</text:p></text:section>'
    assert text(f"{contents}{hidden}<text:p>outside{box}</text:p><text:p>after</text:p>") == "outside\n\nboxed\n\nafter"


def test_the_title_is_declared_or_the_paragraph_styled_as_one() -> None:
    style = '<style:style style:name="P1" style:parent-style-name="Title"/>'
    content = '<text:p text:style-name="P1">Report</text:p>'
    assert read("text", content, styles=style).title == "Report"
    meta = (
        f"<office:document-meta {ROOT}><office:meta><dc:title>Declared</dc:title></office:meta></office:document-meta>"
    )
    assert read("text", content, styles=style, extra={"meta.xml": meta}).title == "Declared"


def test_headers_and_footers_are_read_once_each() -> None:
    master = (
        "<style:master-page><style:header><text:p>Letterhead</text:p></style:header>"
        "<style:footer><text:p>Address <text:page-number>7</text:page-number></text:p></style:footer>"
        "</style:master-page>"
    )
    masters = f"<office:master-styles>{master * 2}</office:master-styles>"
    styles = f"<office:document-styles {ROOT}>{masters}</office:document-styles>"
    assert read("text", "<text:p>Body.</text:p>", extra={"styles.xml": styles}).text == "Letterhead\n\nBody.\n\nAddress"


def test_a_table_that_lays_out_passages_is_read_cell_by_cell() -> None:
    document = read("text", f"<table:table>{row('First. ' * 60, 'Second.')}</table:table>")
    assert document.tables == ()
    assert document.text.endswith("\n\nSecond.")


def test_each_sheet_is_a_heading_and_a_table_without_its_empty_rows_and_columns() -> None:
    empty = '<table:table-cell table:number-columns-repeated="3"/>'
    document = sheet(
        row(empty, attributes='table:number-rows-repeated="9"')
        + row(empty, "a", '<table:table-cell table:number-columns-repeated="2"/>', "b", "c")
        + row(empty, "d", empty, "e")
        + row(empty, attributes='table:number-rows-repeated="1048000"')
    )
    assert document.text == "S1\n\na | b | c\nd | | e"
    assert titles(document) == [(1, "S1")]


def test_an_empty_sheet_is_not_mentioned() -> None:
    assert sheet(row('<table:table-cell table:number-columns-repeated="1024"/>')).text == ""


def test_dates_come_in_iso_8601_and_other_values_as_shown() -> None:
    date = cell_of("01.02.24", 'office:value-type="date" office:date-value="2024-02-01"')
    time = cell_of("01.02.24 10:00", 'office:value-type="date" office:date-value="2024-02-01T10:00:00"')
    percent = cell_of("12 %", 'office:value-type="percentage" office:value="0.12"')
    bare = '<table:table-cell office:value-type="float" office:value="7"/>'
    assert table_texts(sheet(row(date, time, percent, bare))) == ["2024-02-01 | 2024-02-01 10:00:00 | 12 % | 7"]


def test_a_merged_cell_appears_once_and_keeps_its_place() -> None:
    covered = "<table:covered-table-cell><text:p>covered</text:p></table:covered-table-cell>"
    assert table_texts(sheet(row("wide", covered, "c") + row("1", "2", "3"))) == ["wide | | c\n1 | 2 | 3"]


def test_a_comment_in_a_sheet_follows_its_value() -> None:
    comment = "<office:annotation><text:p>why?</text:p></office:annotation>"
    assert table_texts(sheet(row(f"<table:table-cell>{comment}<text:p>5</text:p></table:table-cell>"))) == [
        "5 Comment: why?"
    ]


def test_repeated_cells_are_written_out_within_bounds() -> None:
    document = sheet(
        row(cell_of("x", 'table:number-columns-repeated="3"'), attributes='table:number-rows-repeated="2"')
    )
    assert table_texts(document) == ["x | x | x\nx | x | x"]
    assert document.notes == ()
    bomb = row(cell_of("x", 'table:number-columns-repeated="16384"'), attributes='table:number-rows-repeated="1048576"')
    document = sheet(bomb)
    assert document.text.count("x") == 100 * 100
    (note,) = document.notes
    assert "repeated more than 100 times" in note


def test_cells_beyond_the_limit_are_left_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odf_tables, "MAX_CELLS", 10)
    document = sheet(row(*"abc", attributes='table:number-rows-repeated="50"') + row("last"))
    assert len(table_texts(document)[0]) < 60
    assert "last" not in document.text
    assert document.notes[0].startswith("Only the first 10 cells")


def test_hidden_sheets_and_slides_are_left_out_and_named() -> None:
    hidden = '<style:style style:name="h"><style:{}-properties {}/></style:style>'
    document = read(
        "spreadsheet",
        f'<table:table table:name="Seen">{row("a")}</table:table>'
        f'<table:table table:name="Unseen" table:style-name="h">{row("b")}</table:table>',
        styles=hidden.format("table", 'table:display="false"'),
    )
    assert document.text == "Seen\n\na"
    assert document.notes == ("Hidden sheets were left out: Unseen.",)
    document = read(
        "presentation",
        f"<draw:page>{frame('a')}</draw:page><draw:page draw:style-name='h'>{frame('b')}</draw:page>",
        styles=hidden.format("drawing-page", 'presentation:visibility="hidden"'),
    )
    assert document.text == "a"
    assert document.notes == ("Hidden slides were left out: 2.",)


def frame(content: str, kind: str = "outline") -> str:
    box = f"<draw:text-box><text:p>{content}</text:p></draw:text-box>"
    return f'<draw:frame presentation:class="{kind}">{box}</draw:frame>'


def test_each_slide_is_a_page_with_its_title_first_and_its_notes_last() -> None:
    notes = f"<presentation:notes>{frame('Said.', 'notes')}{frame('7', 'page-number')}</presentation:notes>"
    grouped = f"<draw:g><draw:custom-shape><text:p>shape</text:p></draw:custom-shape>{frame('in a group')}</draw:g>"
    table = f"<draw:frame><table:table>{row('a', 'b')}</table:table></draw:frame>"
    document = read(
        "presentation",
        f"<draw:page>{frame('Point')}{frame('First', 'title')}{grouped}{table}{notes}</draw:page><draw:page/>"
        f"<draw:page>{frame('Third', 'title')}{frame('Foot', 'footer')}</draw:page>",
    )
    assert document.text == "First\n\nPoint\n\nshape\nin a group\n\na | b\n\nNotes: Said.\n\nThird"
    assert titles(document) == [(1, "First"), (1, "Third")]
    assert [page.number for page in document.pages] == [1, 2, 3]
    assert document.text[document.pages[0].start : document.pages[0].end].endswith("Said.")


def test_a_document_with_a_password_is_said_to_have_one() -> None:
    entry = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    manifest = f"<manifest:manifest {ROOT}>{entry}</manifest:manifest>"
    with pytest.raises(ExtractionFailed) as failure:
        read("text", "", extra={"META-INF/manifest.xml": manifest, "content.xml": b"\x8f\x02"})
    assert failure.value.code == "encrypted"


def test_styles_that_inherit_from_each_other_in_a_circle_end() -> None:
    circle = "".join(
        f'<style:style style:name="{one}" style:parent-style-name="{other}"/>' for one, other in ("ab", "ba")
    )
    assert read("text", '<text:p text:style-name="a">text</text:p>', styles=circle).text == "text"


def test_entities_are_refused() -> None:
    bomb = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><office:document-content {ROOT}/>'
    with pytest.raises(ExtractionFailed) as failure:
        read("text", "", extra={"content.xml": bomb})
    assert failure.value.code == "unsafe_xml"


def test_more_in_one_piece_than_can_be_read_is_refused() -> None:
    noise = random.Random(1).randbytes(30 * 1024 * 1024).hex()  # deflates by two, so no bomb
    with pytest.raises(ExtractionFailed) as failure:
        text(f"<text:p>{noise}</text:p>")
    assert failure.value.code == "too_large_inside"
    assert "in one piece" in failure.value.detail


def test_nesting_is_read_as_deep_as_it_may_be_and_refused_beyond() -> None:
    def nested(levels: int) -> str:
        return "<text:section>" * levels + "<text:p>deep</text:p>" + "</text:section>" * levels

    assert text(nested(240)) == "deep"
    tables = "<table:table><table:table-row><table:table-cell>"
    ends = "</table:table-cell></table:table-row></table:table>"
    assert text(tables * 80 + "<text:p>deep</text:p>" + ends * 80) == "deep"
    with pytest.raises(ExtractionFailed) as failure:
        text(nested(300))
    assert failure.value.code == "too_deep"


@pytest.mark.parametrize(
    "damaged",
    [
        lambda: package("text", "<text:p>a</text:p>")[:-100],
        lambda: package("text", "<text:p>"),
        lambda: package("text", "", extra={"content.xml": f"<office:document-content {ROOT}/>"}),
        lambda: packed({"mimetype": "application/vnd.oasis.opendocument.text"}),
        lambda: package("text", '<text:h text:outline-level="one">a</text:h>'),
    ],
)
def test_a_damaged_file_is_said_to_be_damaged(damaged: Callable[[], bytes]) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        odf.extract(damaged())
    assert failure.value.code == "broken_odf"
