"""The program that reads one document inside the sandbox.

    python -m functions.ingest.extract.child TYPE SECONDS MEMORY_BYTES

The document comes on stdin; one JSON object goes to stdout: {"document": …} or {"error": {"code", "detail"}}.
"""

import json
import math
import resource
import sys
from typing import Any, BinaryIO, Final, cast

from functions.ingest.extract.document import MAX_CHARACTERS, DocumentType, dump, too_much_text
from functions.ingest.extract.formats import extractor
from minirag.runtime.errors import ExtractionFailed

# Six bytes a character at the very worst (escaped in JSON), and room for headings and pages.
_MAX_OUTPUT: Final = 6 * MAX_CHARACTERS + 32 * 1024 * 1024

TOO_MUCH_MEMORY: Final = "This document needs more memory to read than is allowed. Split it and upload the parts."


def confine(seconds: float, memory_bytes: int) -> None:
    """Give up, for good, what reading a document does not need: time, memory, files, processes."""
    cpu_seconds = math.ceil(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # At the soft limit SIGXCPU ends the process, at the hard one SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_OUTPUT, _MAX_OUTPUT))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _check_length(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise too_much_text()
    if not text.strip():
        raise ExtractionFailed("This document holds no text.", code="no_text")


def read(document_type: DocumentType, file: BinaryIO) -> dict[str, Any]:
    """What came of reading the document, as plain JSON values."""
    try:
        document = extractor(document_type)(file.read())
        _check_length(document.text)
    except ExtractionFailed as error:
        return {"error": {"code": error.code, "detail": error.detail}}
    except MemoryError:
        return {"error": {"code": "too_much_memory", "detail": TOO_MUCH_MEMORY}}
    except RecursionError:
        detail = "This document is nested too deeply to be read. Save it anew in a simpler form and upload it again."
        return {"error": {"code": "too_deep", "detail": detail}}
    return {"document": dump(document)}


if __name__ == "__main__":
    confine(float(sys.argv[2]), int(sys.argv[3]))
    result = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not mix with the result
    answer = read(cast("DocumentType", sys.argv[1]), sys.stdin.buffer)
    json.dump(answer, result, ensure_ascii=False)
