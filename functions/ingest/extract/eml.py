"""Messages (RFC 5322) and web archives (.mht, RFC 2557): headers, body and attachments (MIME, RFC 2045 to 2047)."""

import binascii
import mimetypes
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from typing import Final

from functions.ingest.extract import html
from functions.ingest.extract.charset import declared_encoding, decode
from functions.ingest.extract.document import Document, Heading, normalise, one_line
from functions.ingest.extract.nested import MAX_INFLATED, MAX_MEMBERS, Members, Notes, Part, join, visible
from minirag.runtime.errors import ExtractionFailed

_SHOWN: Final = ("From", "To", "Cc", "Date")
_USED: Final = frozenset(
    ("subject", "content-type", "content-transfer-encoding", "content-disposition", *map(str.lower, _SHOWN))
)
# A header field with the lines folded into it; and the blank line that ends the header.
_FIELD: Final = re.compile(rb"^([!-9;-~]{1,100}+)[ \t]*+:((?:[^\r\n]|\r?\n[ \t])*+)", re.MULTILINE)
_HEADER_END: Final = re.compile(rb"\r?\n\r?\n")
# Longer fields are cut: reading parameters and encoded words takes quadratic time.
_MAX_FIELD_BYTES: Final = 8_000
_MAX_HEADER_BYTES: Final = 1024 * 1024
# Real messages nest their parts 5 deep.
_MAX_PARTS_DEEP: Final = 20

_SIGNATURES: Final = frozenset(
    ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
)
_ENCRYPTED: Final = frozenset(("application/pgp-encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"))
# The types Python knows, without those of the machine it runs on.
_TYPES: Final = mimetypes.MimeTypes()
# What mail servers write about a message, as lines of text (RFC 3464, 8098, 6522).
_REPORTS: Final = frozenset(
    ("message/delivery-status", "message/disposition-notification", "message/feedback-report", "text/rfc822-headers")
)
# In base64, anything outside its alphabet is to be ignored (RFC 2045, 6.8).
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]")


def extract(data: bytes) -> Document:
    """The text of a message: its subject as title and heading, who wrote when to whom, the body, the attachments.

    The body is the plain text where there is one, else the HTML. Attachments of known formats are read, each under a
    heading with its name, and so are messages within it; `notes` name what is left out. Raises ExtractionFailed with
    code `too_deep` or `too_much_text`.
    """
    return read(data, Members())


def read(data: bytes, members: Members) -> Document:
    """As `extract`, for a message that may itself be a member."""
    with members.within_message():
        reader = _Reader(members)
        message = _parse(data.lstrip(b"\r\n"))
        head = _head(message)
        parts = [Part(head), *reader.parts(message, 0), *reader.attachments()]
    return join("eml", parts, title=head.headings[0].title if head.headings else None, notes=reader.notes)


@dataclass(frozen=True, slots=True)
class _Entity:
    """A message or a part of one: the header fields that matter here, and the bytes below them."""

    header: Message = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def type(self) -> str:
        return self.header.get_content_type()

    @property
    def filename(self) -> str | None:
        name = self.header.get_filename()
        return one_line(_words(name)) if name else None


def _parse(data: bytes) -> _Entity:
    if data.startswith((b"\n", b"\r\n")):  # a part without a header
        return _Entity(Message(), data.lstrip(b"\r\n"))
    end = _HEADER_END.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    header = Message()
    for found in _FIELD.finditer(head, 0, _MAX_HEADER_BYTES):
        name = found[1].decode("ascii")
        if name.lower() in _USED and name not in header:
            value = found[2][:_MAX_FIELD_BYTES]
            header[name] = " ".join(decode(value).split())
    return _Entity(header, body)


def _words(value: str) -> str:
    """A header's value with its encoded words (RFC 2047) decoded."""
    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    words = "".join(
        piece if isinstance(piece, str) else decode(piece, declared_encoding(charset) if charset else None)
        for piece, charset in pieces
    )
    return words if words.strip() else value


def _head(message: _Entity) -> Document:
    subject = one_line(_words(message.header.get("Subject", "")))
    lines = [f"Subject: {subject}"] if subject else []
    for name in _SHOWN:
        value = one_line(_words(message.header.get(name, "")), limit=_MAX_FIELD_BYTES)
        if value:
            lines.append(f"{name}: {value}")
    return Document("eml", normalise("\n".join(lines)), headings=(Heading(0, 1, subject),) if subject else ())


