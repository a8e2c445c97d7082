"""A program of ours in a process of its own: without our environment, within a time, ended with all it started."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

_STDERR_TAIL: Final = 2000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: exit status (below 0: a signal; None: its time was up), processor time, end of stderr."""

    status: int | None
    cpu_seconds: float
    stderr: str


def run(
    module: str,
    arguments: Sequence[str],
    source: IO[bytes],
    result: IO[bytes],
    *,
    seconds: float,
    variables: dict[str, str] | None = None,
) -> Ended:
    """Run a module of this program with `source` from its start as stdin and `result` as stdout.

    Both are files rather than pipes: RLIMIT_FSIZE bounds what a process may write, and nobody has to read along.
    """
    source.seek(0)
    with TemporaryFile() as stderr:
        process = subprocess.Popen(
            # -S: sys.path comes with the environment; looking for it again would cost 10 ms.
            [sys.executable, "-S", "-P", "-m", module, *arguments],
            stdin=source,
            stdout=result,
            stderr=stderr,
            env=_environment() | (variables or {}),
            cwd="/",
            start_new_session=True,
        )
        cpu_seconds = 0.0
        in_time = False
        try:
            in_time = _wait(process, seconds)
        finally:
            # Before it is reaped, so that the number cannot be another's by now.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if process.returncode is None:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                cpu_seconds = usage.ru_utime + usage.ru_stime
        return Ended(process.returncode if in_time else None, cpu_seconds, _tail(stderr))


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ended within the time; where the kernel tells (Linux), it is not reaped yet."""
    if sys.platform == "linux":
        with suppress(OSError):
            descriptor = os.pidfd_open(process.pid)
            try:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                return bool(poll.poll(seconds * 1000))
            finally:
                os.close(descriptor)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _environment() -> dict[str, str]:
    """All that a Python needs to start: none of the parent's variables, which hold credentials."""
    return {
        "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path),
        "PYTHONUTF8": "1",
        # Where Lambda's interpreter has its libpython.
        "LD_LIBRARY_PATH": str(Path(sys.base_prefix) / "lib"),
    }


def _tail(stderr: IO[bytes]) -> str:
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _STDERR_TAIL))
    return stderr.read().decode("utf-8", errors="replace")
