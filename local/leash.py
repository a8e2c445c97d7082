"""Children that die with their parent, even when the parent is killed with SIGKILL.

Linux sends a child a signal of its choice when the *thread* that started it ends (PR_SET_PDEATHSIG in prctl(2)), so
start children from the main thread. The request is forgotten when the user changes, hence a launcher between the two,
which is this file run as a script: it becomes the other user, asks for the signal, and then becomes the command.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Final, TypeAlias

Output: TypeAlias = IO[bytes] | int | None

_PR_SET_PDEATHSIG: Final = 1
_EXIT_ORPHANED: Final = 75


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    user: str | None = None,
    last_signal: signal.Signals = signal.SIGKILL,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Output = subprocess.DEVNULL,
    stdout: Output = None,
    stderr: Output = None,
) -> subprocess.Popen[bytes]:
    """Start a command that gets `last_signal` when this process is gone; call it from the main thread.

    user: become this user first (takes root). The child leads a session of its own, so a Ctrl-C in the terminal
    reaches only the parent, which stops its children in order. A command that cannot be started exits with 126.
    """
    launcher = (sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(last_signal)), user or "")
    return subprocess.Popen(
        [*launcher, *command],
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def stop(
    process: subprocess.Popen[bytes], *, by: signal.Signals = signal.SIGTERM, patience_seconds: float = 10.0
) -> None:
    """End a child and wait until it is gone: first `by`, then, if it takes longer than its patience, SIGKILL."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def follow(parent: int, last_signal: signal.Signals = signal.SIGKILL) -> None:
    """Make this process get `last_signal` when its parent is gone; exit at once if that has happened already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(last_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(_EXIT_ORPHANED)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ.update(HOME="/", USER=user, LOGNAME=user)


def _launch(arguments: Sequence[str]) -> None:
    parent, last_signal, user, *command = arguments
    if user:
        _become(user)
    follow(int(parent), signal.Signals(int(last_signal)))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
        raise SystemExit(126) from error


if __name__ == "__main__":
    _launch(sys.argv[1:])