class _Reader:
    """Walks the parts of one message; the attachments wait until the body is through."""

    def __init__(self, members: Members) -> None:
        self.notes = Notes()
        self._members = members
        self._attached: list[_Entity] = []
        self._full = False

    def parts(self, entity: _Entity, depth: int) -> Iterator[Part]:
        """The texts of the body in order."""
        kind = entity.type
        if kind.startswith("multipart/"):
            yield from self._multipart(entity, kind, depth)
        elif kind in _ENCRYPTED and "signed" not in str(entity.header.get_param("smime-type", "")):
            self.notes.add("What is encrypted in this message is left out.")
        elif kind in _SIGNATURES:
            return
        elif kind in _REPORTS or (kind in ("text/plain", "text/html") and not _is_attachment(entity)):
            yield Part(self._text(entity), level=1)
        else:
            self._attached.append(entity)

    def _multipart(self, entity: _Entity, kind: str, depth: int) -> Iterator[Part]:
        if depth >= _MAX_PARTS_DEEP:
            raise ExtractionFailed(
                "The parts of this message are nested too deeply to be read. Save it anew and upload it again.",
                code="too_deep",
            )
        children = self._children(entity)
        if not children and not self._full:  # the boundary is missing, or another
            yield Part(Document("text", normalise(decode(entity.body))), level=1)
        if kind == "multipart/alternative":
            yield from self._best(children, depth)
        elif kind == "multipart/related":
            # The first is the page, the others are what it shows: pictures, styles (RFC 2387).
            for position, child in enumerate(children):
                if position == 0 or _is_attachment(child) or child.type.startswith("multipart/"):
                    yield from self.parts(child, depth + 1)
        else:
            for child in children:
                yield from self.parts(child, depth + 1)

    def _best(self, children: list[_Entity], depth: int) -> Iterator[Part]:
        """Of alternatives the first that has text, plain before HTML before others."""
        order = {"text/plain": 0, "multipart/mixed": 1, "multipart/related": 2, "text/html": 3}
        ordered = iter(sorted(children, key=lambda child: order.get(child.type, 4)))
        for child in ordered:
            parts = list(self.parts(child, depth + 1))
            yield from parts
            if any(part.document.text for part in parts):
                break
        for child in ordered:  # the others say the same, but files may hang on them
            if child.type.startswith("multipart/"):
                list(self.parts(child, depth + 1))

    def _children(self, entity: _Entity) -> list[_Entity]:
        children: list[_Entity] = []
        for start, end in _slices(entity):
            if not self._members.has_room(1, end - start):
                self._full = True
                self.notes.add(
                    f"Only the first parts of this message are read: it has more than {MAX_MEMBERS:,} or "
                    f"they come to more than {MAX_INFLATED // 1024**2} MB."
                )
                break
            # The line end after the boundary belongs to it; one more means that there is no header.
            child = _parse(entity.body[start:end].removeprefix(b"\r").removeprefix(b"\n"))
            if entity.type == "multipart/digest" and "Content-Type" not in child.header:
                child.header["Content-Type"] = "message/rfc822"  # RFC 2046, 5.1.5
            children.append(child)
        return children

    def _text(self, entity: _Entity) -> Document:
        data = _payload(entity)
        charset = str(entity.header.get_param("charset", "") or "")
        # ASCII and UTF-8 are what mailers declare that know nothing better; both are tried anyway.
        declared = None if charset.lower() in ("", "us-ascii", "ascii", "utf-8") else declared_encoding(charset)
        text = decode(data, declared)
        if entity.type == "text/html":
            try:
                return html.extract(text.encode("utf-8", errors="replace"))
            except ExtractionFailed:
                return Document("html", "")
        return Document("text", normalise(text))

    def attachments(self) -> Iterator[Part]:
        """What is attached, each under its name; messages under their subjects."""
        for number, entity in enumerate(self._attached, start=1):
            data = _payload(entity)
            suffix = ".eml" if entity.type == "message/rfc822" else _TYPES.guess_extension(entity.type) or ".txt"
            name = entity.filename or f"attachment {number}{suffix}"
            if entity.type == "message/rfc822" and not name.lower().endswith(".eml"):
                name += ".eml"
            document = self._members.read(data, name, self.notes)
            if document and document.type == "eml" and document.headings:
                yield Part(document, level=1)
            elif document:
                yield Part(document, level=2, heading=visible(name))


def _slices(entity: _Entity) -> Iterator[tuple[int, int]]:
    """Where the parts of a multipart body start and end (RFC 2046, 5.1.1); the last may be cut short."""
    boundary = entity.header.get_boundary()
    if not boundary:
        return
    escaped = re.escape(boundary.encode("utf-8", "replace"))
    start: int | None = None
    for found in re.finditer(rb"(?:\A|\r?\n)--" + escaped + rb"(--)?[ \t]*(?=\r?\n|\Z)", entity.body):
        if start is not None:
            yield start, found.start()
        if found[1]:
            return
        start = found.end()
    if start is not None:
        yield start, len(entity.body)


def _is_attachment(entity: _Entity) -> bool:
    return entity.header.get_content_disposition() == "attachment" or entity.filename is not None


def _payload(entity: _Entity) -> bytes:
    """A part's bytes with its transfer encoding undone as far as it is intact."""
    encoding = str(entity.header.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding == "quoted-printable":
        return quopri.decodestring(entity.body)
    if encoding == "base64":
        return b"".join(map(_from_base64, entity.body.split(b"=")))
    return entity.body


def _from_base64(run: bytes) -> bytes:
    """What the letters up to a padding stand for; one left over at the end stands for nothing."""
    letters = _NOT_BASE64.sub(b"", run)
    whole = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
