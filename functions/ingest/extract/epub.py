"""EPUB: the chapters of a book in the order of its spine (EPUB 3.3 and 2.0.1), each read as HTML."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]

from functions.ingest.extract import html
from functions.ingest.extract.document import (
    MAX_CHARACTERS,
    Document,
    Heading,
    Table,
    one_line,
    too_much_text,
)
from functions.ingest.extract.office.packages import Package, encrypted, listed, reading
from minirag.runtime.errors import ExtractionFailed

# Fonts may be made hard to copy out of a book (EPUB 3.3, 4.3); every other cipher locks the text.
_FONT_CIPHERS: Final = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_CHAPTERS: Final = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document")
_NCX: Final = "application/x-dtbncx+xml"
# Around a chapter's own heading or notes; on a web page the same would be the site's.
_MARGINS: Final = re.compile(rb"<(/?)(?:header|footer)\b", re.IGNORECASE)


class _Item(NamedTuple):
    path: str
    media_type: str
    properties: str


def extract(data: bytes) -> Document:
    """The text of a book: its chapters in reading order, what stands outside that order (notes) behind them.

    Headings are the chapters' own; a chapter without any has its title in the table of contents, which itself is left
    out. Raises ExtractionFailed with code `broken_epub`, `encrypted`, or those of `packages`.
    """
    with reading("EPUB book", "an e-book reader", "broken_epub"):
        return _Book(Package(data)).document()


class _Book:
    def __init__(self, package: Package) -> None:
        self._package = package
        if "META-INF/encryption.xml" in package:
            methods = package.xml("META-INF/encryption.xml").iterfind("{*}EncryptedData/{*}EncryptionMethod")
            if any(method.get("Algorithm") not in _FONT_CIPHERS for method in methods):
                raise encrypted()
        rootfile = next(package.xml("META-INF/container.xml").iter("{*}rootfile"), None)
        if rootfile is None:
            raise LookupError("container.xml names no rootfile")
        self._path = unquote(rootfile.get("full-path", ""))
        self._root = package.xml(self._path)
        self._items = {
            item.get("id", ""): _Item(
                _resolved(self._path, item.get("href", "")), item.get("media-type", ""), item.get("properties", "")
            )
            for item in self._root.iterfind("{*}manifest/{*}item")
        }

    def document(self) -> Document:
        labels = dict(reversed(list(self._labels())))  # of two labels for one file the first counts
        parts: list[str] = []
        headings: list[Heading] = []
        tables: list[Table] = []
        missing: list[str] = []
        end = 0
        for path in self._chapters():
            if path not in self._package:
                missing.append(posixpath.basename(path))
                continue
            chapter = _chapter(self._package.read(path))
            if not chapter.text:
                continue
            start = end + (2 if parts else 0)
            end = start + len(chapter.text)
            if end > MAX_CHARACTERS:
                raise too_much_text()
            parts.append(chapter.text)
            own = [replace(heading, start=start + heading.start) for heading in chapter.headings]
            if not own and path in labels:
                own = [Heading(start, *labels[path])]
            headings += own
            tables += (Table(start + table.start, start + table.end) for table in chapter.tables)
        title = one_line(self._root.findtext("{*}metadata/{http://purl.org/dc/elements/1.1/}title") or "")
        return Document(
            "epub",
            "\n\n".join(parts),
            headings=tuple(headings),
            tables=tuple(tables),
            title=title,
            notes=tuple(listed("Chapters missing from the file", missing)),
        )

    def _chapters(self) -> list[str]:
        """The files of the spine, each once, those outside the linear order last, without the table of contents."""
        contents = {
            _resolved(self._path, part.get("href", ""))
            for part in self._root.iterfind("{*}guide/{*}reference")
            if part.get("type") == "toc" and "#" not in part.get("href", "")
        }
        linear: list[str] = []
        aside: list[str] = []
        for entry in self._root.iterfind("{*}spine/{*}itemref"):
            item = self._items.get(entry.get("idref", ""))
            if item and item.media_type in _CHAPTERS and "nav" not in item.properties.split():
                (aside if entry.get("linear") == "no" else linear).append(item.path)
        chapters = list(dict.fromkeys(linear + aside))
        return [path for path in chapters if path not in contents] or chapters

    def _labels(self) -> Iterator[tuple[str, tuple[int, str]]]:
        """(file, (level, title)) of each entry of the table of contents, in its order."""
        for item in self._items.values():
            if item.path in self._package and "nav" in item.properties.split():
                yield from self._entries(item.path, "a", "ol", "href")
            elif item.path in self._package and item.media_type == _NCX:
                yield from self._entries(item.path, "navPoint", "navPoint", "src")

    def _entries(self, path: str, entry: str, level: str, target: str) -> Iterator[tuple[str, tuple[int, str]]]:
        try:
            root = self._package.xml(path)
        except etree.XMLSyntaxError:
            return  # a book can be read without its table of contents
        for element in root.iter(f"{{*}}{entry}"):
            holder = element if entry == "a" else element.find("{*}content")
            label = element if entry == "a" else element.find("{*}navLabel")
            title = None if label is None else one_line("".join(label.itertext()))
            if holder is not None and title:
                depth = sum(1 for _ in element.iterancestors(f"{{*}}{level}")) + (entry != "a")
                yield _resolved(path, holder.get(target, "")), (min(9, max(1, depth)), title)


def _resolved(base: str, href: str) -> str:
    """The path inside the book of what a file refers to, without the place in it."""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(base), unquote(href.partition("#")[0]))).lstrip("/")


def _chapter(data: bytes) -> Document:
    try:
        return html.extract(_MARGINS.sub(rb"<\1div", data))
    except ExtractionFailed as error:
        if error.code == "broken_html":  # a file without any content, as covers are
            return Document("html", "")
        raise
