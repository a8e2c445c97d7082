"""XLSX: what a sheet shows, what is left out and said, and hostile files."""

from collections.abc import Callable
from xml.sax.saxutils import escape

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.office import xlsx
from functions.ingest.extract.office.cell_formats import parse, shown
from minirag.runtime.errors import ExtractionFailed
from tests.functions.ingest.packing import OFFICE, packed, relations, table_texts, titles

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
ROOT = f'xmlns="{MAIN}" xmlns:r="{OFFICE}"'


def workbook(
    *sheets: str,
    strings: tuple[str, ...] = (),
    formats: tuple[str, ...] = (),
    states: tuple[str, ...] = (),
    properties: str = "",
    extra: dict[str, str | bytes] | None = None,
) -> bytes:
    """A workbook of sheets S1, S2, … with this content of `sheetData`; cell style n has the n-th format."""
    listed = "".join(
        f'<sheet name="S{n}" sheetId="{n}" r:id="r{n}" state="{states[n - 1] if states else "visible"}"/>'
        for n in range(1, len(sheets) + 1)
    )
    codes = "".join(f'<numFmt numFmtId="{200 + n}" formatCode="{escape(code, {chr(34): "&quot;"})}"/>'
                    for n, code in enumerate(formats))  # fmt: skip
    styles = "".join(f'<xf numFmtId="{200 + n}"/>' for n in range(len(formats)))
    parts: dict[str, str | bytes] = {
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f"<workbook {ROOT}><workbookPr {properties}/><sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(
            *(("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)),
            ("sharedStrings", "sharedStrings.xml"),
            ("styles", "/xl/styles.xml"),
        ),
        "xl/sharedStrings.xml": f"<sst {ROOT}>{''.join(f'<si>{text}</si>' for text in strings)}</sst>",
        "xl/styles.xml": f"<styleSheet {ROOT}><numFmts>{codes}</numFmts><cellXfs>{styles}</cellXfs></styleSheet>",
    }
    for number, rows in enumerate(sheets, start=1):
        sheet = f'<worksheet {ROOT}><dimension ref="A1:XFD1048576"/><sheetData>{rows}</sheetData></worksheet>'
        parts[f"xl/worksheets/sheet{number}.xml"] = sheet
    return packed(parts | (extra or {}))


def row(*values: object) -> str:
    """A row of cells that hold these texts; None leaves one out."""
    return f"<row>{''.join(cell(value) for value in values)}</row>"


def cell(value: object, name: str = "") -> str:
    reference = f' r="{name}"' if name else ""
    if value is None:
        return f"<c{reference}/>"
    if isinstance(value, str):
        return f'<c{reference} t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f"<c{reference}><v>{value}</v></c>"


def read(*sheets: str, **given: object) -> Document:
    return xlsx.extract(workbook(*sheets, **given))  # type: ignore[arg-type]


def test_each_sheet_is_a_heading_and_a_table() -> None:
    document = read(row("Team", "Cups") + row("Blues", 1), row("second", 2))
    assert document.text == "S1\n\nTeam | Cups\nBlues | 1\n\nS2\n\nsecond | 2"
    assert titles(document) == [(1, "S1"), (1, "S2")]
    assert table_texts(document) == ["Team | Cups\nBlues | 1", "second | 2"]


def test_an_empty_sheet_is_not_mentioned() -> None:
    assert read(row("value"), row(None, " "), "").text == "S1\n\nvalue"
    assert read("").text == ""


def test_two_cells_at_the_corners_of_the_largest_sheet_cost_nothing() -> None:
    corners = f"<row>{cell('first', 'A1')}</row><row>{cell('last', 'XFD1048576')}</row>"
    assert read(corners).text == "S1\n\nfirst\n| last"


def test_gaps_inside_a_row_are_kept_and_empty_columns_are_not() -> None:
    rows = (
        f"<row>{cell('a', 'B2')}{cell('b', 'D2')}{cell('c', 'F2')}</row><row>{cell('d', 'B4')}{cell('e', 'F4')}</row>"
    )
    assert table_texts(read(rows)) == ["a | b | c\nd | | e"]


def test_shared_strings_are_read_with_their_runs_and_without_their_pronunciation() -> None:
    strings = (
        "<t>plain</t>",
        "<r><t>rich </t></r><r><t>text</t></r><rPh><t>reading</t></rPh>",
        "<t>two_x000D_\nlines</t>",
    )
    cells = "".join(f'<c t="s"><v>{index}</v></c>' for index in range(3))
    assert table_texts(read(f"<row>{cells}</row>", strings=strings)) == ["plain | rich text | two lines"]


def test_dates_come_in_iso_8601_and_numbers_with_the_decimals_shown() -> None:
    formats = (
        "General",
        "dd/mm/yyyy",
        "m/d/yy h:mm",
        "0.0%",
        '#,##0.00\\ "€"',
        "[h]:mm:ss",
        "h:mm AM/PM",
        "[Red]0.0;-0.0",
    )
    values = ("0.1", "45292", "45292.75", "0.1234", "1234567.891", "1.5", "0.25", "-2.26")
    cells = "".join(f'<c s="{style}"><v>{value}</v></c>' for style, value in enumerate(values))
    assert table_texts(read(f"<row>{cells}</row>", formats=formats)) == [
        "0.1 | 2024-01-01 | 2024-01-01 18:00 | 12.3% | 1,234,567.89 € | 36:00:00 | 06:00 | -2.3"
    ]


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        ("0.30000000000000004", "General", "0.3"),
        ("123456789012345678", "General", "123456789012345678"),
        ("1E-9", "General", "1e-09"),
        ("59", "yyyy-mm-dd", "1900-02-28"),
        ("61", "yyyy-mm-dd", "1900-03-01"),
        ("-1", "yyyy-mm-dd", "-1"),
        ("99999999", "yyyy-mm-dd", "99999999"),
        ("1.5", "0.##", "1.5"),
        ("-0.001", "0.00", "0.00"),
        ("5", '"No. "0', "No. 5"),
        ("1500", "0.0,", "1500"),
        ("0.5", ".00", "0.50"),
        ("1500", "#,##0.0", "1,500.0"),
        ("2", '0 "pcs."', "2 pcs."),
        ("0.5", "# ?/?", "0.5"),
        ("7", "[$-409]mmm yyyy", "1900-01-07"),
        ("3", "[$£-809]#,##0", "£3"),
        ("1e400", "0", "inf"),
    ],
)
def test_a_number_is_shown_by_its_format_or_as_it_is(value: str, code: str, text: str) -> None:
    assert shown(value, parse(200, code)) == text


