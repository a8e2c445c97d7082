"""S3 and SQS on one machine: moto's server as a child process that keeps its state on disk (`local.moto_server`)."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from infra.specs import EVENT_RECEIVES, MAX_RECEIVES, spec_of
from local import leash, ports
from local.home import REPOSITORY, StartError

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
BUCKET: Final = "minirag-local"
UPLOADS: Final = "uploads"
JOBS: Final = "jobs"


class QueueConfig(NamedTuple):
    """A queue; with it goes `<name>-dead`, where messages end that were received so many times."""

    name: str
    visibility_seconds: int
    receives: int


# Six times the timeout of the function that reads the queue, as AWS advises.
QUEUES: Final = (
    QueueConfig(UPLOADS, 6 * spec_of("ingest-router").timeout, EVENT_RECEIVES),
    QueueConfig(JOBS, 6 * spec_of("ingest-worker").timeout, MAX_RECEIVES),
)

# What is sent to the queue `uploads`: (S3 event, key prefix).
NOTIFICATIONS: Final = (
    ("s3:ObjectCreated:*", "uploads/"),
    ("s3:ObjectCreated:*", "drop/"),
    ("s3:ObjectRemoved:*", "drop/"),
)

_START_SECONDS: Final = 60.0


class Moto:
    """One server for S3 and SQS, with bucket, queues and notifications in place."""

    def __init__(self, folder: Path, *, preferred_port: int = 0, log: Path | None = None) -> None:
        """Prepare. `folder` is made if missing and holds objects and messages, and the log unless given."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._port = preferred_port
        self._log = log or folder / "moto.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the server; raises StartError if it was not started."""
        if self._process is None:
            raise StartError("The S3 and SQS server has not been started.")
        return self._process.pid

    @property
    def endpoint(self) -> str:
        """The endpoint URL of S3 and of SQS; any credentials do."""
        return f"http://{ports.LOOPBACK}:{self._port}"

    def queue_url(self, name: str) -> str:
        """Return the URL of a queue."""
        return f"{self.endpoint}/{ACCOUNT}/{name}"

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
        command = (sys.executable, "-m", "local.moto_server", os.fspath(self._folder), str(self._port))
        env = {
            "PATH": os.defpath,
            "PYTHONPATH": os.fspath(REPOSITORY),
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }
        with self._log.open("ab") as log:
            self._process = leash.start(command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=log)

    def wait(self) -> None:
        """Wait until the launched server says its port; raises StartError."""
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + _START_SECONDS
        with self._process.stdout as pipe:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            said = pipe.readline() if ready else b""
        if not said:
            self.stop()
            raise StartError(f"The S3 and SQS server does not start; its log {self._log} says why.")
        self._port = int(said)

    def stop(self) -> None:
        """Stop the server; what it has answered is on disk."""
        if self._process is not None:
            if self._process.stdout is not None:
                self._process.stdout.close()
            leash.stop(self._process, by=signal.SIGTERM)
            self._process = None
