"""What extraction yields: the canonical text of a document, with its pages and headings.

Every offset in the product is a code point offset into `Document.text`, which never changes once a version of the
source is stored. That is why the text is normalised before any offset is taken, and only then.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from minirag.runtime.errors import ExtractionFailed

DocumentType = Literal[
    "pdf", "docx", "pptx", "xlsx", "csv", "odt", "ods", "odp", "rtf", "epub", "html", "markdown", "text", "json", "xml",
    "eml", "ipynb", "code", "zip",
]  # fmt: skip

# About 7,000 printed pages. A 40 KB PDF can yield twice as much.
MAX_CHARACTERS: Final = 20_000_000

_LINE_BREAKS: Final = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_REMOVED: Final = re.compile("[\0\ufeff]")  # NUL, which PostgreSQL refuses; byte order marks of joined files
_CONTROLS: Final = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_BLANK_LINES: Final = re.compile("\n{3,}")


@dataclass(frozen=True, slots=True)
class Page:
    """Page `number` (from 1) is text[start:end]; a page without text has start == end."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1 (highest) to 9 that governs the text from `start` to the next one."""

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table is text[start:end]: each of its lines is a row, its cells separated by ` | `."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document's canonical text and its structure.

    `pages` is empty where the format has none. Two pages with text are separated by one blank line, which belongs to
    neither. `headings` and `tables` are in the order of the text. `title` is what the file itself declares; it lies
    outside `text`. `notes` say, in sentences for a person, what of the file is not in `text` and why.
    `unread` are the numbers of pages that show more than their text says: scans, and fonts without characters.
    """

    type: DocumentType
    text: str
    pages: tuple[Page, ...] = ()
    headings: tuple[Heading, ...] = ()
    tables: tuple[Table, ...] = ()
    title: str | None = None
    notes: tuple[str, ...] = ()
    unread: tuple[int, ...] = ()


def too_much_text() -> ExtractionFailed:
    """The error for a document of more than MAX_CHARACTERS characters."""
    return ExtractionFailed(
        f"This document holds more than {MAX_CHARACTERS // 1_000_000} million characters. "
        "Split it and upload the parts.",
        code="too_much_text",
    )


def no_text_layer() -> ExtractionFailed:
    """The error for a PDF that shows pages but says nothing of their text."""
    return ExtractionFailed(
        "No text could be read from this PDF: it holds only images of pages (a scan), or fonts that do not say "
        "which characters they show. Run it through OCR and upload the result.",
        code="no_text_layer",
    )


def listed(numbers: Sequence[int]) -> str:
    """Pages as a person lists them: page 3; pages 1-4, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"page{'s' if len(numbers) > 1 else ''} {shown}"


def normalise(text: str) -> str:
    """The canonical form of a text: storable, with plain line ends and at most one blank line in a row.

    NUL and byte order marks are dropped, other control characters but tabs become spaces, lone surrogates become
    U+FFFD, every kind of line end becomes LF, and blanks before it go. Normalising twice changes nothing.
    """
    text = _REMOVED.sub("", _LINE_BREAKS.sub("\n", text))
    text = _SURROGATES.sub("\ufffd", _CONTROLS.sub(" ", text))
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def one_line(text: str, limit: int = 300) -> str | None:
    """A title or heading as one line of at most `limit` characters; None if it is blank."""
    return " ".join(normalise(text).split())[:limit] or None


def dump(document: Document) -> dict[str, Any]:
    """The document as plain JSON values, for `load`."""
    return asdict(document)


def load(values: dict[str, Any]) -> Document:
    """The document that `dump` took apart."""
    return Document(
        type=values["type"],
        text=values["text"],
        pages=tuple(Page(**page) for page in values["pages"]),
        headings=tuple(Heading(**heading) for heading in values["headings"]),
        tables=tuple(Table(**table) for table in values["tables"]),
        title=values["title"],
        notes=tuple(values["notes"]),
        unread=tuple(values["unread"]),
    )
