"""Reading a document in a process of its own, bounded in time, memory, output and processes.

The libraries that read documents are large and, in part, C: whatever a hostile file makes them do, it happens to a
child that holds no secret, reaches no network, may write only its answer, and is killed when its time is up.
"""

import json
import math
import signal
from functools import cache
from itertools import chain
from tempfile import TemporaryFile
from time import monotonic
from typing import IO, Final

from functions.ingest.extract.child import TOO_MUCH_MEMORY
from functions.ingest.extract.confine import conceal
from functions.ingest.extract.document import Document, DocumentType, load, no_text_layer
from functions.ingest.extract.pdf import ocr
from functions.ingest.extract.process import Ended, run
from functions.ingest.extract.sniff import sniff
from minirag.runtime import telemetry
from minirag.runtime.errors import ExtractionFailed

_CHILD: Final = "functions.ingest.extract.child"
_KERNEL_BOUNDS: Final = frozenset(("no_new_privileges", "landlock", "seccomp"))

# Processor time by size. The slowest of 77 real files takes 1.0 s a MB, and pypdf alone, on dense text, 5; a start
# takes 0.1. Ten times that leaves room for slower machines and still stops what would run on for nothing.
_CPU_SECONDS: Final = 10.0
_CPU_SECONDS_PER_MB: Final = 10.0


class ChildFailed(Exception):
    """How a child ended that gave no answer: its exit status and the end of what it wrote to stderr."""


def extract(
    data: bytes,
    name: str,
    *,
    seconds: float,
    memory_bytes: int,
    ocr_pages: int = 0,
    document_type: DocumentType | None = None,
) -> Document:
    """The document in `data`, read by a child process within the limits; its type is found out unless given.

    It takes `seconds` at most, and as many of processor time, fewer for a small file. Of a PDF's scanned pages up to
    `ocr_pages` are read by OCR, where a program for that is installed.
    Raises UnsupportedType and Unprocessable as `sniff` does, and ExtractionFailed with the extractors' codes or with
    `too_long`, `too_much_memory`, `too_much_text`, `too_deep`, `no_text`, `no_text_layer` or
    `crashed`.
    """
    document_type = document_type or sniff(data, name)
    cpu_seconds = math.ceil(min(seconds, _CPU_SECONDS + _CPU_SECONDS_PER_MB * len(data) / 1_000_000))
    deadline = monotonic() + seconds
    conceal()
    # Unlinked files: nothing is left behind.
    with TemporaryFile() as source, TemporaryFile() as result:
        source.write(data)
        source.flush()
        ended = run(_CHILD, [document_type, str(cpu_seconds), str(memory_bytes)], source, result, seconds=seconds)
        if ended.status != 0:
            raise _failure(ended, seconds, cpu_seconds) from ChildFailed(ended.status, ended.stderr)
        document = _answer(result, ended)
        if document.unread:
            document = ocr.complete(document, source, ocr_pages, deadline=deadline, memory_bytes=memory_bytes)
    if not document.text:
        raise no_text_layer()
    return document


def _failure(ended: Ended, seconds: float, cpu_seconds: int) -> ExtractionFailed:
    if ended.status is None:
        return _too_long(seconds)
    # SIGKILL is for those that ignore SIGXCPU.
    if ended.status == -signal.SIGXCPU or (ended.status == -signal.SIGKILL and ended.cpu_seconds >= cpu_seconds):
        return _too_long(cpu_seconds)
    # The system kills when memory runs out; PDFium aborts, silently, when an allocation fails.
    if (
        ended.status == -signal.SIGKILL
        or (ended.status == -signal.SIGABRT and not ended.stderr)
        or ended.stderr.rstrip().endswith("MemoryError")
    ):
        return ExtractionFailed(TOO_MUCH_MEMORY, code="too_much_memory")
    return _crashed()


def _crashed() -> ExtractionFailed:
    return ExtractionFailed(
        "The program that reads documents crashed on this one; it is probably damaged. "
        "Open it, save it anew and upload it again.",
        code="crashed",
    )


def _too_long(seconds: float) -> ExtractionFailed:
    return ExtractionFailed(
        f"This document could not be read within {seconds:.0f} seconds. Split it and upload the parts.",
        code="too_long",
    )


def _answer(result: IO[bytes], ended: Ended) -> Document:
    """What the child answered, if it is an answer: a document may have taken the child over."""
    result.seek(0)
    try:
        answer = json.load(result)
        _note_missing(tuple(sorted(answer["enforced"])))
        if "error" not in answer:
            document = load(answer["document"])
            _check(document)
            return document
        code, detail = str(answer["error"]["code"])[:50], str(answer["error"]["detail"])[:1000]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _crashed() from ChildFailed(ended.status, f"{type(error).__name__} in its answer; {ended.stderr}")
    raise ExtractionFailed(detail, code=code)


def _check(document: Document) -> None:
    """Raise ValueError or TypeError unless every part has its type, every offset its place, and text can be stored."""
    size = len(document.text)
    numbers = (
        [page.number for page in document.pages] + [*document.unread] + [heading.level for heading in document.headings]
    )
    spans = [(page.start, page.end) for page in document.pages]
    spans += [(table.start, table.end) for table in document.tables]
    spans += [(heading.start, size) for heading in document.headings]
    for start, end in spans:
        if not 0 <= start <= end <= size:
            raise ValueError("an offset outside of the text")
    if not all(isinstance(number, int) for number in (*numbers, *chain.from_iterable(spans))):
        raise TypeError("a number that is none")
    for text in (
        document.type,
        document.text,
        document.title or "",
        *document.notes,
        *(heading.title for heading in document.headings),
    ):
        if b"\0" in str.encode(text):  # which PostgreSQL refuses, like what cannot be encoded: surrogates
            raise ValueError("a text with NUL")


@cache
def _note_missing(enforced: tuple[str, ...]) -> None:
    """Log, once, which of the kernel's bounds this system lacks."""
    if missing := _KERNEL_BOUNDS.difference(enforced):
        telemetry.event("extract.bounds_missing", missing=", ".join(sorted(missing)))
