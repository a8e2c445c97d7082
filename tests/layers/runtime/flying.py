"""Processes that want the same at once of a single flight.

    python -m tests.layers.runtime.flying TAG PROCESSES WORK_SECONDS LEASE_MS JOURNAL [die]

Prints, last, a JSON list of what each came to, null for one that was killed. Every execution is a line of the file
JOURNAL, the moment of its begin and its process; with `die` the first one ends its process by SIGKILL, halfway. The
settings are the environment's.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import redis  # noqa: F401  before there are many processes that would have to

from minirag.runtime import cache, single_flight
from minirag.runtime.single_flight import Done
from tests import flock

# On a machine with fewer cores than processes, an answer takes its time.
PATIENT_SECONDS = 10.0


def note(journal: Path) -> bool:
    """Write a line into the journal; whether it is the first."""
    line = f"{time.monotonic():.3f} {os.getpid()}\n".encode()
    with journal.open("ab", buffering=0) as file:
        file.write(line)
        return file.tell() == len(line)


def main(tag: str, processes: int, work_seconds: float, lease_ms: int, journal: Path, *, die: bool) -> None:
    cache._TIMEOUT_SECONDS = PATIENT_SECONDS  # type: ignore[misc]
    single_flight._LEASE_MS = lease_ms  # type: ignore[misc]

    def work() -> Done:
        first = note(journal)
        time.sleep(work_seconds / 2)
        if die and first:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(work_seconds / 2)
        return Done(f"by {os.getpid()}".encode(), 60)

    def fly(_: int) -> object:
        value, cached = single_flight.once("flight", tag, work, seconds=60)
        return {"value": value.decode(), "cached": cached, "ended": time.monotonic()}

    print(json.dumps(flock.run(processes, fly)))


if __name__ == "__main__":
    tag, processes, work_seconds, lease_ms, journal, *more = sys.argv[1:]
    main(tag, int(processes), float(work_seconds), int(lease_ms), Path(journal), die=more == ["die"])
