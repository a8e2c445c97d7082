"""Stands in for the child of the sandbox and tells what it finds itself in."""

import json
import os
import resource
import sys
from pathlib import Path

from functions.ingest.extract.child import confine
from functions.ingest.extract.document import Document, dump

if __name__ == "__main__":
    confine(float(sys.argv[2]), int(sys.argv[3]))
    told = {
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "memory": resource.getrlimit(resource.RLIMIT_AS),
        "processor": resource.getrlimit(resource.RLIMIT_CPU),
        "processes": resource.getrlimit(resource.RLIMIT_NPROC),
        "files": sorted(int(name) for name in os.listdir("/dev/fd")),  # noqa: PTH208  names, not paths
        "data": sys.stdin.read(),
    }
    json.dump({"document": dump(Document("text", json.dumps(told)))}, sys.stdout)
