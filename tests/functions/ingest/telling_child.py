"""Stands in for the child of the sandbox and tells what it finds itself in."""

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from functions.ingest.extract import child
from functions.ingest.extract.document import Document


def open_files() -> list[int]:
    found = []
    for descriptor in range(256):
        with suppress(OSError):
            os.fstat(descriptor)
            found.append(descriptor)
    return found


def tell(data: bytes) -> Document:
    told = {
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "memory": resource.getrlimit(resource.RLIMIT_AS),
        "processor": resource.getrlimit(resource.RLIMIT_CPU),
        "processes": resource.getrlimit(resource.RLIMIT_NPROC),
        "files": open_files(),
        "data": data.decode(),
    }
    return Document("text", json.dumps(told))


if __name__ == "__main__":
    child.main(tell, int(sys.argv[2]), int(sys.argv[3]))
