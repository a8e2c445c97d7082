"""The program that becomes Tesseract, confined: an image on stdin, its text on stdout.

python -m functions.ingest.extract.pdf.recognise PROGRAM LANGUAGES CPU_SECONDS MEMORY_BYTES
"""

import os
import sys
from pathlib import Path
from typing import Final

from functions.ingest.extract.confine import Limits, confine, libraries

_MAX_OUTPUT: Final = 4_000_000

if __name__ == "__main__":
    program, languages, cpu_seconds, memory_bytes = sys.argv[1:]
    # Where Debian and where a build of one's own keep what was trained.
    share = Path(program).parent.parent / "share"
    confine(
        Limits(int(memory_bytes), int(cpu_seconds), _MAX_OUTPUT),
        (*libraries(), str(share / "tesseract-ocr"), str(share / "tessdata")),
        program,
    )
    # One thread: others may not be had, and two processors are rarely free.
    os.execve(program, [program, "stdin", "stdout", "-l", languages], {"OMP_THREAD_LIMIT": "1"})  # noqa: S606  no shell
