"""EPUB: the order of the spine, headings of chapters, what is left out, and hostile books."""

from collections.abc import Callable

import pytest

from functions.ingest.extract import epub
from functions.ingest.extract.document import Document
from minirag.runtime.errors import ExtractionFailed
from tests.functions.ingest.packing import packed, titles

XHTML = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'
DOCTYPE = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">'


def chapter(body: str) -> str:
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{DOCTYPE}<html {XHTML}><head><title/></head><body>{body}</body></html>'
    )


def book(
    chapters: dict[str, str],
    *,
    spine: str = "",
    items: str = "",
    guide: str = "",
    extra: dict[str, str | bytes] | None = None,
) -> bytes:
    """A book of these chapters (file → body) in this order, or with this spine, which names them by file."""
    manifest = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in chapters)
    order = spine or "".join(f'<itemref idref="{name}"/>' for name in chapters)
    metadata = '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The Book</dc:title></metadata>'
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "OEBPS/book.opf": f'<package xmlns="http://www.idpf.org/2007/opf">{metadata}<manifest>{manifest}{items}'
        f"</manifest><spine>{order}</spine><guide>{guide}</guide></package>",
    }
    parts |= {f"OEBPS/{name}": chapter(body) for name, body in chapters.items()}
    return packed(parts | (extra or {}))


def read(chapters: dict[str, str], **given: object) -> Document:
    return epub.extract(book(chapters, **given))  # type: ignore[arg-type]


def test_chapters_come_in_the_order_of_the_spine_with_their_headings() -> None:
    spine = '<itemref idref="b.xhtml"/><itemref idref="a.xhtml"/>'
    document = read(
        {"a.xhtml": "<h1>Second</h1><p>Later.</p>", "b.xhtml": "<h1>First</h1><p>Text.</p><h2>Part</h2><p>More.</p>"},
        spine=spine,
    )
    assert [line for line in document.text.split("\n") if line] == [
        "First",
        "Text.",
        "Part",
        "More.",
        "Second",
        "Later.",
    ]
    assert titles(document) == [(1, "First"), (2, "Part"), (1, "Second")]
    assert document.title == "The Book"


def test_a_chapters_own_header_and_footer_are_kept() -> None:
    document = read({"a.xhtml": "<header><h2>Chapter</h2></header><p>Text.</p><footer><p>Note.</p></footer>"})
    assert [line for line in document.text.split("\n") if line] == ["Chapter", "Text.", "Note."]


def test_what_stands_outside_the_reading_order_comes_last() -> None:
    spine = '<itemref idref="notes.xhtml" linear="no"/><itemref idref="a.xhtml"/>'
    document = read({"notes.xhtml": "<p>Notes.</p>", "a.xhtml": "<p>Text.</p>"}, spine=spine)
    assert document.text == "Text.\n\nNotes."


NAV = (
    f'<html {XHTML}><body><nav epub:type="toc"><ol><li><a href="text/a%20b.xhtml">The <i>Start</i></a>'
    '<ol><li><a href="c.xhtml#x">Inside</a></li></ol></li></ol></nav></body></html>'
)
NCX = (
    '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">'
    '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>The Start</text></navLabel>'
    '<content src="text/a%20b.xhtml"/><navPoint><navLabel><text>Inside</text></navLabel><content src="c.xhtml#x"/>'
    "</navPoint></navPoint></navMap></ncx>"
)


@pytest.mark.parametrize(
    ("name", "contents", "item"),
    [
        ("nav.xhtml", NAV, 'media-type="application/xhtml+xml" properties="nav"'),
        ("toc.ncx", NCX, 'media-type="application/x-dtbncx+xml"'),
    ],
)
def test_a_chapter_without_heading_has_its_title_in_the_contents_which_are_left_out(
    name: str, contents: str, item: str
) -> None:
    document = read(
        {"text/a b.xhtml": "<p>One.</p>", "c.xhtml": "<p>Two.</p>", "d.xhtml": "<h3>Own</h3><p>Three.</p>"},
        items=f'<item id="contents" href="{name}" {item}/>',
        spine='<itemref idref="contents"/><itemref idref="text/a b.xhtml"/><itemref idref="c.xhtml"/>'
        '<itemref idref="d.xhtml"/>',
        extra={f"OEBPS/{name}": contents},
    )
    assert [line for line in document.text.split("\n") if line] == ["One.", "Two.", "Own", "Three."]
    assert [(heading.start, heading.level, heading.title) for heading in document.headings] == [
        (0, 1, "The Start"),
        (document.text.index("Two."), 2, "Inside"),
        (document.text.index("Own"), 3, "Own"),
    ]


