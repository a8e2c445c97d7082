"""HTML: parsed by lxml, stripped of what is no content, laid out as text by inscriptis."""

import re
from typing import Final

from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
from inscriptis.html_engine import Inscriptis  # type: ignore[import-untyped]
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
from lxml import etree  # type: ignore[import-untyped]
from lxml.html import HtmlElement, HTMLParser, document_fromstring  # type: ignore[import-untyped]

from functions.ingest.extract.charset import declared_encoding, decode
from functions.ingest.extract.document import Document, Heading, Table, normalise, one_line
from minirag.runtime.errors import ExtractionFailed

# Where a page declares its encoding: <meta charset=…>, <meta http-equiv … charset=…> or an XML declaration.
_DECLARATION: Final = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w:.-]{2,40})""", re.IGNORECASE)
_XML_DECLARATION: Final = re.compile(r"\s*<\?xml[^>]*>")

# What a browser does not show as text.
_CODE: Final = ("script", "style", "noscript", "template", "svg", "math", "iframe", "object", "canvas")
# What surrounds the content.
_NOISE: Final = ("nav", "footer", "button", "select", "textarea", "dialog")
_NOISE_ROLES: Final = ("navigation", "search", "contentinfo", "banner", "menu", "menubar", "toolbar", "dialog")
_HIDDEN: Final = (
    "//*[@hidden or @aria-hidden='true']"
    # Wikipedia's and other wikis' parts that repeat on every page.
    " | //*[contains(concat(' ', @class, ' '), ' mw-editsection ') or contains(concat(' ', @class, ' '), ' navbox ')]"
    # A banner with the page's own heading in it is content.
    " | //header[not(.//h1)]"
)
_LAYOUT: Final = ("table", "ul", "ol", "dl", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6")
_LONG_CELL: Final = 300

# What libxml2 reads in a page and refuses to take back (XML 1.0, 2.2).
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Stand before each heading and each row until the text is normalised, which moves everything; noncharacters, so in no
# document.
_MARK: Final = "\ufdd0"
_ROW_MARK: Final = "\ufdd1"
_MARKS: Final = re.compile(f"[{_MARK}{_ROW_MARK}]")


def extract(data: bytes) -> Document:
    """The text of an HTML page without scripts, styles and navigation; h1 to h6 become headings.

    A table's rows are lines `a | b | c`; one that lays out passages is no table.

    Raises ExtractionFailed with code `broken_html` if nothing can be parsed at all.
    """
    declaration = _DECLARATION.search(data[:4096])
    source = decode(data, declared_encoding(declaration[1].decode("ascii", errors="replace")) if declaration else None)
    tree = _parse(source)
    title = one_line(tree.findtext(".//title") or "")
    _drop([element for tag in _CODE for element in tree.iter(tag)])
    unpruned = etree.tostring(tree, encoding="unicode")
    _prune(tree)
    _keep_main(tree)
    text, headings, tables = _render(tree)
    if not text:  # a page that is nothing but navigation, or says it is
        text, headings, tables = _render(_parse(unpruned))
    if title is None and headings:
        title = headings[0].title
    return Document("html", text, headings=headings, tables=tables, title=title)


def _parse(source: str) -> HtmlElement:
    source = _XML_DECLARATION.sub("", _MARKS.sub("", source.replace("\0", "")), count=1)
    # huge_tree: a deep or large page is read to its end; what it may cost is bounded by the process around it.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        return document_fromstring(source.encode("utf-8", errors="replace"), parser=parser)
    except etree.ParserError as error:
        raise ExtractionFailed("This HTML page has no content.", code="broken_html") from error
    except etree.XMLSyntaxError as error:  # a page is never refused for its syntax: libxml2 ran out of memory
        raise MemoryError from error


def _drop(elements: list[HtmlElement]) -> None:
    for element in elements:
        if element.getparent() is not None and element.tag not in ("html", "body", "main", "article"):
            element.drop_tree()


def _prune(tree: HtmlElement) -> None:
    noise = [element for tag in _NOISE for element in tree.iter(tag)]
    noise += [element for element in tree.iterfind(".//*[@role]") if element.get("role") in _NOISE_ROLES]
    _drop(noise + tree.xpath(_HIDDEN))
    menus = [element for element in tree.iter("ul", "ol") if _is_menu(element)]
    # Where links are most of the page, they are its content.
    if sum(map(_length, menus)) < _length(tree) / 2:
        _drop(menus)


def _keep_main(tree: HtmlElement) -> None:
    """Leave out what stands beside a page's <main> (HTML standard, 4.4.14), where that is used as it is meant.

    That is: there is one, it holds most of the text, and the page's heading is in it.
    """
    body = tree.find("body")
    mains = tree.xpath("//main | //*[@role='main']")
    if body is None or not mains or not all(main is mains[0] or mains[0] in main.iterancestors() for main in mains):
        return
    main = mains[0]
    if main is body or (tree.find(".//h1") is not None and main.find(".//h1") is None):
        return
    if _length(main) >= _length(body) / 2:
        main.tail = body.text = None
        body[:] = [main]


def _length(element: HtmlElement) -> int:
    return len("".join(element.text_content().split()))


def _is_menu(element: HtmlElement) -> bool:
    """Whether a list is nothing but many short links."""
    links = [_length(link) for link in element.iter("a")]
    return len(links) >= 5 and sum(links) >= 0.9 * _length(element) and sum(links) < 30 * len(links)


def _flatten(row: HtmlElement) -> None:
    """Turn a table row into one line `a | b | c`; cells that hold whole passages become blocks of their own.

    Laid out side by side, as a browser shows them, the lines of two cells would run into each other.
    """
    cells = [cell for cell in row if cell.tag in ("td", "th")]
    texts = [" ".join(cell.text_content().split()) for cell in cells]
    if any(len(text) > _LONG_CELL for text in texts) or any(
        next(cell.iter(*_LAYOUT), None) is not None for cell in cells
    ):
        for cell in cells:
            cell.tag = "div"
    else:
        for cell in cells:
            row.remove(cell)
        # A single cell is a caption, or there for layout.
        mark = _ROW_MARK if len(cells) > 1 else ""
        row.text = mark + _UNWRITABLE.sub(" ", " | ".join(texts)) if any(texts) else None
    row.tag = "div"


def _render(tree: HtmlElement) -> tuple[str, tuple[Heading, ...], tuple[Table, ...]]:
    for row in list(tree.iter("tr")):
        _flatten(row)
    for part in list(tree.iter("tbody", "thead", "tfoot", "caption")):
        part.tag = "div"
    for table in list(tree.iter("table")):
        # A blank line around the table, none between its rows.
        table.tag = "p"
        rows = table.makeelement("div")
        rows.extend(list(table))
        table.append(rows)
    rules = {f"h{level}": [str(level)] for level in range(1, 7)}
    try:
        page = Inscriptis(tree, ParserConfig(css=CSS_PROFILES["strict"], annotation_rules=rules))
    except RecursionError:  # nested deeper than anything a person wrote
        return normalise(_MARKS.sub("", "\n".join(tree.itertext()))), (), ()
    text = page.get_text().replace(_MARK, " ")
    spans = sorted((span.start, span.end, int(span.metadata)) for span in page.get_annotations())
    pieces: list[str] = []
    titles: list[tuple[int, str]] = []
    end = 0
    for span_start, span_end, level in spans:
        heading = text[span_start:span_end]
        start = span_start + len(heading) - len(heading.lstrip())
        title = one_line(_MARKS.sub("", heading))
        if title and start >= end:
            pieces += (text[end:start], _MARK)
            titles.append((level, title))
            end = start
    pieces.append(text[end:])
    return _unmark(normalise("".join(pieces)), titles)


def _unmark(text: str, titles: list[tuple[int, str]]) -> tuple[str, tuple[Heading, ...], tuple[Table, ...]]:
    """The text without its marks, and what stands where they stood."""
    pieces: list[str] = []
    headings: list[Heading] = []
    tables: list[Table] = []
    end = position = row_end = 0
    for mark in _MARKS.finditer(text):
        pieces.append(text[end : mark.start()])
        position += mark.start() - end
        end = mark.end()
        if mark[0] == _MARK:
            level, title = titles[len(headings)]
            headings.append(Heading(position, level, title))
            continue
        adjacent = bool(tables) and text[row_end : mark.start()].strip(" ") == "\n"
        row_end = _line_end(text, end)
        line = _MARKS.sub("", text[end:row_end])
        tables.append(Table(tables.pop().start if adjacent else position, position + len(line)))
    pieces.append(text[end:])
    return "".join(pieces), tuple(headings), tuple(tables)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
