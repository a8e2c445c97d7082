"""Processes that are forked from this one, and begin together: for a program without threads or connections."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def run(processes: int, work: Callable[[int], object]) -> list[Any]:
    """What `work`, given its number, comes to in each of so many processes, as JSON; None from one that was killed."""
    gate, opening = os.pipe()
    children = [_child(number, work, gate, opening) for number in range(processes)]
    os.close(gate)
    os.close(opening)  # and all that wait read its end
    results = []
    for pid, out in children:
        with os.fdopen(out, "rb") as said:
            result = said.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status > 0:
            raise ChildProcessError(f"A process ended with {status}; what it said stands above.")
        results.append(json.loads(result) if status == 0 else None)
    return results


def _child(number: int, work: Callable[[int], object], gate: int, opening: int) -> tuple[int, int]:
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    try:
        os.close(opening)
        os.read(gate, 1)
        with os.fdopen(into, "wb") as said:
            said.write(json.dumps(work(number)).encode())
    except BaseException:  # noqa: BLE001  a child must not go on as its parent would
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
