"""PDF: pypdfium2 reads it; pypdf reads the pages, or files, that PDFium gets wrong."""

import logging
import re
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Final

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from functions.ingest.extract.document import (
    MAX_CHARACTERS,
    Document,
    Heading,
    Page,
    normalise,
    one_line,
    too_much_text,
)
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

# What pypdf raises, besides its own errors, on files that break the format's rules.
_PYPDF_ERRORS: Final = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, OSError, RecursionError,
    TypeError, ValueError, zlib.error,
)  # fmt: skip


def extract(data: bytes) -> Document:
    """The text of a PDF page by page, with the outline as headings.

    Raises ExtractionFailed with code `encrypted` (a password is needed), `broken_pdf`, `no_text_layer` (scans) or
    `too_much_text`.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    fallback = _Fallback(data)
    outline: list[tuple[int, int, str]] = []
    title = None
    try:
        with pypdfium2.PdfDocument(data) as pdf:
            texts = _bounded(_page_texts(pdf, fallback))
            outline = list(_outline(pdf))
            title = pdf.get_metadata_value("Title")
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise ExtractionFailed(
                "This PDF is protected with a password. Save it without one and upload it again.", code="encrypted"
            ) from error
        texts = _bounded(fallback.pages())
    text, pages = _join(texts)
    if not text:
        raise ExtractionFailed(
            "No text could be read from this PDF: it holds only images of pages (a scan), or fonts that do not say "
            "which characters they show. Run it through OCR and upload the result.",
            code="no_text_layer",
        )
    if title and _FILE_NAME.search(title.strip()):
        title = None  # a left-over of the program that made the file
    return Document("pdf", text, pages, _headings(outline, text, pages), one_line(title or ""))


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
        for index in range(self._page_count):
            yield self.page(index) or ""


def _page_texts(pdf: pypdfium2.PdfDocument, fallback: _Fallback) -> Iterator[str]:
    has_forms = pdf.get_formtype() != pdfium.FORMTYPE_NONE
    for index in range(len(pdf)):
        try:
            text = _pdfium_text(pdf, index, has_forms)
        except pypdfium2.PdfiumError:
            yield fallback.page(index) or ""
            continue
        damage = _damage(text)
        if damage > 0.1 or _RIGHT_TO_LEFT.search(text):
            other = fallback.page(index)
            if other and _damage(other) <= damage:
                text, damage = other, _damage(other)
        yield _legible(text) if damage > 0.1 else text


def _pdfium_text(pdf: pypdfium2.PdfDocument, index: int, has_forms: bool) -> str:
    page = pdf[index]
    if has_forms:
        # What was filled into a form lies in annotations; flattening makes it part of the page.
        pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
        page.close()
        page = pdf[index]
    text_page = page.get_textpage()
    text: str = text_page.get_text_range()
    text_page.close()
    page.close()
    return text.replace(_HYPHEN, "")


def _damage(text: str) -> float:
    """The share of a text's characters that stand for nothing a person could read."""
    return sum(map(len, _DAMAGE.findall(text))) / max(1, len("".join(text.split())))


def _legible(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if _damage(line) < 0.3)


def _bounded(texts: Iterator[str]) -> list[str]:
    pages, characters = [], 0
    for text in texts:
        pages.append(normalise(text))
        characters += len(pages[-1])
        if characters > MAX_CHARACTERS:
            raise too_much_text()
    return pages


def _join(texts: list[str]) -> tuple[str, tuple[Page, ...]]:
    """One text with a blank line between pages, and where each page lies in it."""
    parts: list[str] = []
    pages: list[Page] = []
    end = 0
    for number, text in enumerate(texts, start=1):
        if text and parts:
            parts.append("\n\n")
            end += 2
        pages.append(Page(number, end, end + len(text)))
        parts.append(text)
        end += len(text)
    return "".join(parts), tuple(pages)


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
