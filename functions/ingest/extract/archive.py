"""ZIP archives: every member of a known format is read, nothing is unpacked to disk (PKWARE APPNOTE 6.3)."""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from functions.ingest.extract.document import Document
from functions.ingest.extract.nested import (
    MAX_INFLATED,
    MAX_MEMBERS,
    MAX_RATIO,
    SUSPICIOUS_BYTES,
    Members,
    Notes,
    Part,
    join,
    visible,
)
from minirag.runtime.errors import ExtractionFailed

_ENCRYPTED: Final = 0x1
_UTF8_NAME: Final = 0x800
_SEPARATORS: Final = re.compile(r"[/\\]")
_SHOWN_REASONS: Final = 5

# What zipfile and the decompressors raise for members that are damaged or compressed in ways they do not know.
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError)


def extract(data: bytes) -> Document:
    """The text of all members that can be read, each under a heading of level 1 with its path; `notes` name the others.

    Raises ExtractionFailed with code `broken_zip`, `too_large_inside` for a decompression bomb, or `nothing_to_read`
    with the reasons.
    """
    return read(data, Members())


def read(data: bytes, members: Members) -> Document:
    """As `extract`, for an archive that may itself be a member; `too_deep` if it lies too deep."""
    with members.within_archive(data):
        try:
            archive = zipfile.ZipFile(BytesIO(data))
        except _DAMAGE as error:
            raise ExtractionFailed(
                "This ZIP archive is damaged or cut short and cannot be opened. Pack it anew and upload it again.",
                code="broken_zip",
            ) from error
        with archive:
            entries = [entry for entry in archive.infolist() if _is_wanted(entry)]
            _check_sizes(entries, members)
            notes = Notes()
            parts = list(_parts(archive, entries, members, notes))
    if not parts:
        raise _nothing(notes)
    return join("zip", parts, notes=notes)


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a file that somebody put there, not one of those that systems keep for themselves."""
    *folders, name = _SEPARATORS.split(_name(entry))
    hidden = any(part.startswith(".") and part not in (".", "..") for part in (*folders, name))
    return name != "" and not hidden and "__MACOSX" not in folders


def _name(entry: zipfile.ZipInfo) -> str:
    """The name as it was meant: without the flag it is CP437 by the book and UTF-8 by the habit of many programs."""
    name = entry.orig_filename
    if not entry.flag_bits & _UTF8_NAME:
        try:
            return name.encode("cp437").decode("utf-8")
        except UnicodeError:
            return name
    return name


def _check_sizes(entries: list[zipfile.ZipInfo], members: Members) -> None:
    """Refuse, by the directory alone, what would inflate beyond all measure.

    zipfile stops reading an entry at the size the directory gives, so a directory that lies gains nothing.
    """
    dense = any(
        entry.file_size > SUSPICIOUS_BYTES and entry.file_size > MAX_RATIO * entry.compress_size for entry in entries
    )
    if dense:
        raise ExtractionFailed(
            "This archive would unpack to far more than its size allows; it was not opened.", code="too_large_inside"
        )
    inflated = sum(entry.file_size for entry in entries)
    if not members.has_room(len(entries), inflated):
        raise ExtractionFailed(
            f"This archive holds {len(entries):,} files of {inflated / 1024**2:,.0f} MB together; archives are read up "
            f"to {MAX_MEMBERS:,} files and {MAX_INFLATED // 1024**2} MB, archives within them included. "
            "Split it and upload the parts.",
            code="too_large_inside",
        )


def _parts(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], members: Members, notes: Notes) -> Iterator[Part]:
    for entry in entries:
        name = _name(entry)
        shown = visible(name)
        if entry.flag_bits & _ENCRYPTED:
            notes.add(f"“{shown}” is left out: it is encrypted.")
            continue
        try:
            data = archive.read(entry)
        except _DAMAGE:
            notes.add(f"“{shown}” is left out: it is damaged or compressed in a way that is not known.")
            continue
        document = members.read(data, name, notes)
        if document:
            yield Part(document, level=1, heading=shown)


def _nothing(notes: Notes) -> ExtractionFailed:
    reasons = list(notes)
    if not reasons:
        return ExtractionFailed("This archive holds no files. Pack it anew.", code="nothing_to_read")
    more = f" And {len(reasons) - _SHOWN_REASONS} more." if len(reasons) > _SHOWN_REASONS else ""
    return ExtractionFailed(
        f"Nothing in this archive can be read. {' '.join(reasons[:_SHOWN_REASONS])}{more}", code="nothing_to_read"
    )
