"""The other side of bench.peers: starts a peer's process and speaks to it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_ROOT: Final = Path(__file__).parent.parent
HOME: Final = _ROOT / ".build" / "peers" / "bin" / "python"


class Missing(Exception):
    """A peer that is not installed, or does not work here; the message says why."""


class Rival:
    """A peer's process; its memory goes with it."""

    def __init__(self, name: str, interpreter: Path) -> None:
        """Start it; raises Missing if its packages are not there."""
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the process
        # bm25s is among what the tests need: it runs even where the peers were not installed.
        chosen = os.fspath(interpreter) if interpreter.exists() else sys.executable
        self._process = subprocess.Popen(
            [chosen, "-W", "ignore", "-m", "bench.peers", name],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={"PATH": os.defpath, "HOME": tempfile.gettempdir(), "TOKENIZERS_PARALLELISM": "false"},
            text=True,
        )
        ready = self._read()
        if "missing" in ready:
            self.close()
            raise Missing(ready["missing"])

    def load(self, **command: object) -> dict[str, Any]:
        """Make it ready; returns `ms` and `memory_mb`."""
        return self._send({"do": "load", **command})

    def ask(self, question: str, number: int) -> tuple[float, Sequence[int]]:
        """The milliseconds a question took there, and the numbers of the chunks found."""
        got = self._send({"do": "ask", "question": question, "number": number})
        return float(got["ms"]), got["found"]

    def add(self, text: str, question: str) -> tuple[float, Sequence[int]]:
        """The milliseconds until one more text was searchable and asked for, and what was found."""
        got = self._send({"do": "add", "text": text, "question": question, "number": 0})
        return float(got["ms"]), got["found"]

    def _send(self, command: dict[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # what it died of is in its log, which reading finds
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
            raise Missing(lines[-1] if lines else "it ended without a word")
        got: dict[str, Any] = json.loads(line)
        return got

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # of a command that it did not live to read
            self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()