def test_a_page_of_contents_that_the_guide_names_is_left_out() -> None:
    chapters = {"contents.xhtml": "<p>Chapter 1 … 7</p>", "a.xhtml": "<p>Text.</p>"}
    assert read(chapters, guide='<reference type="toc" href="contents.xhtml"/>').text == "Text."
    # Contents that begin inside a chapter's file are no reason to drop the chapter.
    chapters = {"a.xhtml": "<p>Text.</p>", "b.xhtml": "<p>More.</p>"}
    assert "Text." in read(chapters, guide='<reference type="toc" href="a.xhtml#toc"/>').text


def test_empty_tags_of_xhtml_swallow_nothing() -> None:
    document = read(
        {"a.xhtml": '<h1><a id="x"/>Title</h1><div/><p>one<textarea/> two</p><script src="x"/><p>three</p>'}
    )
    assert [line for line in document.text.split("\n") if line] == ["Title", "one two", "three"]


def encryption(algorithm: str) -> str:
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:e="http://www.w3.org/2001/04/xmlenc#">'
        f'<e:EncryptedData><e:EncryptionMethod Algorithm="{algorithm}"/></e:EncryptedData></encryption>'
    )


def test_a_locked_book_is_said_to_be_locked() -> None:
    with pytest.raises(ExtractionFailed) as failure:
        read(
            {"a.xhtml": ""},
            extra={"META-INF/encryption.xml": encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc")},
        )
    assert failure.value.code == "encrypted"


def test_a_book_with_only_its_fonts_made_unreadable_is_read() -> None:
    fonts = encryption("http://www.idpf.org/2008/embedding")
    assert read({"a.xhtml": "<p>Text.</p>"}, extra={"META-INF/encryption.xml": fonts}).text == "Text."


def test_covers_without_text_are_passed_over_and_missing_chapters_named() -> None:
    spine = '<itemref idref="cover.xhtml"/><itemref idref="gone"/><itemref idref="a.xhtml"/>'
    items = '<item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/>'
    chapters = {"cover.xhtml": '<img src="cover.jpg"/>', "a.xhtml": "<p>Text.</p>"}
    document = read(chapters, spine=spine, items=items)
    assert document.text == "Text."
    assert document.notes == ("Chapters missing from the file: gone.xhtml.",)


def test_a_chapter_listed_a_thousand_times_is_read_once() -> None:
    assert read({"a.xhtml": "<p>once</p>"}, spine='<itemref idref="a.xhtml"/>' * 1000).text == "once"


def test_a_book_may_not_reach_outside_itself() -> None:
    items = '<item id="out" href="../../../../etc/hostname" media-type="text/html"/>'
    document = read({"a.xhtml": "<p>Text.</p>"}, items=items, spine='<itemref idref="out"/><itemref idref="a.xhtml"/>')
    assert document.text == "Text."
    assert document.notes == ("Chapters missing from the file: hostname.",)


def test_entities_are_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><package/>'
    with pytest.raises(ExtractionFailed) as failure:
        read({"a.xhtml": ""}, extra={"OEBPS/book.opf": bomb})
    assert failure.value.code == "unsafe_xml"


@pytest.mark.parametrize(
    "damaged",
    [
        lambda: book({"a.xhtml": "<p>Text.</p>"})[:-150],
        lambda: book({}, extra={"META-INF/container.xml": "<container/>"}),
        lambda: book({}, extra={"OEBPS/book.opf": "<package>"}),
        lambda: packed({"mimetype": "application/epub+zip"}),
    ],
)
def test_a_damaged_book_is_said_to_be_damaged(damaged: Callable[[], bytes]) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        epub.extract(damaged())
    assert failure.value.code == "broken_epub"
