"""HTML, Markdown and plain text: structure, encodings, and hostile pages."""

import codecs

import pytest

from functions.ingest.extract import html, markdown, plain
from functions.ingest.extract.charset import declared_encoding, decode
from minirag.runtime.errors import ExtractionFailed

RUSSIAN = "Однажды, в студеную зимнюю пору, я из лесу вышел; был сильный мороз. "
FRENCH = "Où êtes-vous allés l'été dernier ? À la fête du château, très loin d'ici, ça va de soi. "
POLISH = "Wszystkie żaby są zielone i mają długie łapki, a wąż zjadł jeszcze jedną gęś. "
JAPANESE = "日本語の文章です。これはテストのために書かれたものです。"
CHINESE = "这是一个用于测试的中文句子，包含常见的汉字，没有别的意思。"
KOREAN = "한국어 문장을 시험하기 위한 예문입니다. 안녕하세요, 반갑습니다. "


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp866"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "utf-16"),
        (FRENCH, "cp1252"),
        (FRENCH, "utf-8-sig"),
        (FRENCH, "utf-16-le"),
        (FRENCH, "utf-32-be"),
        (POLISH, "cp1250"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        (KOREAN, "cp949"),
    ],
)
def test_a_text_is_read_in_whatever_encoding_it_comes(text: str, encoding: str) -> None:
    assert decode((text * 3).encode(encoding)) == text * 3


def test_a_few_broken_bytes_do_not_turn_utf8_into_something_else() -> None:
    assert decode("Grüße aus Köln und Überlingen".encode() + b"\xff") == "Grüße aus Köln und Überlingen\ufffd"


@pytest.mark.parametrize("label", ["punycode", "idna", "zlib", "rot13", "base64", "unicode_escape", "utf-7", "\0", "é"])
def test_a_declared_encoding_is_an_encoding_of_texts(label: str) -> None:
    assert declared_encoding(label) is None


def test_plain_text_is_normalised() -> None:
    document = plain.extract(codecs.BOM_UTF8 + b"one  \r\n\r\n\r\n\r\ntwo\0\r\n")
    assert document.text == "one\n\ntwo"
    assert document.pages == ()
    assert document.headings == ()


def test_html_headings_have_the_offsets_of_their_text() -> None:
    page = b"""<html><head><title> A  page </title></head><body>
    <h1>Top</h1><p>Some <b>bold</b> text.</p><div><h2> Sub <i>title</i></h2>more</div><h3></h3><p>end</body>"""
    document = html.extract(page)
    assert document.text == "Top\n\nSome bold text.\n\nSub title\n\nmore\n\nend"
    assert [(h.level, h.title, document.text[h.start :][:3]) for h in document.headings] == [
        (1, "Top", "Top"),
        (2, "Sub title", "Sub"),
    ]
    assert document.title == "A page"


def test_html_without_a_title_takes_its_first_heading() -> None:
    assert html.extract(b"<h2>First</h2><h1>Second</h1>").title == "First"


def test_html_scripts_styles_and_navigation_are_left_out() -> None:
    links = "".join(f"<li><a href='/{n}'>Link {n}</a></li>" for n in range(9))
    page = f"""<header>Banner</header><nav>Menu</nav><ul>{links}</ul><style>p {{}}</style><p>Content of the page, which
    is long enough to be more than the links around it are, even if they are nine in number.</p>
    <div hidden>hidden</div><p style="display:none">none</p><script>alert(1)</script><noscript>no</noscript>
    <div role="search">search</div><footer>Imprint</footer>"""
    text = html.extract(page.encode()).text
    assert text.startswith("Content of the page")
    assert text.endswith("nine in number.")


def test_html_that_is_nothing_but_links_keeps_them() -> None:
    links = "".join(f"<li><a href='/{n}'>Link {n}</a></li>" for n in range(9))
    assert "Link 8" in html.extract(f"<ul>{links}</ul>".encode()).text
    assert html.extract(b"<nav>Only <a>this</a></nav>").text == "Only this"


def test_html_tables_become_rows_and_layout_tables_passages() -> None:
    data = b"<p>x</p><table><tr><th>Name<th>Age</tr><tr><td><p>Bob</p></td><td>5</td></tr></table><p>y</p>"
    assert html.extract(data).text == "x\n\nName | Age\nBob | 5\n\ny"
    layout = b"<table><tr><td><h2>News</h2><p>Text.</p></td><td>Aside</td></tr></table>"
    assert html.extract(layout).text == "News\n\nText.\n\nAside"


