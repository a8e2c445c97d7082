"""PPTX: slides as pages, titles, groups, tables, charts, notes, and hostile files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.office import pptx
from minirag.runtime.errors import ExtractionFailed
from tests.functions.ingest.packing import OFFICE, packed, relations, table_texts, titles

DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"
MAIN = "http://schemas.openxmlformats.org/presentationml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"
ROOT = f'xmlns="{MAIN}" xmlns:a="{DRAWING}" xmlns:c="{CHART}" xmlns:r="{OFFICE}"'


def slide(shapes: str, attributes: str = "") -> str:
    return f"<sld {ROOT} {attributes}><cSld><spTree>{shapes}</spTree></cSld></sld>"


def shape(*paragraphs: str, placeholder: str | None = None) -> str:
    """A shape with these paragraphs, as a placeholder of this type."""
    kind = f'<ph type="{placeholder}"/>' if placeholder else ""
    body = "".join(f"<a:p><a:r><a:t>{paragraph}</a:t></a:r></a:p>" for paragraph in paragraphs)
    return f"<sp><nvSpPr><nvPr>{kind}</nvPr></nvSpPr><txBody>{body}</txBody></sp>"


def presentation(*slides: str, extra: dict[str, str] | None = None) -> bytes:
    numbers = range(1, len(slides) + 1)
    ids = "".join(f'<sldId id="{255 + number}" r:id="r{number}"/>' for number in numbers)
    parts: dict[str, str | bytes] = {
        "_rels/.rels": relations(("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f"<presentation {ROOT}><sldIdLst>{ids}</sldIdLst></presentation>",
        "ppt/_rels/presentation.xml.rels": relations(*(("slide", f"slides/slide{number}.xml") for number in numbers)),
    }
    parts |= {f"ppt/slides/slide{number}.xml": xml for number, xml in zip(numbers, slides, strict=True)}
    return packed(parts | (extra or {}))


def read(*slides: str, extra: dict[str, str] | None = None) -> Document:
    return pptx.extract(presentation(*slides, extra=extra))


def test_each_slide_is_a_page_and_its_title_a_heading() -> None:
    document = read(
        slide(shape("Point one", "Point two") + shape("First", placeholder="ctrTitle")),
        slide(""),
        slide(shape("Third", placeholder="title") + shape("Text")),
        slide(""),
    )
    assert document.text == "First\n\nPoint one\nPoint two\n\nThird\n\nText"
    assert titles(document) == [(1, "First"), (1, "Third")]
    assert [document.text[page.start : page.end] for page in document.pages] == [
        "First\n\nPoint one\nPoint two",
        "",
        "Third\n\nText",
        "",
    ]


def test_slides_come_in_the_order_of_the_presentation_not_of_their_files() -> None:
    order = (
        f'<presentation {ROOT}><sldIdLst><sldId id="1" r:id="r2"/><sldId id="2" r:id="r1"/></sldIdLst></presentation>'
    )
    document = read(slide(shape("one")), slide(shape("two")), extra={"ppt/presentation.xml": order})
    assert document.text == "two\n\none"


def test_groups_are_read_through_and_what_every_slide_repeats_is_not() -> None:
    nested = f"<grpSp>{shape('a')}<grpSp>{shape('b')}</grpSp></grpSp>"
    margins = "".join(shape("12", placeholder=kind) for kind in ("sldNum", "dt", "ftr"))
    assert read(slide(nested + margins + shape("c"))).text == "a\n\nb\n\nc"


def test_newer_and_older_forms_of_a_shape_are_read_once() -> None:
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    both = f"<mc:Choice>{shape('new')}</mc:Choice><mc:Fallback>{shape('old')}</mc:Fallback>"
    assert read(slide(f"<mc:AlternateContent {mc}>{both}</mc:AlternateContent>")).text == "new"
    formula = "<mc:Choice><m><t>x=1</t></m></mc:Choice><mc:Fallback><a:r><a:t>picture</a:t></a:r></mc:Fallback>"
    paragraph = f"<a:p><mc:AlternateContent {mc}>{formula}</mc:AlternateContent></a:p>"
    assert read(slide(f"<sp><txBody>{paragraph}</txBody></sp>")).text == "x=1"


def test_a_table_is_rows_and_a_merged_cell_appears_once() -> None:
    def cell(text: str, attributes: str = "") -> str:
        return f"<a:tc {attributes}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    wide = cell("wide", 'gridSpan="2"') + cell("covered", 'hMerge="1"') + cell("c")
    rows = f"<a:tr>{wide}</a:tr><a:tr>{cell('1')}{cell('2')}{cell('3')}</a:tr>"
    frame = f"<graphicFrame><a:graphic><a:graphicData><a:tbl>{rows}</a:tbl></a:graphicData></a:graphic></graphicFrame>"
    assert table_texts(read(slide(frame))) == ["wide | | c\n1 | 2 | 3"]


def test_a_chart_tells_its_title_and_its_series() -> None:
    def points(*values: str) -> str:
        return "".join(f'<c:pt idx="{index}"><c:v>{value}</c:v></c:pt>' for index, value in enumerate(values))

    title = "<c:title><c:tx><c:rich><a:p><a:r><a:t>Sales</a:t></a:r></a:p></c:rich></c:tx></c:title>"
    series = "".join(
        f"<c:ser><c:tx>{points(name)}</c:tx><c:cat>{points('Q1', 'Q2')}</c:cat><c:val>{points(*values)}</c:val></c:ser>"
        for name, values in (("North", ("1", "2")), ("South", ("3", "4")))
    )
    frame = '<graphicFrame><a:graphic><a:graphicData><c:chart r:id="r1"/></a:graphicData></a:graphic></graphicFrame>'
    document = read(
        slide(frame),
        extra={
            "ppt/slides/_rels/slide1.xml.rels": relations(("chart", "../charts/chart1.xml")),
            "ppt/charts/chart1.xml": f"<c:chartSpace {ROOT}>{title}{series}</c:chartSpace>",
        },
    )
    assert document.text == "Sales\n\n| North | South\nQ1 | 1 | 3\nQ2 | 2 | 4"
    assert len(document.tables) == 1


def test_a_diagram_tells_its_texts() -> None:
    dgm = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
    frame = "<graphicFrame><a:graphic><a:graphicData>"
    frame += f'<d:relIds xmlns:d="{dgm}" r:dm="r1"/></a:graphicData></a:graphic></graphicFrame>'
    texts = "".join(f"<pt><t><a:p><a:r><a:t>{step}</a:t></a:r></a:p></t></pt>" for step in ("plan", "do"))
    document = read(
        slide(frame),
        extra={
            "ppt/slides/_rels/slide1.xml.rels": relations(("diagramData", "../diagrams/data1.xml")),
            "ppt/diagrams/data1.xml": f'<dataModel xmlns="{dgm}" xmlns:a="{DRAWING}">{texts}</dataModel>',
        },
    )
    assert document.text == "plan\ndo"


def test_speaker_notes_and_comments_follow_their_slide() -> None:
    document = read(
        slide(shape("Shown")),
        slide(shape("Next")),
        extra={
            "ppt/slides/_rels/slide1.xml.rels": relations(
                ("notesSlide", "../notesSlides/notesSlide1.xml"), ("comments", "../comments/comment1.xml")
            ),
            "ppt/notesSlides/notesSlide1.xml": slide(
                shape("Said", "aloud", placeholder="body") + shape("1", placeholder="sldNum")
            ),
            "ppt/comments/comment1.xml": f"<cmLst {ROOT}><cm><text>Really?</text></cm></cmLst>",
        },
    )
    assert document.text == "Shown\n\nComment: Really?\n\nNotes: Said\naloud\n\nNext"
    assert document.text[document.pages[0].start : document.pages[0].end].endswith("Notes: Said\naloud")


def test_a_hidden_slide_is_left_out_and_named_and_keeps_its_number() -> None:
    document = read(slide(shape("one")), slide(shape("two"), 'show="0"'), slide(shape("three")))
    assert document.text == "one\n\nthree"
    assert document.notes == ("Hidden slides were left out: 2.",)
    assert [(page.number, page.end - page.start) for page in document.pages] == [(1, 3), (2, 0), (3, 5)]


def test_line_breaks_stay_and_the_number_of_the_slide_goes() -> None:
    paragraph = (
        '<a:p><a:r><a:t>a</a:t></a:r><a:br/><a:fld type="slidenum"><a:t>7</a:t></a:fld><a:r><a:t>b</a:t></a:r></a:p>'
    )
    assert read(slide(f"<sp><txBody>{paragraph}</txBody></sp>")).text == "a\nb"


def test_a_real_presentation_is_read_with_its_notes() -> None:
    document = pptx.extract((DOCUMENTS / "dl_powerpoint_sample.pptx").read_bytes())
    assert titles(document) == [(1, "Test Table Slide"), (1, "Second slide title")]
    assert len(document.pages) == 3
    assert "Notes: Some notes on the second slide." in document.text


def test_a_note_names_ten_of_many() -> None:
    document = read(*(slide(shape("hidden"), 'show="0"') for _ in range(12)), slide(shape("seen")))
    assert document.notes == ("Hidden slides were left out: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more.",)


@pytest.mark.parametrize(
    ("declared", "title"),
    [("Annual Report", "Annual Report"), ("PowerPoint-Präsentation", "First slide"), ("", "First slide")],
)
def test_the_title_is_declared_or_that_of_the_first_slide(declared: str, title: str) -> None:
    properties = (
        f'<coreProperties xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{declared}</dc:title></coreProperties>'
    )
    main = ("officeDocument", "ppt/presentation.xml")
    extra = {"_rels/.rels": relations(main, ("metadata/core-properties", "docProps/core.xml"))}
    document = read(slide(shape("First slide", placeholder="title")), extra=extra | {"docProps/core.xml": properties})
    assert document.title == title


def test_a_slide_listed_a_thousand_times_is_read_once() -> None:
    ids = "".join(f'<sldId id="{number}" r:id="r1"/>' for number in range(1000))
    order = f"<presentation {ROOT}><sldIdLst>{ids}</sldIdLst></presentation>"
    assert read(slide(shape("once")), extra={"ppt/presentation.xml": order}).text == "once"


def test_entities_are_refused() -> None:
    declared = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>' + slide(shape("&f;"))
    with pytest.raises(ExtractionFailed) as failure:
        read(declared)
    assert failure.value.code == "unsafe_xml"


def test_deep_groups_are_refused() -> None:
    with pytest.raises(ExtractionFailed) as failure:
        read(slide("<grpSp>" * 300 + shape("deep") + "</grpSp>" * 300))
    assert failure.value.code == "too_deep"


@pytest.mark.parametrize(
    "damaged",
    [
        lambda: presentation(slide(""))[:-300],
        lambda: presentation(slide("")[:-20]),
        lambda: presentation(slide(""), extra={"_rels/.rels": relations()}),
        lambda: presentation(slide(""), extra={"ppt/_rels/presentation.xml.rels": relations()}),
    ],
)
def test_a_damaged_presentation_is_said_to_be_damaged(damaged: Callable[[], bytes]) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        pptx.extract(damaged())
    assert failure.value.code == "broken_pptx"


def test_a_missing_slide_is_named() -> None:
    pairs = (("slide", "slides/slide1.xml"), ("slide", "slides/gone.xml"))
    document = read(slide(shape("here")), slide(""), extra={"ppt/_rels/presentation.xml.rels": relations(*pairs)})
    assert document.text == "here"
    assert document.notes == ("Slides missing from the file: 2.",)
