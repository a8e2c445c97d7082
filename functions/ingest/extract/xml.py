"""XML: its text in document order, with element names where they say what a value is."""

import re
from collections.abc import Iterator
from typing import Final

from lxml import etree  # type: ignore[import-untyped]

from functions.ingest.extract import html
from functions.ingest.extract.blocks import Block, assemble
from functions.ingest.extract.charset import declared_encoding, decode
from functions.ingest.extract.document import Document, one_line
from minirag.runtime.errors import ExtractionFailed

_DECLARATION: Final = re.compile(r"""\s*<\?xml(?:[^>]*?encoding\s*=\s*["']([\w:.-]{2,40})["'])?[^>]*>""")
_LONG: Final = 200
# Whose name says nothing that the text does not.
_PROSE: Final = frozenset(("p", "para", "simpara", "paragraph", "text", "tspan", "body", "content", "value"))
_HEADINGS: Final = frozenset(("title", "head", "heading"))
# Attributes that name an element, best first; and those that say nothing to a reader.
_NAMES: Final = ("label", "title", "name", "key")
_TECHNICAL: Final = frozenset(("id", "href", "src", "class", "style", "rel", "type", "version", "schemaLocation"))
_SVG_TEXT: Final = frozenset(("text", "title", "desc"))
# HTML within XML, as feeds hold it.
_MARKUP: Final = re.compile(r"<(?:p|br|div|a|b|i|em|strong|ul|ol|li|h[1-6]|table|img|span)\b[^<>]*>", re.IGNORECASE)


_POSITION: Final = re.compile(r", line \d+, column \d+$")
# What libxml2 says where its bounds are passed, and what that means.
_LIMITS: Final = (
    (
        "depth",
        "too_deep",
        "This XML file is nested too deeply to be read. Save its inner parts as files of their own.",
    ),
    (
        "amplification",
        "too_large_inside",
        "The entities of this XML file would grow to far more than its size allows; it was not read.",
    ),
    (
        "too long",
        "too_much_text",
        "This XML file holds a single text of more than 10 million characters. Split it and upload the parts.",
    ),
)
_MAX_ATTRIBUTES: Final = 100


def extract(data: bytes) -> Document:
    """The text of an XML file, a value per line as `name: value`; titles of sections are headings.

    XHTML is read as HTML, and of SVG only what it shows as text. Raises ExtractionFailed with code `broken_xml`,
    saying the line, `too_deep`, `too_large_inside` for entities made to harm, or `too_much_text`.
    """
    head = data[:1000]
    declaration = _DECLARATION.match(decode(head))
    declared = declared_encoding(declaration[1]) if declaration and declaration[1] else None
    # UTF-8 is tried anyway, and who declares it wrongly has declared nothing.
    source = decode(data, declared if declared != "utf-8" else None)
    root = _parse(_DECLARATION.sub(lambda found: "\n" * found[0].count("\n"), source, count=1))
    name = _local(root)
    if name == "html":
        return html.extract(data)
    blocks = _svg(root) if name == "svg" else _blocks(root, 1)
    return assemble("xml", blocks, title=_title(root))


def _title(root: etree._Element) -> str | None:
    for element in root.iter():
        if _local(element) in _HEADINGS:
            return one_line("".join(element.itertext()))
    return None


def _parse(source: str) -> etree._Element:
    # Without huge_tree, libxml2 bounds the depth, the length of a text and what entities may grow to.
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(source.encode("utf-8", errors="replace"), parser=parser)
    except etree.XMLSyntaxError as error:
        if error.code in (etree.ErrorTypes.ERR_NO_MEMORY, etree.ErrorTypes.ERR_OK):  # of which it has little to say
            raise MemoryError from error
        reason = _POSITION.sub("", error.msg).rstrip(". ")
        for words, code, detail in _LIMITS:
            if words in reason:
                raise ExtractionFailed(detail, code=code) from error
        raise ExtractionFailed(
            f"This XML file is broken at line {error.lineno}: {reason}. Correct it and upload it again.",
            code="broken_xml",
        ) from error


def _local(element: etree._Element) -> str:
    """An element's name without its namespace; nothing for what is no element, such as an entity left as it is."""
    return _unprefixed(element.tag) if isinstance(element.tag, str) else ""


def _flat(text: str) -> str:
    return " ".join(text.split())


def _svg(root: etree._Element) -> Iterator[Block]:
    for element in root.iter():
        if _local(element) in _SVG_TEXT:
            yield Block(_flat(" ".join(element.itertext())))


def _blocks(element: etree._Element, level: int) -> Iterator[Block]:
    """The blocks of an element with its title, if it has one, as a heading of `level`."""
    children = [child for child in element if isinstance(child.tag, str)]
    if not children:
        yield from _leaf(element)
        return
    # Words between the elements: a paragraph with emphasis and links, or a section with stray words in it.
    words = [element.text or "", *(child.tail or "" for child in element)]
    if any(map(str.strip, words)) and not any(_local(child) in _PROSE for child in children):
        yield Block(_flat("".join(element.itertext())))
        return
    name = _name(element)
    if name:
        yield Block(f"{_local(element)}: {name}", run=element)
    heading = next((child for child in children if _local(child) in _HEADINGS), None)
    yield Block(words[0])
    for child in element:
        if heading is not None and child is heading:
            title = _flat("".join(child.itertext()))
            yield Block(title, level=min(level, 9) if len(title) <= _LONG else None)
        elif isinstance(child.tag, str):
            yield from _blocks(child, level if heading is None else level + 1)
        if child.tail and not child.tail.isspace():
            yield Block(child.tail)


def _leaf(element: etree._Element) -> Iterator[Block]:
    """An element that holds text alone, or nothing but its attributes."""
    text = "".join(element.itertext()).strip()
    name = _name(element)
    if not text:
        keys = [key for key in element.attrib.keys()[:_MAX_ATTRIBUTES] if _unprefixed(key) not in _TECHNICAL]
        told = [f"{_unprefixed(key)}: {_flat(element.get(key))}" for key in keys]
        line = name if name and len(told) == 1 else "; ".join(told)
        if line:
            yield Block(f"{_local(element)}: {line}", run=element.getparent())
        return
    if _MARKUP.search(text):
        text = _without_markup(text)
    if len(text) > _LONG or "\n" in text:
        yield Block("\n".join(map(str.strip, text.split("\n"))))
    elif _local(element) in _PROSE and not name:
        yield Block(text)
    else:
        yield Block(f"{name or _local(element)}: {text}", run=element.getparent())


def _name(element: etree._Element) -> str | None:
    return next((_flat(value) for value in map(element.get, _NAMES) if value and value.strip()), None)


def _unprefixed(key: str) -> str:
    return key.rpartition("}")[2]


def _without_markup(text: str) -> str:
    try:
        return html.extract(text.encode("utf-8", errors="replace")).text
    except ExtractionFailed:
        return text
