"""PDF: pypdfium2 reads it; pypdf reads the pages, or files, that PDFium gets wrong."""

import logging
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from functions.ingest.extract.document import (
    MAX_CHARACTERS,
    Document,
    Heading,
    Page,
    Table,
    listed,
    no_text_layer,
    normalise,
    one_line,
    too_much_text,
)
from functions.ingest.extract.pdf.layout import Line, blocks_of, headings, lines_of
from functions.ingest.extract.pdf.visibility import take_invisible
from minirag.runtime.errors import ExtractionFailed

# Hebrew, Arabic and their presentation forms. PDFium takes ligatures apart in visual order and may reverse lines.
_RIGHT_TO_LEFT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# What comes out of a font that says nothing about the characters its glyphs stand for: raw codes or glyph names.
_DAMAGE: Final = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]|/[a-zA-Z]{1,2}[0-9]+(?=/|\\s)|\\(cid:[0-9]+\\)"
)
# PDFium's mark where a hyphen ends a line and the word goes on in the next.
_HYPHEN: Final = "\ufffe"
_FILE_NAME: Final = re.compile(
    r"(?i)\.(?:pdf|docx?|html?|txt|indd|qxd|tex|rtf|xlsx?|pptx?)$|^(?:microsoft word|untitled)\b"
)
_MAX_HEADINGS: Final = 5000
# After as many pages of which pypdf made no more sense than PDFium, it is not asked again about damaged ones.
_MAX_FUTILE: Final = 3
# Beyond, the sizes of lines are not kept to look for headings: they take memory.
_MAX_LINES: Final = 200_000
# A page costs time and an entry in the answer even without text.
MAX_PAGES: Final = 10_000

# What pypdf raises, besides its own errors, on files that break the format's rules.
_PYPDF_ERRORS: Final = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, OSError, RecursionError,
    TypeError, ValueError, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a page: its text in blocks, of which some are tables, and its lines where they are known."""

    blocks: tuple[tuple[str, bool], ...]
    lines: tuple[Line, ...] = ()
    shows_more: bool = False  # an image without text, or text that says not what it is
    dropped_invisible: bool = False


def extract(data: bytes) -> Document:
    """The text of a PDF page by page, with its tables, and with its outline or, without one, large type as headings.

    Raises ExtractionFailed with code `encrypted` (a password is needed), `broken_pdf`, `no_text_layer`
    (blank pages), `too_many_pages` or `too_much_text`. Of a scan the text is empty and the pages are `unread`.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    fallback = _Fallback(data)
    outline: list[tuple[int, int, str]] = []
    title = None
    try:
        with pypdfium2.PdfDocument(data) as pdf:
            _check_pages(len(pdf))
            read = _bounded(_pages(pdf, fallback))
            outline = list(_outline(pdf)) or headings([page.lines for page in read])
            title = pdf.get_metadata_value("Title")
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise ExtractionFailed(
                "This PDF is protected with a password. Save it without one and upload it again.", code="encrypted"
            ) from error
        read = _bounded(_Read(((text, False),)) for text in fallback.pages())
    text, pages, tables = _join(read)
    unread = tuple(number for number, page in enumerate(read, start=1) if page.shows_more)
    if not text and not unread:
        raise no_text_layer()
    if title and _FILE_NAME.search(title.strip()):
        title = None  # a left-over of the program that made the file
    return Document(
        "pdf",
        text,
        pages,
        _headings(outline, text, pages),
        tables,
        title=one_line(title or ""),
        notes=_notes(read),
        unread=unread,
    )


def _notes(read: list[_Read]) -> tuple[str, ...]:
    hidden = [number for number, page in enumerate(read, start=1) if page.dropped_invisible]
    return (f"Invisible text was left out ({listed(hidden)}).",) if hidden else ()


