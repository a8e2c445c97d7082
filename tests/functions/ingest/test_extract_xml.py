"""XML: text in document order, names where they mean something, and hostile files."""

import pytest

from functions.ingest.extract.xml import extract
from minirag.runtime.errors import ExtractionFailed

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'


def text_of(xml: str) -> str:
    return extract(DECLARATION + xml.encode()).text


def failure_of(data: bytes) -> ExtractionFailed:
    with pytest.raises(ExtractionFailed) as failure:
        extract(data)
    return failure.value


def test_short_values_have_their_names_and_records_stand_apart() -> None:
    assert text_of("<a><c><name>Rome</name><pop>3</pop></c><c><name>Oslo</name><pop>1</pop></c></a>") == (
        "name: Rome\npop: 3\n\nname: Oslo\npop: 1"
    )


def test_paragraphs_are_running_text() -> None:
    xml = "<doc><p>Some <b>bold</b> and <i>other</i> words.</p><p>Short.</p>tail<p>More.</p></doc>"
    assert text_of(xml) == "Some bold and other words.\n\nShort.\n\ntail\n\nMore."


def test_titles_of_sections_are_headings() -> None:
    xml = (
        "<book><title>The Book</title><chapter><title>One</title><p>Text.</p><sect><title>Deeper <i>in</i></title>"
        "<p>More.</p></sect></chapter><chapter><title>Two</title></chapter></book>"
    )
    document = extract(DECLARATION + xml.encode())
    assert [(h.level, h.title) for h in document.headings] == [
        (1, "The Book"),
        (2, "One"),
        (3, "Deeper in"),
        (2, "Two"),
    ]
    assert all(document.text[h.start :].startswith(h.title) for h in document.headings)
    assert document.title == "The Book"


def test_attributes_that_name_things_are_kept() -> None:
    assert text_of('<r><string name="app_title">Shop</string><string name="hello">Hi</string></r>') == (
        "app_title: Shop\nhello: Hi"
    )
    assert text_of('<r><country name="France"><capital>Paris</capital></country></r>') == (
        "country: France\ncapital: Paris"
    )
    assert text_of('<r><tag k="place" v="Paris" id="7"/><city name="Rome"/></r>') == (
        "tag: k: place; v: Paris\ncity: Rome"
    )


def test_html_within_a_feed_is_read_as_html() -> None:
    xml = "<rss><item><description><![CDATA[<p>One <b>two</b></p><script>x</script>]]></description></item></rss>"
    assert text_of(xml) == "description: One two"


def test_namespaces_and_comments_say_nothing() -> None:
    xml = '<a:r xmlns:a="urn:x"><!-- no --><?no no?><a:name>x</a:name></a:r>'
    assert text_of(xml) == "name: x"


def test_of_svg_only_its_words_are_read() -> None:
    xml = (
        '<svg xmlns="http://www.w3.org/2000/svg"><title>Chart</title><style>no</style><path d="M0 0"/>'
        "<text>North <tspan>West</tspan></text></svg>"
    )
    assert text_of(xml) == "Chart\n\nNorth West"


def test_xhtml_is_read_as_html() -> None:
    xml = '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Top</h1><p>Text.</p></body></html>'
    document = extract(DECLARATION + xml.encode())
    assert document.type == "html"
    assert document.text == "Top\n\nText."


FRENCH = "Où êtes-vous allés l'été dernier ? À la fête du château, ça va de soi."


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ("<?xml version='1.0' encoding='windows-1252'?>", "cp1252"),
        ("<?xml version='1.0' encoding='utf-8'?>", "cp1252"),
        ("<?xml version='1.0' encoding='x-unknown'?>", "utf-8"),
        ("<?xml version='1.0' encoding='utf-16'?>", "utf-16"),
        ("", "utf-8-sig"),
    ],
)
def test_xml_is_read_in_whatever_encoding_it_comes(declaration: str, encoding: str) -> None:
    assert extract(f"{declaration}<a><b>{FRENCH}</b></a>".encode(encoding)).text == f"b: {FRENCH}"


def test_broken_xml_says_the_line() -> None:
    failure = failure_of(DECLARATION + b"<a>\n<b>\n</a>")
    assert failure.code == "broken_xml"
    assert "line 4" in failure.detail
    assert failure_of(b"<a>&nosuch;").code == "broken_xml"


def test_no_entity_brings_in_a_file() -> None:
    xml = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd"><!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>'
    text = text_of(f"{xml}<a><b>one &e; two</b></a>")
    assert "root:" not in text
    assert "two" in text


def laughs(value: str) -> bytes:
    entities = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    return f'<!DOCTYPE l [<!ENTITY a "ha">{entities}]>{value}'.encode()


@pytest.mark.parametrize("value", ["<l>&j;</l>", '<l x="&j;">text</l>'])
def test_a_billion_laughs_are_refused(value: str) -> None:
    assert failure_of(laughs(value)).code == "too_large_inside"


@pytest.mark.parametrize("data", [b"<a>" * 100_000, b"<a>" * 5_000 + b"x" + b"</a>" * 5_000])
def test_xml_nested_beyond_measure_is_refused(data: bytes) -> None:
    assert failure_of(data).code == "too_deep"


def test_one_text_beyond_measure_is_refused() -> None:
    assert failure_of(b"<a>" + b"word " * 2_500_000 + b"</a>").code == "too_much_text"


def test_very_many_attributes_are_cut() -> None:
    data = b"<a " + b" ".join(b'a%d="v"' % number for number in range(50_000)) + b"/>"
    assert extract(data).text.count("; ") == 99