def test_dates_may_count_from_1904() -> None:
    document = read('<row><c s="0"><v>1</v></c></row>', formats=("yyyy-mm-dd",), properties='date1904="1"')
    assert table_texts(document) == ["1904-01-02"]


def test_truth_errors_and_dates_as_text_are_shown() -> None:
    cells = '<c t="b"><v>1</v></c><c t="e"><v>#DIV/0!</v></c><c t="str"><f>A1</f><v>made</v></c>'
    cells += '<c t="d"><v>2024-05-06</v></c>'
    assert table_texts(read(f"<row>{cells}</row>")) == ["TRUE | #DIV/0! | made | 2024-05-06"]


def test_a_formula_shows_its_stored_result_and_one_without_is_counted() -> None:
    empty = '<c t="str"><f>""</f><v></v></c>'
    document = read(f"<row><c><f>1+1</f><v>2</v></c><c><f>NOW()</f></c><c><f>RAND()</f><v/></c>{empty}</row>")
    assert table_texts(document) == ["2"]
    (note,) = document.notes
    assert note.startswith("2 cells hold formulas without a stored result")


def test_hidden_sheets_are_left_out_and_named() -> None:
    document = read(row("seen"), row("unseen"), row("never"), states=("visible", "hidden", "veryHidden"))
    assert document.text == "S1\n\nseen"
    assert document.notes == ("Hidden sheets were left out: S2, S3.",)


def test_a_merged_cell_appears_once() -> None:
    merged = f"<row>{cell('wide', 'A1')}<c r='B1'/><c r='C1'/></row>" + row(1, 2, 3)
    assert table_texts(read(merged)) == ["wide\n1 | 2 | 3"]


def test_comments_and_text_boxes_follow_their_sheet() -> None:
    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    document = read(
        row("value"),
        extra={
            "xl/worksheets/_rels/sheet1.xml.rels": relations(
                ("comments", "../comments1.xml"), ("drawing", "../drawings/drawing1.xml")
            ),
            "xl/comments1.xml": f'<comments {ROOT}><commentList><comment ref="A1"><text><r><t>why?</t></r></text>'
            "</comment></commentList></comments>",
            "xl/drawings/drawing1.xml": f'<wsDr xmlns="{drawing}/spreadsheetDrawing" xmlns:a="{drawing}/main">'
            "<sp><txBody><a:p><a:r><a:t>boxed</a:t></a:r></a:p></txBody></sp></wsDr>",
        },
    )
    assert document.text == "S1\n\nvalue\n\nboxed\n\nComment on A1: why?"