class _Fallback:
    """The same PDF through pypdf, opened and imported only if needed (0.2 s, and a tenth of PDFium's speed)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._opened = False
        self._page_count = 0

    def _open(self) -> None:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError

        self._errors = (PyPdfError, *_PYPDF_ERRORS)
        self._opened = True
        try:
            self._reader = PdfReader(BytesIO(self._data))
            self._page_count = len(self._reader.pages)
        except self._errors:
            self._page_count = 0

    def page(self, index: int) -> str | None:
        """The text of one page; None if pypdf cannot read it."""
        if not self._opened:
            self._open()
        if index >= self._page_count:
            return None
        try:
            return self._reader.pages[index].extract_text()
        except self._errors:
            return None

    def pages(self) -> Iterator[str]:
        """The text of all pages of a file that PDFium cannot open."""
        self._open()
        if self._page_count == 0:
            raise ExtractionFailed(
                "This PDF is damaged or cut short and cannot be opened. Check that it opens in a PDF viewer, "
                "export it anew and upload it again.",
                code="broken_pdf",
            )
        _check_pages(self._page_count)
        for index in range(self._page_count):
            yield self.page(index) or ""


def _check_pages(count: int) -> None:
    if count > MAX_PAGES:
        raise ExtractionFailed(
            f"This PDF has {count:,} pages; at most {MAX_PAGES:,} are read. Split it and upload the parts.",
            code="too_many_pages",
        )


def _pages(pdf: pypdfium2.PdfDocument, fallback: _Fallback) -> Iterator[_Read]:
    has_forms = pdf.get_formtype() != pdfium.FORMTYPE_NONE
    futile = 0
    for index in range(len(pdf)):
        try:
            read, text = _pdfium_page(pdf, index, has_forms)
        except pypdfium2.PdfiumError:
            yield _Read(((fallback.page(index) or "", False),))
            continue
        damage = _damage(text)
        if (damage > 0.1 and futile < _MAX_FUTILE) or _RIGHT_TO_LEFT.search(text):
            other = fallback.page(index)
            if other and _damage(other) <= damage:
                read, damage = replace(read, blocks=((other, False),), lines=()), _damage(other)
            futile = futile + 1 if damage > 0.1 else 0
        if damage > 0.1:
            kept = _legible("\n".join(block for block, _ in read.blocks))
            read = replace(read, blocks=((kept, False),), lines=(), shows_more=True)
        yield read


def _pdfium_page(pdf: pypdfium2.PdfDocument, index: int, has_forms: bool) -> tuple[_Read, str]:
    """What PDFium reads of a page, and its text as it comes."""
    page = pdf[index]
    if has_forms:
        # What was filled into a form lies in annotations; flattening makes it part of the page.
        pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
        page.close()
        page = pdf[index]
    shown = take_invisible(page)
    text_page = page.get_textpage()
    text: str = text_page.get_text_range()
    lines = tuple(lines_of(text_page, text, page.get_rotation()))
    text_page.close()
    page.close()
    if not text.strip():
        return _Read((), shows_more=shown.pictures), text
    blocks = tuple((block.replace(_HYPHEN, ""), table) for block, table in blocks_of(lines))
    return _Read(blocks, lines, dropped_invisible=shown.dropped_invisible), text


def _damage(text: str) -> float:
    """The share of a text's characters that stand for nothing a person could read."""
    return sum(map(len, _DAMAGE.findall(text))) / max(1, len("".join(text.split())))


def _legible(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if _damage(line) < 0.3)


def _bounded(pages: Iterable[_Read]) -> list[_Read]:
    read: list[_Read] = []
    characters, lines = 0, 0
    for page in pages:
        blocks = tuple((normal, table) for text, table in page.blocks if (normal := normalise(text)))
        characters += sum(len(text) for text, _ in blocks)
        if characters > MAX_CHARACTERS:
            raise too_much_text()
        lines += len(page.lines)
        read.append(replace(page, blocks=blocks, lines=page.lines if lines <= _MAX_LINES else ()))
    return read


def _join(read: list[_Read]) -> tuple[str, tuple[Page, ...], tuple[Table, ...]]:
    """One text with a blank line between pages, and where each page and each table lies in it."""
    parts: list[str] = []
    pages: list[Page] = []
    tables: list[Table] = []
    end = 0
    for number, page in enumerate(read, start=1):
        begin = None
        for text, is_table in page.blocks:
            between = "" if not parts else "\n\n" if begin is None else "\n"
            start = end + len(between)
            begin = start if begin is None else begin
            end = start + len(text)
            parts += (between, text)
            if is_table:
                tables.append(Table(start, end))
        pages.append(Page(number, end if begin is None else begin, end))
    return "".join(parts), tuple(pages), tuple(tables)


def _outline(pdf: pypdfium2.PdfDocument) -> Iterator[tuple[int, int, str]]:
    """(page index, level from 1, title) of each entry of the outline; cycles end at the depth limit."""
    for count, entry in enumerate(pdf.get_toc(max_depth=9)):
        destination = entry.get_dest()
        index = destination.get_index() if destination else None
        title = one_line(entry.get_title())
        if title and index is not None and not _FILE_NAME.search(title):
            yield index, entry.level + 1, title
        if count >= _MAX_HEADINGS:
            return


def _headings(outline: list[tuple[int, int, str]], text: str, pages: tuple[Page, ...]) -> tuple[Heading, ...]:
    """The outline's entries where their titles stand on their pages, or else where the page begins."""
    headings = []
    for index, level, title in outline:
        if 0 <= index < len(pages):
            page = pages[index]
            words = r"\s+".join(map(re.escape, title.split()))
            match = re.compile(words, re.IGNORECASE).search(text, page.start, page.end)
            headings.append(Heading(match.start() if match else page.start, level, title))
    return tuple(sorted(headings, key=lambda heading: heading.start))
