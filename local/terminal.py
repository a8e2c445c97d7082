"""What the person at the terminal sees: steps with their times, in colour where there is a terminal."""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

_NAME_WIDTH: Final = 34
_MAX_WIDTH: Final = 100


class Step:
    """A step under way; what it sets as `detail` is shown when it is done."""

    def __init__(self) -> None:
        self.detail = ""


class Terminal:
    """Lines of progress on a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.opened = time.monotonic()
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._colour = self._live and not os.environ.get("NO_COLOR")
        self.width = min(_MAX_WIDTH, shutil.get_terminal_size((_MAX_WIDTH, 24)).columns)

    @contextmanager
    def step(self, name: str, since: float | None = None) -> Iterator[Step]:
        """Show a step with the time it took, counted from `since` (time.monotonic) if it began earlier."""
        started = time.monotonic() if since is None else since
        step = Step()
        self.passing(f"{name} …")
        yield step
        self.timed(name, time.monotonic() - started, step.detail)

    def timed(self, name: str, seconds: float, detail: str = "") -> None:
        """Write a line about something that took so long."""
        self.passing("")
        self.line(f"  {name:{_NAME_WIDTH}} {seconds:6.2f} s   {self.faint(detail)}".rstrip())

    def passing(self, text: str) -> None:
        """Show what is going on right now, on a terminal only; the next output takes its place."""
        if self._live:
            self._write(f"\r\x1b[K{'  ' + self.faint(text[: self.width - 2]) if text else ''}")

    def line(self, text: str = "") -> None:
        """Write a line."""
        self._write(f"{text}\n")

    def heading(self, text: str) -> None:
        """Write a heading, with an empty line before it."""
        self.line()
        self.line(self._paint("1", text))

    def paragraph(self, text: str, indent: int = 2) -> None:
        """Write text wrapped to the width of the terminal."""
        margin = " " * indent
        for part in text.splitlines():
            self.line(textwrap.fill(part, self.width, initial_indent=margin, subsequent_indent=margin))

    def faint(self, text: str) -> str:
        """Return text that stays in the background."""
        return self._paint("2", text) if text else ""

    def marked(self, text: str) -> str:
        """Return text that catches the eye."""
        return self._paint("36", text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            # Nobody reads on (as with `| head`): no reason to end, nor to complain at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
