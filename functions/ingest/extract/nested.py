"""Documents within a document: what an archive or a message holds, read by its own format and joined into one text."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

from functions.ingest.extract.document import (
    MAX_CHARACTERS,
    Document,
    DocumentType,
    Heading,
    Table,
    one_line,
    too_much_text,
)
from functions.ingest.extract.formats import HOLDING, extractor, holder
from functions.ingest.extract.sniff import sniff
from minirag.runtime.errors import ExtractionFailed, Unprocessable, UnsupportedType

# Of one uploaded file, at all depths together.
MAX_MEMBERS: Final = 1_000
MAX_INFLATED: Final = 200 * 1024 * 1024
# Text deflates by 5 to 20, tables of numbers by 100. A member both large and denser than this was made to harm.
MAX_RATIO: Final = 200
SUSPICIOUS_BYTES: Final = 20 * 1024 * 1024
MAX_ARCHIVES_DEEP: Final = 2
MAX_MESSAGES_DEEP: Final = 3

_MAX_NOTES: Final = 20
# A refusal's first sentence says what is wrong; the rest says what to do with a file of its own.
_FIRST_SENTENCE: Final = re.compile(r"(?:“[^”]*”)?.*?(?=\.(?:\s|$)|$)", re.DOTALL)


class Part(NamedTuple):
    """A document to join, its headings `level` levels lower, under a heading of that level if one is given."""

    document: Document
    level: int = 0
    heading: str | None = None


def join(kind: DocumentType, parts: Iterable[Part], *, title: str | None = None, notes: Iterable[str] = ()) -> Document:
    """The parts one below the other, with their headings and tables; their pages are left out.

    Raises ExtractionFailed with code `too_much_text`.
    """
    pieces: list[str] = []
    headings: list[Heading] = []
    tables: list[Table] = []
    end = 0

    def write(text: str) -> int:
        nonlocal end
        if pieces:
            pieces.append("\n\n")
            end += 2
        pieces.append(text)
        end += len(text)
        if end > MAX_CHARACTERS:
            raise too_much_text()
        return end - len(text)

    for part in parts:
        heading = one_line(part.heading or "")
        if heading:
            headings.append(Heading(write(heading), min(part.level, 9), heading))
        document = part.document
        if not document.text:
            continue
        start = write(document.text)
        headings += [
            replace(inner, start=start + inner.start, level=min(part.level + inner.level, 9))
            for inner in document.headings
        ]
        tables += [Table(start + table.start, start + table.end) for table in document.tables]
    return Document(
        kind, "".join(pieces), headings=tuple(headings), tables=tuple(tables), title=title, notes=tuple(notes)
    )


def visible(name: str) -> str:
    """A file's name as it can be shown: what does not print, or turns the direction of writing, by its number."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in name)[:300]


class Notes:
    """Sentences about what is left out: the first 20, and how many there are more."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._count = 0

    def add(self, note: str) -> None:
        """Take in one more sentence."""
        self._count += 1
        if self._count <= _MAX_NOTES:
            self._kept.append(note)

    def __iter__(self) -> Iterator[str]:
        """The sentences, then how many there are more."""
        yield from self._kept
        if self._count > _MAX_NOTES:
            yield f"And {self._count - _MAX_NOTES:,} more."


class Members:
    """Reads the members of one uploaded file, however deep, and counts what they amount to together."""

    def __init__(self) -> None:
        self._members = 0
        self._bytes = 0
        self._archives: list[bytes] = []
        self._messages = 0

    def has_room(self, members: int, inflated: int) -> bool:
        """Whether so many more members of so many bytes may be read; if so, they count from now on."""
        if self._members + members > MAX_MEMBERS or self._bytes + inflated > MAX_INFLATED:
            return False
        self._members += members
        self._bytes += inflated
        return True

    def read(self, data: bytes, name: str, notes: Notes) -> Document | None:
        """The document a member holds; None if it cannot be read, with the reason in `notes`."""
        shown = visible(name)
        if not data:
            notes.add(f"“{shown}” is left out: it is empty.")
            return None
        try:
            document = self._reader(sniff(data, name))(data)
        except UnsupportedType as error:
            notes.add(f"{_first_sentence(error.detail)}; it is left out.")
            return None
        except Unprocessable as error:
            # Why nothing in an archive can be read is said after that.
            sentence = error.detail.rstrip(".") if error.code == "nothing_to_read" else _first_sentence(error.detail)
            notes.add(f"“{shown}” is left out: {sentence[:1].lower()}{sentence[1:]}.")
            return None
        except RecursionError:
            notes.add(f"“{shown}” is left out: it is nested too deeply to be read.")
            return None
        for note in document.notes:
            notes.add(f"“{shown}”: {note}")
        if not document.text.strip():
            notes.add(f"“{shown}” is left out: it holds no text.")
            return None
        return document

    def _reader(self, kind: DocumentType) -> Callable[[bytes], Document]:
        if kind in HOLDING:
            read = holder(kind)
            return lambda data: read(data, self)
        return extractor(kind)

    @contextmanager
    def within_archive(self, data: bytes) -> Iterator[None]:
        """While the members of this archive are read. Raises ExtractionFailed with code `too_deep`."""
        if data in self._archives:
            raise ExtractionFailed("This archive holds itself. Upload what it should hold.", code="too_deep")
        if len(self._archives) > MAX_ARCHIVES_DEEP:
            raise ExtractionFailed(
                f"Archives within archives are read {MAX_ARCHIVES_DEEP} deep, and this one lies deeper. "
                "Unpack it and upload its files.",
                code="too_deep",
            )
        self._archives.append(data)
        try:
            yield
        finally:
            self._archives.pop()

    @contextmanager
    def within_message(self) -> Iterator[None]:
        """While a message is read. Raises ExtractionFailed with code `too_deep`."""
        if self._messages > MAX_MESSAGES_DEEP:
            raise ExtractionFailed(
                f"Messages within messages are read {MAX_MESSAGES_DEEP} deep, and this one lies deeper. "
                "Save it as a file of its own and upload that.",
                code="too_deep",
            )
        self._messages += 1
        try:
            yield
        finally:
            self._messages -= 1


def _first_sentence(detail: str) -> str:
    found = _FIRST_SENTENCE.match(detail)
    return found[0] if found else detail
