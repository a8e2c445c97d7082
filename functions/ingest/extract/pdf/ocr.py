"""Reading pages that hold no text but images of it, with Tesseract, if that program is installed.

What reads documents may not start programs. So for each page the parent starts two more confined processes: one draws
the page, the other becomes Tesseract, the only program (with the system's loader) that Landlock lets it execute.
Between them goes an unlinked file that the parent does not look into; what it gets is text.
"""

import math
import shutil
import subprocess
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import IO, Final

from functions.ingest.extract.document import Document, Heading, Page, Table, listed, normalise
from functions.ingest.extract.process import run

_RENDER: Final = "functions.ingest.extract.pdf.render"
_RECOGNISE: Final = "functions.ingest.extract.pdf.recognise"
# A dense page takes 3 to 5 s for one language.
_PAGE_SECONDS: Final = 30.0
# With less time left no page is begun.
_LEAST_SECONDS: Final = 2.0
_MAX_PAGE_BYTES: Final = 1_000_000


def complete(document: Document, source: IO[bytes], pages: int, *, deadline: float, memory_bytes: int) -> Document:
    """The document with the text of up to `pages` of its unread pages, as far as the time (monotonic) suffices.

    Notes say which pages were read this way and which hold text that was not.
    """
    program = tesseract()
    texts: dict[int, str] = {}
    for number in document.unread[:pages] if program else ():
        seconds = min(deadline - monotonic(), _PAGE_SECONDS)
        if seconds < _LEAST_SECONDS:
            break
        text = _read(source, number, program or "", seconds, memory_bytes)
        if text is not None:
            texts[number] = text
    found = [number for number, text in texts.items() if text]
    unread = tuple(number for number in document.unread if number not in texts)
    notes = list(document.notes)
    if found:
        notes.append(f"The text of {listed(found)} was read from images (OCR) and may hold mistakes.")
    if unread:
        notes.append(f"Not read: {listed(unread)}, with images of text (scans) or fonts that do not name characters.")
    return replace(with_pages(document, texts), notes=tuple(notes), unread=unread)


@cache
def tesseract() -> str | None:
    """Where the program is; None: it is not installed."""
    found = shutil.which("tesseract")
    return str(Path(found).resolve()) if found else None


@cache
def languages(program: str) -> str:
    """What the program can read, as its option -l takes it: all that is installed with it."""
    listing = subprocess.run(
        [program, "--list-langs"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
    ).stdout
    return "+".join(name for name in listing.splitlines()[1:] if name not in ("osd", "equ")) or "eng"


def _read(source: IO[bytes], number: int, program: str, seconds: float, memory_bytes: int) -> str | None:
    """The text that the image of a page shows, which may be none; None if the page could not be read."""
    end = monotonic() + seconds
    bounds = [str(math.ceil(seconds)), str(memory_bytes)]
    with TemporaryFile() as image, TemporaryFile() as result:
        if run(_RENDER, [str(number), *bounds], source, image, seconds=seconds).status != 0:
            return None
        arguments = [program, languages(program), *bounds]
        if run(_RECOGNISE, arguments, image, result, seconds=max(0.1, end - monotonic())).status != 0:
            return None
        result.seek(0)
        return normalise(result.read(_MAX_PAGE_BYTES).decode("utf-8", errors="replace"))


def with_pages(document: Document, texts: Mapping[int, str]) -> Document:
    """The document with these texts on the pages of these numbers, where they say more than what is there."""
    parts: list[str] = []
    pages: list[Page] = []
    end = 0
    replaced = set()
    for page in document.pages:
        text = document.text[page.start : page.end]
        if len(texts.get(page.number, "")) > len(text):
            text = texts[page.number]
            replaced.add(page.number)
        if text and parts:
            parts.append("\n\n")
            end += 2
        pages.append(Page(page.number, end, end + len(text)))
        parts.append(text)
        end += len(text)
    starts = [page.start for page in document.pages]

    def moved(start: int) -> tuple[int, bool]:
        """Where that place is now, and whether it is still the same text."""
        at = bisect_right(starts, start) - 1
        kept = pages[at].number not in replaced
        return pages[at].start + (start - starts[at] if kept else 0), kept

    headings = [Heading(moved(one.start)[0], one.level, one.title) for one in document.headings]
    tables = [
        Table(moved(one.start)[0], moved(one.start)[0] + one.end - one.start)
        for one in document.tables
        if moved(one.start)[1]
    ]
    return replace(document, text="".join(parts), pages=tuple(pages), headings=tuple(headings), tables=tuple(tables))
