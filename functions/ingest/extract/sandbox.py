"""Reading a document in a process of its own, bounded in time, memory, output and processes.

The libraries that read documents are large and, in part, C: whatever a hostile file makes them do, it happens to a
child that holds no secret, may write only so much, and is killed when its time is up.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from functions.ingest.extract.child import TOO_MUCH_MEMORY
from functions.ingest.extract.document import Document, DocumentType, load
from functions.ingest.extract.sniff import sniff
from minirag.runtime.errors import ExtractionFailed

_CHILD: Final = "functions.ingest.extract.child"
_STDERR_TAIL: Final = 2000


class ChildFailed(Exception):
    """How a child ended that gave no answer: its exit status and the end of what it wrote to stderr."""


def extract(
    data: bytes, name: str, *, seconds: float, memory_bytes: int, document_type: DocumentType | None = None
) -> Document:
    """The document in `data`, read by a child process within the limits; its type is found out unless given.

    Raises UnsupportedType and Unprocessable as `sniff` does, and ExtractionFailed with the extractors' codes or with
    `too_long`, `too_much_memory`, `too_much_text`, `too_deep`, `no_text` or `crashed`.
    """
    document_type = document_type or sniff(data, name)
    # Unlinked files rather than pipes: RLIMIT_FSIZE bounds what the child may write, and nothing is left behind.
    with TemporaryFile() as source, TemporaryFile() as result, TemporaryFile() as stderr:
        source.write(data)
        source.seek(0)
        try:
            status = subprocess.run(
                # -S: sys.path comes with the environment; looking for it again would cost 10 ms.
                [sys.executable, "-S", "-P", "-m", _CHILD, document_type, str(seconds), str(memory_bytes)],
                stdin=source,
                stdout=result,
                stderr=stderr,
                env=_environment(),
                cwd="/",
                timeout=seconds,
                start_new_session=True,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise _too_long(seconds) from error
        if status == 0:
            result.seek(0)
            return _answer(json.load(result))
        tail = _tail(stderr)
        failure = ChildFailed(status, tail)
        if status == -signal.SIGXCPU:
            raise _too_long(seconds) from failure
        # The system kills when memory runs out; PDFium aborts, silently, when an allocation fails.
        if status == -signal.SIGKILL or (status == -signal.SIGABRT and not tail):
            raise ExtractionFailed(TOO_MUCH_MEMORY, code="too_much_memory") from failure
        raise ExtractionFailed(
            "The program that reads documents crashed on this one; it is probably damaged. "
            "Open it, save it anew and upload it again.",
            code="crashed",
        ) from failure


def _environment() -> dict[str, str]:
    """All that a Python needs to start: none of the parent's variables, which hold credentials."""
    return {
        "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path),
        "PYTHONUTF8": "1",
        # Where Lambda's interpreter has its libpython.
        "LD_LIBRARY_PATH": str(Path(sys.base_prefix) / "lib"),
    }


def _too_long(seconds: float) -> ExtractionFailed:
    return ExtractionFailed(
        f"This document could not be read within {seconds:.0f} seconds. Split it and upload the parts.",
        code="too_long",
    )


def _answer(answer: dict[str, Any]) -> Document:
    if "error" in answer:
        raise ExtractionFailed(answer["error"]["detail"], code=answer["error"]["code"])
    return load(answer["document"])


def _tail(stderr: IO[bytes]) -> str:
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _STDERR_TAIL))
    return stderr.read().decode("utf-8", errors="replace")
