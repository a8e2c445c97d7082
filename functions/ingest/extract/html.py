"""HTML: parsed by lxml, stripped of what is no content, laid out as text by inscriptis."""

import re
from typing import Final

from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
from inscriptis.html_engine import Inscriptis  # type: ignore[import-untyped]
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
from lxml import etree  # type: ignore[import-untyped]
from lxml.html import HtmlElement, HTMLParser, document_fromstring  # type: ignore[import-untyped]

from functions.ingest.extract.charset import declared_encoding, decode
from functions.ingest.extract.document import Document, Heading, normalise, one_line
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

# Stands before each heading until the text is normalised, which moves everything; a noncharacter, so in no document.
_MARK: Final = "\ufdd0"


def extract(data: bytes) -> Document:
    """The text of an HTML page without scripts, styles and navigation; h1 to h6 become headings.

    Raises ExtractionFailed with code `broken_html` if nothing can be parsed at all.
    """
    declaration = _DECLARATION.search(data[:4096])
    source = decode(data, declared_encoding(declaration[1].decode("ascii", errors="replace")) if declaration else None)
    tree = _parse(source)
    title = one_line(tree.findtext(".//title") or "")
    _drop([element for tag in _CODE for element in tree.iter(tag)])
    unpruned = etree.tostring(tree, encoding="unicode")
    _prune(tree)
    text, headings = _render(tree)
    if not text:  # a page that is nothing but navigation, or says it is
        text, headings = _render(_parse(unpruned))
    if title is None and headings:
        title = headings[0].title
    return Document("html", text, headings=headings, title=title)


def _parse(source: str) -> HtmlElement:
    source = _XML_DECLARATION.sub("", source.replace("\0", "").replace(_MARK, ""), count=1)
    # huge_tree: a deep or large page is read to its end; what it may cost is bounded by the process around it.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        return document_fromstring(source.encode("utf-8", errors="replace"), parser=parser)
    except etree.ParserError as error:
        raise ExtractionFailed("This HTML page has no content.", code="broken_html") from error


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
        row.text = " | ".join(texts) if any(texts) else None
    row.tag = "div"


def _render(tree: HtmlElement) -> tuple[str, tuple[Heading, ...]]:
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
        return normalise("\n".join(tree.itertext())), ()
    text = page.get_text()
    spans = sorted((span.start, span.end, int(span.metadata)) for span in page.get_annotations())
    pieces, titles, end = [], [], 0
    for span_start, span_end, level in spans:
        heading = text[span_start:span_end]
        start = span_start + len(heading) - len(heading.lstrip())
        title = one_line(heading)
        if title and start >= end:
            pieces.append(text[end:start])
            titles.append((level, title))
            end = start
    pieces.append(text[end:])
    parts = normalise(_MARK.join(pieces)).split(_MARK)
    headings, position = [], 0
    for part, (level, title) in zip(parts, titles, strict=False):  # the last part is followed by no heading
        position += len(part)
        headings.append(Heading(position, level, title))
    return "".join(parts), tuple(headings)