def test_of_comments_in_threads_and_their_copies_for_older_programs_the_former_are_read() -> None:
    document = read(
        row("value"),
        extra={
            "xl/worksheets/_rels/sheet1.xml.rels": relations(
                ("comments", "../comments1.xml"), ("threadedComment", "../threadedComments/threadedComment1.xml")
            ),
            "xl/comments1.xml": f'<comments {ROOT}><commentList><comment ref="A1">'
            "<text><t>[Threaded comment]</t></text></comment></commentList></comments>",
            "xl/threadedComments/threadedComment1.xml": '<ThreadedComments xmlns="urn:x"><threadedComment ref="A1">'
            '<text>why?</text></threadedComment><threadedComment ref="A1"><text>because</text></threadedComment>'
            "</ThreadedComments>",
        },
    )
    assert document.text == "S1\n\nvalue\n\nComment on A1: why?\n\nComment on A1: because"


def test_cells_beyond_the_limit_are_left_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MAX_CELLS", 5)
    document = read(row(1, 2, 3) + row(4, 5, 6), row(7))
    assert document.text == "S1\n\n1 | 2 | 3\n4 | 5"
    assert document.notes == ("Only the first 5 cells were read. Split the workbook to have all of it.",)


def test_a_sheet_listed_twice_is_read_once() -> None:
    listed = "".join(f'<sheet name="again" sheetId="{n}" r:id="r1"/>' for n in range(1000))
    data = workbook(row("once"), extra={"xl/workbook.xml": f"<workbook {ROOT}><sheets>{listed}</sheets></workbook>"})
    assert xlsx.extract(data).text == "again\n\nonce"


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("xl/workbook.xml", f"{ENTITIES}<workbook {ROOT}><sheets/></workbook>"),
        ("xl/sharedStrings.xml", f"{ENTITIES}<sst {ROOT}><si><t>&b;</t></si></sst>"),
        ("xl/worksheets/sheet1.xml", f"{ENTITIES}<worksheet {ROOT}><sheetData>{row('a')}</sheetData></worksheet>"),
        (
            "xl/sharedStrings.xml",
            f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><sst {ROOT}><si><t>&f;</t></si></sst>',
        ),
        ("xl/sharedStrings.xml", f"{ENTITIES}<sst {ROOT}><si><t>{'&b;' * 400_000}</t></si></sst>"),
    ],
)
def test_a_part_that_declares_entities_is_refused(part: str, content: str) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        xlsx.extract(workbook(row("a"), extra={part: content}))
    assert failure.value.code == "unsafe_xml"


def test_deep_nesting_is_refused() -> None:
    deep = f"<row>{'<c>' * 400}{'</c>' * 400}</row>"
    with pytest.raises(ExtractionFailed) as failure:
        read(deep)
    assert failure.value.code == "too_deep"


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    with pytest.raises(ExtractionFailed) as failure:
        xlsx.extract(workbook(row("a"), extra={"xl/media/image.bmp": bytes(21 * 1024 * 1024)}))
    assert failure.value.code == "too_large_inside"


def test_a_package_with_a_password_is_said_to_have_one() -> None:
    data = workbook(row("a")).replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0")
    with pytest.raises(ExtractionFailed) as failure:
        xlsx.extract(data)
    assert failure.value.code == "encrypted"


def test_a_binary_workbook_is_named_as_such() -> None:
    data = packed({"_rels/.rels": relations(("officeDocument", "xl/workbook.bin")), "xl/workbook.bin": b"\x83\x01"})
    with pytest.raises(ExtractionFailed) as failure:
        xlsx.extract(data)
    assert failure.value.code == "binary_workbook"


@pytest.mark.parametrize(
    "damaged",
    [
        lambda: workbook(row("a"))[:-200],
        lambda: workbook(row("a"), extra={"_rels/.rels": relations()}),
        lambda: workbook(row("a"), extra={"xl/workbook.xml": "<workbook"}),
        lambda: workbook('<row><c t="s"><v>7</v></c></row>'),
        lambda: workbook("<row><c><v>seven</v></c></row>"),
        lambda: workbook(row("a"), extra={"xl/worksheets/sheet1.xml": "<worksheet><sheetData><row>"}),
    ],
)
def test_a_damaged_workbook_is_said_to_be_damaged(damaged: Callable[[], bytes]) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        xlsx.extract(damaged())
    assert failure.value.code == "broken_xlsx"
