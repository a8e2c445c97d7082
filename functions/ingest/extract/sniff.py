"""What kind of document some bytes are: by their content, not by what the sender calls them.

Runs inside HTTP requests, before anything is stored, so it looks at a few places only and imports no library.
"""

import re
from pathlib import PurePath
from typing import Final

from functions.ingest.extract.charset import unicode_encoding
from functions.ingest.extract.document import DocumentType
from minirag.runtime.errors import Unprocessable, UnsupportedType

ACCEPTED: Final = (
    "PDF, Word, PowerPoint and Excel (.docx, .pptx, .xlsx), OpenDocument, RTF, EPUB, HTML, Markdown, CSV, JSON, XML, "
    "e-mail (.eml), Jupyter notebooks, source code, plain text, and ZIP archives of these"
)

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

# What a ZIP's directory names, most telling first; see ECMA-376 and EPUB 3.3.
_ZIP_CONTENTS: Final[tuple[tuple[bytes, DocumentType], ...]] = (
    (b"word/document", "docx"),
    (b"xl/workbook", "xlsx"),
    (b"ppt/presentation", "pptx"),
    (b"META-INF/container.xml", "epub"),
)
# What an OpenDocument package declares, uncompressed, in its first entry (ODF 1.3 part 2, 3.3); templates as well.
_OPEN_DOCUMENT: Final = b"mimetypeapplication/vnd.oasis.opendocument."
_OPEN_DOCUMENT_KINDS: Final[tuple[tuple[bytes, DocumentType], ...]] = (
    (b"text", "odt"),
    (b"spreadsheet", "ods"),
    (b"presentation", "odp"),
)

_CODE: Final = (
    ".py .pyi .js .mjs .cjs .jsx .ts .tsx .java .kt .kts .scala .groovy .c .h .cc .cpp .cxx .hpp .cs .go .rs .swift"
    " .m .mm .rb .php .pl .pm .lua .r .jl .sh .bash .zsh .ps1 .bat .sql .proto .graphql .tf .css .scss .less .vue"
    " .svelte .toml .yaml .yml .ini .cfg .conf .properties .gradle .cmake .mk .dockerfile .tex .diff .patch .ex .exs"
    " .erl .hs .ml .clj .dart .nim .zig .asm .s .v .vhd .sol"
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
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".geojson": "json",
    ".ipynb": "ipynb",
    ".xml": "xml",
    ".svg": "xml",
    ".eml": "eml",
    ".mht": "eml",
    ".mhtml": "eml",
    **dict.fromkeys(_CODE.split(), "code"),
}
_HTML: Final = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?(?:<!--.*?-->\s*+)*+<(?:!doctype\s++html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_XML: Final = re.compile(rb"\s*<\?xml\s")
# The first lines of a message (RFC 5322): nothing but header fields, of which some only messages have.
_MESSAGE: Final = re.compile(
    rb"(?:[!-9;-~]++:[^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*+\r?\n){0,100}?"
    rb"(?:Received|Return-Path|Message-ID|MIME-Version|Delivered-To):",
    re.IGNORECASE,
)
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
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if head.startswith(b"%!PS"):
        raise _refusal(name, "a PostScript file")
    encoding = unicode_encoding(head)
    if encoding:
        head = head.decode(encoding, errors="replace").removeprefix("\ufeff").encode()
    if _has_controls(head):
        raise _refusal(name, "binary data")
    return _sniff_text(head, suffix)


def _sniff_text(head: bytes, suffix: str) -> DocumentType:
    kind = _TEXT_KINDS.get(suffix)
    if kind not in (None, "xml", "code"):
        return kind
    # A page that a program made is a page, whatever the program's ending.
    if _HTML.match(head):
        return "html"
    if kind:
        return kind
    if _XML.match(head):
        return "xml"
    return "eml" if _MESSAGE.match(head) else "text"


def _sniff_zip(data: bytes, name: str) -> DocumentType:
    # The directory at the end names the entries; where it is missing (a truncated file), their own headers do.
    end = data.rfind(b"PK\x05\x06")
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    directory = data if end < 0 or size > end else data[end - size : end]
    if (at := data.find(_OPEN_DOCUMENT, 30, 200)) > 0:
        declared = data[at + len(_OPEN_DOCUMENT) :][:20]
        for prefix, kind in _OPEN_DOCUMENT_KINDS:
            if declared.startswith(prefix):
                return kind
        raise _refusal(name, "an OpenDocument drawing or chart")
    for entry, kind in _ZIP_CONTENTS:
        if entry in directory:
            return kind
    if b"[Content_Types].xml" in directory and b"word/" in directory:
        return "docx"
    return "zip"


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
