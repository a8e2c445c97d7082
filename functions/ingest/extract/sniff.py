"""What kind of document some bytes are: by their content, not by what the sender calls them.

Runs inside HTTP requests, before anything is stored, so it looks at a few places only and imports no library.
"""

import re
from pathlib import PurePath
from typing import Final

from functions.ingest.extract.charset import unicode_encoding
from functions.ingest.extract.document import DocumentType
from minirag.runtime.errors import Unprocessable, UnsupportedType

ACCEPTED: Final = "PDF, Word (.docx), HTML, Markdown and plain text"

# (offset, bytes, what it is), from the formats' specifications.
_SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"\0\0\1\0", "an icon"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftyp", "a video or a HEIC image"),
    (0, b"RIFF", "an audio or video file"),
    (0, b"OggS", "an audio or video file"),
    (0, b"ID3", "an MP3 audio file"),
    (0, b"fLaC", "a FLAC audio file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (0, b"\x7fELF", "an executable"),
    (0, b"MZ", "a Windows executable"),
    (0, b"\xcf\xfa\xed\xfe", "a macOS executable"),
    (0, b"\xca\xfe\xba\xbe", "an executable"),
    (0, b"\0asm", "a WebAssembly module"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"PAR1", "a Parquet table"),
)
_TEXT_SIGNATURES: Final = (
    (b"%!PS", "a PostScript file"),
    (b"{\\rtf", "a rich text (.rtf) document"),
)

# What a ZIP's directory names, most telling first: (name, what it is); see ECMA-376, ODF 1.3 part 2, EPUB 3.3.
_ZIP_CONTENTS: Final = (
    (b"xl/workbook", "an Excel workbook"),
    (b"ppt/presentation", "a PowerPoint presentation"),
    (b"META-INF/container.xml", "an EPUB book"),
    (b"content.xml", "an OpenDocument file"),
)

_TEXT_KINDS: Final[dict[str, DocumentType]] = {
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}
_TEXT_FORMATS_REFUSED: Final = {
    ".csv": "a CSV table",
    ".tsv": "a TSV table",
    ".json": "JSON data",
    ".jsonl": "JSON data",
    ".ndjson": "JSON data",
    ".ipynb": "a Jupyter notebook",
    ".xml": "XML data",
    ".svg": "an SVG image",
    ".eml": "an e-mail message",
    ".mbox": "a mailbox",
    ".mht": "a web archive",
    ".mhtml": "a web archive",
}
_HTML: Final = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?(?:<!--.*?-->\s*+)*+<(?:!doctype\s++html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_XML: Final = re.compile(rb"\s*<\?xml\s")
# Control characters that no text holds: all but backspace, tab, LF, VT, FF, CR, SUB (the end of a DOS file) and ESC.
_BINARY_BYTES: Final = bytes({*range(0x20)} - {0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1A, 0x1B})
_HEAD: Final = 4096


def sniff(data: bytes, name: str) -> DocumentType:
    """The type of a document, decided by its content; `name` only decides between kinds of text.

    Raises UnsupportedType, saying what the file seems to be, for anything but the accepted types, and Unprocessable
    with code `empty_file` for no bytes at all.
    """
    if not data:
        raise Unprocessable(f"{_shown(name)} is empty: it has no bytes. Upload the file again.", code="empty_file")
    head = data[:_HEAD]
    suffix = PurePath(name).suffix.lower()
    # The header may follow some junk (PDF 32000-1, annex H), but a text that only mentions it is no PDF.
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-") or (suffix == ".pdf" and b"%PDF-" in head[:1024]):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _sniff_zip(data, name)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise _refusal(name, _ole_content(data))
    for offset, signature, what in _SIGNATURES:
        # A signature of letters may begin a text too ("BMW …"); no binary format goes without control characters.
        if head.startswith(signature, offset) and (not signature.isascii() or _has_controls(head)):
            raise _refusal(name, what)
    for signature, what in _TEXT_SIGNATURES:
        if head.startswith(signature):
            raise _refusal(name, what)
    encoding = unicode_encoding(head)
    if encoding:
        head = head.decode(encoding, errors="replace").removeprefix("\ufeff").encode()
    if _has_controls(head):
        raise _refusal(name, "binary data")
    return _sniff_text(head, suffix, name)


def _sniff_text(head: bytes, suffix: str, name: str) -> DocumentType:
    if suffix in _TEXT_KINDS:
        return _TEXT_KINDS[suffix]
    if _HTML.match(head):
        return "html"
    if suffix in _TEXT_FORMATS_REFUSED:
        raise _refusal(name, _TEXT_FORMATS_REFUSED[suffix])
    if _XML.match(head):
        raise _refusal(name, "XML data")
    return "text"


def _sniff_zip(data: bytes, name: str) -> DocumentType:
    # The directory at the end names the entries; where it is missing (a truncated file), their own headers do.
    end = data.rfind(b"PK\x05\x06")
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    directory = data if end < 0 or size > end else data[end - size : end]
    if b"word/document" in directory:
        return "docx"
    for entry, what in _ZIP_CONTENTS:
        if entry in directory:
            raise _refusal(name, what)
    if b"[Content_Types].xml" in directory and b"word/" in directory:
        return "docx"
    raise _refusal(name, "a ZIP archive", "Unpack it and upload the documents in it one by one.")


def _ole_content(data: bytes) -> str:
    def holds(entry: str) -> bool:
        return entry.encode("utf-16-le") in data

    if holds("EncryptedPackage"):
        return "an Office document protected with a password (save it without one)"
    if holds("WordDocument"):
        return "a Word 97-2003 document (save it as .docx)"
    return "a legacy Office document (save it in a current format)"


def _has_controls(head: bytes) -> bool:
    return len(head) - len(head.translate(None, _BINARY_BYTES)) > len(head) * 0.05


def _shown(name: str) -> str:
    printable = "".join(character if character.isprintable() else "�" for character in name[:100])
    return f"“{printable}”" if printable.strip() else "The file"


def _refusal(name: str, what: str, advice: str = "") -> UnsupportedType:
    return UnsupportedType(f"{_shown(name)} seems to be {what}. Accepted are {ACCEPTED}. {advice}".strip())
