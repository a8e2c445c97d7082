"""The program that reads one document inside the sandbox.

    python -m functions.ingest.extract.child TYPE CPU_SECONDS MEMORY_BYTES

The document comes on stdin; one JSON object goes to stdout: {"document": …} or {"error": {"code", "detail"}}, and in
it, under "enforced", which bounds hold.
"""

import json
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast

from functions.ingest.extract.confine import Limits, confine, libraries
from functions.ingest.extract.document import MAX_CHARACTERS, Document, DocumentType, dump, too_much_text
from functions.ingest.extract.formats import extractor
from minirag.runtime.errors import ExtractionFailed

# Six bytes a character at the very worst (escaped in JSON), and room for headings and pages.
MAX_OUTPUT: Final = 6 * MAX_CHARACTERS + 32 * 1024 * 1024

TOO_MUCH_MEMORY: Final = "This document needs more memory to read than is allowed. Split it and upload the parts."


def _check_length(document: Document) -> None:
    if len(document.text) > MAX_CHARACTERS:
        raise too_much_text()
    if not document.text.strip() and not document.unread:
        raise ExtractionFailed("This document holds no text.", code="no_text")


def read(extract: Callable[[bytes], Document], file: BinaryIO) -> dict[str, Any]:
    """What came of reading the document, as plain JSON values."""
    try:
        document = extract(file.read())
        _check_length(document)
    except ExtractionFailed as error:
        return {"error": {"code": error.code, "detail": error.detail}}
    except MemoryError:
        return {"error": {"code": "too_much_memory", "detail": TOO_MUCH_MEMORY}}
    except RecursionError:
        detail = "This document is nested too deeply to be read. Save it anew in a simpler form and upload it again."
        return {"error": {"code": "too_deep", "detail": detail}}
    return {"document": dump(document)}


def main(extract: Callable[[bytes], Document], cpu_seconds: int, memory_bytes: int) -> None:
    """Confine this process, read the document on stdin with `extract`, write the answer to stdout."""
    enforced = confine(Limits(memory_bytes, cpu_seconds, MAX_OUTPUT), libraries())
    result = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not mix with the result
    answer = read(extract, sys.stdin.buffer)
    json.dump(answer | {"enforced": enforced}, result, ensure_ascii=False)


if __name__ == "__main__":
    # The module is imported before the process is confined, so that its libraries are there.
    main(extractor(cast("DocumentType", sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
