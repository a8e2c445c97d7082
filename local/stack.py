"""The whole system on one machine.

`python -m local.stack run` starts it, ingests the samples, asks one question and stays up until Ctrl-C;
`python -m local.stack demo` does the same and ends, or uses the system that runs already.
"""

import signal
import sys
import time
from types import FrameType
from typing import Final, NoReturn

from local.home import Home, HomeInUseError, StackError
from local.terminal import Terminal

# How long a demo waits for a system that is just starting.
_OTHER_SECONDS: Final = 300.0


def _start(command: str, terminal: Terminal) -> bool:
    """Run the command; return whether it did what it is for. Raises StackError, KeyboardInterrupt."""
    deadline = time.monotonic() + _OTHER_SECONDS
    while True:
        home = Home()
        try:
            with home:
                from local import system

                return system.run(home, terminal, stay=command == "run")
        except HomeInUseError:
            if command == "run" or time.monotonic() > deadline:
                raise
        if _demo_on_running(home, terminal):
            return True
        terminal.passing("waiting for the system that is just starting or stopping …")
        time.sleep(0.2)


def _demo_on_running(home: Home, terminal: Terminal) -> bool:
    """Show the demo on the system that runs in this home; False if there is none that is ready."""
    from local import demo

    try:
        variables = home.read_dev_env()
    except FileNotFoundError:
        return False
    terminal.line(f"  It runs already, at {variables['MINIRAG_URL']}.")
    demo.show(variables, terminal)
    return True


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    if arguments not in (["run"], ["demo"]):
        print("usage: python -m local.stack run|demo", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    terminal = Terminal()
    terminal.heading("Mini-RAG on one machine")
    try:
        done = _start(arguments[0], terminal)
    except StackError as error:
        terminal.passing("")
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        done = False
    # Stopping is how a system that stays ends; a demo that was stopped has shown nothing.
    return 0 if done or arguments == ["run"] else 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