def test_html_tables_are_marked_row_by_row() -> None:
    page = b"""<p>x</p><table><caption>Ages</caption><tr><th>Name<th>Age<tr><td>Bob<td><b>5</b><tr><td></table>
    <h2>Head</h2><table><tr><td>c<td>d</table><ul><li><table><tr><td>e<td>f<tr><td>g<td>h</table></ul>
    <table><tr><td><h2>News</h2><p>Text.</p></td><td>Aside</td></tr></table>"""
    document = html.extract(page)
    assert [document.text[table.start : table.end] for table in document.tables] == [
        "Name | Age\nBob | 5",
        "c | d",
        "e | f\n    g | h",
    ]
    assert [document.text[h.start :].split("\n")[0] for h in document.headings] == ["Head", "News"]


def test_html_beside_the_main_element_is_left_out() -> None:
    main = "<main><div><h1>Top</h1><p>Content of the page.</p></div></main>"
    assert html.extract(f"<a>Skip to it</a><h1>Site</h1>{main}<p>Beside</p>".encode()).text == (
        "Top\n\nContent of the page."
    )


@pytest.mark.parametrize(
    "page",
    [
        "<main>Little</main><p>Much more text outside of it.</p>",
        "<h1>The heading</h1><main><p>Text of the page itself.</p></main><p>Much</p>",
        "<main>One part</main><p>Much</p><main>Another part</main>",
    ],
)
def test_html_with_a_main_element_that_is_not_used_as_meant_is_read_whole(page: str) -> None:
    assert "Much" in html.extract(page.encode()).text


@pytest.mark.parametrize(
    "page",
    [
        f"<meta charset='windows-1251'><p>{RUSSIAN}".encode("cp1251"),
        f"<?xml version='1.0' encoding='koi8-r'?><html><body><p>{RUSSIAN}".encode("koi8-r"),
        f"<meta http-equiv=Content-Type content='text/html; charset=iso-8859-1'><p>{RUSSIAN}".encode(),
        f"<meta charset='utf-16'><p>{RUSSIAN}".encode("utf-16"),
        f"<meta charset='punycode'><p>{RUSSIAN * 3}".encode("cp1251"),
    ],
)
def test_html_is_read_in_the_declared_encoding_unless_it_cannot_be(page: bytes) -> None:
    assert html.extract(page).text.startswith(RUSSIAN.strip())


@pytest.mark.parametrize(
    "page",
    [
        b"<p>a<b>c</p></i>" * 50,
        b"<div>" * 1500 + b"<p>a" + b"</div>" * 1500,
        b"<table>" * 100 + b"<p>a",
        b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><p>a &e; &#0; &#xD800; &#x110000; &#xfdd0;</p>",
        b"<p>a</p><!-- unclosed",
        b"<p>a<script>unclosed",
        b"<table><tr><td>a\x01<td>\x1b\xef\xbf\xbf</table>",
        b"a",
        b"\0<\0p\0>\0a\0",
        "\ufdd0<h1>a\ufdd0</h1>\ufdd0".encode(),
    ],
)
def test_html_that_breaks_every_rule_yields_its_text(page: bytes) -> None:
    document = html.extract(page)
    assert "a" in document.text
    assert "root:" not in document.text
    assert "\ufdd0" not in document.text


def test_html_without_anything_is_refused() -> None:
    with pytest.raises(ExtractionFailed) as failure:
        html.extract(b"  \n ")
    assert failure.value.code == "broken_html"


def test_markdown_is_its_own_canonical_text() -> None:
    source = (
        "# One *two* `three` [four](http://x)\n\nText **bold**.\n\nSetext\n------\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    )
    document = markdown.extract(source.encode())
    assert document.text == source
    assert [(h.level, h.title, h.start) for h in document.headings] == [
        (1, "One two three four", 0),
        (2, "Setext", source.index("Setext")),
    ]
    assert document.title == "One two three four"


def test_markdown_tables_are_marked_line_by_line() -> None:
    source = "| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n| c | d |\n|---|---|\n```\n\ne | f\n--|--\n3 | 4"
    document = markdown.extract(source.encode())
    assert [document.text[table.start : table.end] for table in document.tables] == [
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "e | f\n--|--\n3 | 4",
    ]


def test_markdown_headings_are_not_looked_for_in_code_quotes_or_lists() -> None:
    source = "```\n# a\n```\n\n    # b\n\n> # c\n\n- # d\n\n<!--\n# e\n-->\n\n## f\n"
    assert [heading.title for heading in markdown.extract(source.encode()).headings] == ["f"]


def test_markdown_front_matter_is_no_heading_and_names_the_title() -> None:
    document = markdown.extract(b'---\ntitle: "Declared"\ntags: x\n---\n\n# Heading\n')
    assert document.title == "Declared"
    assert [heading.title for heading in document.headings] == ["Heading"]
    assert document.text[document.headings[0].start :] == "# Heading"
