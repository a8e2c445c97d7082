"""How long each function takes to start: its runtime, its imports, nothing else.

    python -m bench.cold_start [--runs N] [--imports]

The functions run from packages like the deployed ones, with bytecode, in the Runtime Interface Emulator; the time is
that of its INIT REPORT, from the start of Python to the imported handler. `bare` is a handler that does nothing: what
no function can be faster than here. With --imports it prints, too, which modules take the time. Lambda gives a start
more or less processor than this machine has, and SnapStart replaces it by a restored snapshot: compare, do not quote.
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.specs import SPECS, Spec
from tests.rie.emulator import Emulator, EmulatorError, Packages

TARGETS_MS: Final[Mapping[str, float]] = {"ask": 1200.0, "webhooks": 700.0}

_BARE: Final = Spec("bare", "bare", "bare.handler", memory=512, timeout=10, snapshot=False)
_IMPORT: Final = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")
_SHOWN: Final = 12


def init_times(spec: Spec, packages: Packages, runs: int) -> list[float]:
    """Milliseconds of each start, after one that is not counted and leaves the bytecode behind."""
    times = []
    for _ in range(runs + 1):
        with Emulator(spec, packages, {}) as emulator:
            # An empty event, and no settings: it is the start that is measured, which the log tells.
            with contextlib.suppress(EmulatorError):
                emulator.invoke({})
            times.append(emulator.init_ms())
    return times[1:]


def heaviest_imports(spec: Spec, packages: Packages) -> list[tuple[float, str]]:
    """(milliseconds with all it imports, module) of the top-level packages that take longest."""
    command = [packages.interpreter, "-S", "-X", "importtime", "-c", f"import {spec.handler.rpartition('.')[0]}"]
    environment = {"PYTHONPATH": ":".join(packages.search_path(spec))}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True)
    longest: dict[str, float] = {}
    for _, cumulative, _, module in _IMPORT.findall(done.stderr):
        package = module.partition(".")[0]
        if package not in {"functions", "minirag"}:
            longest[package] = max(longest.get(package, 0.0), int(cumulative) / 1000)
    return sorted(((ms, module) for module, ms in longest.items()), reverse=True)[:_SHOWN]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start", description="Measure the functions' starts.")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--imports", action="store_true", help="also show which imports take the time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packages = Packages.build(Path(folder))
        bare = Path(folder) / "functions" / _BARE.package
        bare.mkdir()
        (bare / "bare.py").write_text("def handler(event, context):\n    return {}\n")
        print(f"{'function':14} {'median':>8} {'fastest':>8} {'slowest':>8}  ms, of {arguments.runs} starts")
        for spec in (_BARE, *SPECS):
            times = init_times(spec, packages, arguments.runs)
            median, target = statistics.median(times), TARGETS_MS.get(spec.name)
            verdict = "" if target is None else f"  target {target:.0f}: {'met' if median < target else 'MISSED'}"
            print(f"{spec.name:14} {median:8.0f} {min(times):8.0f} {max(times):8.0f}{verdict}")
            if arguments.imports and spec is not _BARE:
                for ms, module in heaviest_imports(spec, packages):
                    print(f"{'':16}{ms:7.0f}  {module}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
