"""Confines itself to one program, the first argument, and becomes what the others say."""

import os
import sys

from functions.ingest.extract.confine import Limits, confine, libraries

if __name__ == "__main__":
    confine(Limits(512 * 1024 * 1024, 10, 1_000_000), libraries(), sys.argv[1])
    os.execve(sys.argv[2], sys.argv[2:], {"PATH": os.defpath})
