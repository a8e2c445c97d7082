"""The state folder of the system on one machine: `.local/`, or where MINIRAG_HOME points.

lock          held while a system runs; says which
secrets.json  passwords and keys, made once (0600)
dev.env       how to reach the running system (0600); gone when it stops
postgres/     the database          s3/, sqs/  objects and messages          logs/  one file a child
"""

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

REPOSITORY: Final = Path(__file__).resolve().parent.parent


class StackError(Exception):
    """What ends a command; the message is one sentence for the person at the terminal."""


class StartError(StackError):
    """Something cannot be started."""


class HomeInUseError(StartError):
    """Another process runs the system of this home."""


class Secrets:
    """Named secrets in one file of mode 0600, each made on first use and kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str, make: Callable[[], str] = secrets.token_urlsafe) -> str:
        """Return the secret of this name; the first time, make and keep it."""
        known: dict[str, str] = json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        if name not in known:
            known[name] = make()
            write_private(self._path, json.dumps(known, indent=1))
        return known[name]


def write_private(path: Path, text: str) -> None:
    """Replace a file by one of mode 0600, atomically: readers find the old text or the new."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


class Home:
    """One state folder. As a context manager it is locked: one running system a home."""

    def __init__(self, folder: Path | None = None) -> None:
        """Name the folder; nothing is made before it is locked. None: MINIRAG_HOME, else .local in the repository."""
        self.folder = folder or Path(os.environ.get("MINIRAG_HOME") or REPOSITORY / ".local").absolute()
        self.secrets = Secrets(self.folder / "secrets.json")
        self.dev_env = self.folder / "dev.env"
        self._lock_path = self.folder / "lock"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make the folder and lock it; raises HomeInUseError, or StartError if it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StartError(
                f"The state folder {self.folder} cannot be used ({error.strerror}); set MINIRAG_HOME to one that can."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            runner = os.read(lock, 100).decode().strip() or "another process"
            os.close(lock)
            raise HomeInUseError(
                f"Mini-RAG already runs in {self.folder} ({runner}); "
                "stop it first, or set MINIRAG_HOME to another folder."
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"process {os.getpid()}\n".encode())
        self._lock = lock
        self.dev_env.unlink(missing_ok=True)  # of a system that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dev_env.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def private_folder(self, name: str) -> Path:
        """Return a folder of the home that only this user may enter (0700)."""
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        """Return the log file of a child; what it wrote the last time is kept as `<name>.log.1`."""
        path = self.private_folder("logs") / f"{name}.log"
        with suppress(FileNotFoundError):
            path.replace(path.with_suffix(".log.1"))
        return path

    def write_dev_env(self, variables: Mapping[str, str]) -> None:
        """Say how to reach the system: one NAME=value a line, quoted for a shell. Only once all of it is ready."""
        write_private(self.dev_env, "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))

    def read_dev_env(self) -> dict[str, str]:
        """Return the variables of the running system; raises FileNotFoundError if there is none."""
        assignments = shlex.split(self.dev_env.read_text("utf-8"))
        return {name: value for name, _, value in (one.partition("=") for one in assignments)}
