"""What was measured, and how a latency is taken."""

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Final

import numpy as np

from bench.engine import processor_seconds

# From the number of a question to the milliseconds it took; None if it could not be asked.
# Questions that a system is asked at its turn.
_TURN: Final = 10

Contender = Callable[[int], float | None]

OURS: Final = "Mini-RAG"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one system in one run; `of_ours` is its median over Mini-RAG's, None for Mini-RAG's own."""

    part: str
    size: int
    system: str
    p50: float
    p95: float
    count: int
    of_ours: float | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One number, with what was promised of it."""

    part: str
    size: int
    name: str
    value: float
    unit: str
    promise: str = ""
    kept: bool | None = None


@dataclass(slots=True)
class Results:
    """Everything a run found, in the order it was found."""

    setting: dict[str, str] = field(default_factory=dict)
    latencies: list[Latency] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def fact(
        self, part: str, size: int, name: str, value: float, unit: str, *, most: float | None = None,
        least: float | None = None,
    ) -> None:  # fmt: skip
        """Note a number, and whether it is within its bound if it has one."""
        promise, kept = "", None
        if most is not None:
            promise, kept = f"<= {most:g}", value <= most
        elif least is not None:
            promise, kept = f">= {least:g}", value >= least
        self.facts.append(Fact(part, size, name, value, unit, promise, kept))
        verdict = "" if kept is None else f"  ({promise}: {'kept' if kept else 'MISSED'})"
        say(f"    {name}: {value:.4g} {unit}{verdict}")

    def latency(self, part: str, size: int, taken: Mapping[str, Sequence[float]]) -> None:
        """Note what `interleave` took, Mini-RAG's first."""
        ours = float(np.median(taken[OURS]))
        for system, times in sorted(taken.items(), key=lambda item: item[0] != OURS):
            if not len(times):
                continue
            p50, p95 = np.percentile(times, [50, 95]).tolist()
            of_ours = None if system == OURS else p50 / ours
            self.latencies.append(Latency(part, size, system, p50, p95, len(times), of_ours))
            ratio = "" if of_ours is None else f"{of_ours:8.1f} x"
            say(f"  {ratio:>10}  {system:40} p50 {p50:8.2f}  p95 {p95:8.2f} ms")

    def processor(self, part: str, size: int, work: Callable[[int], object], count: int) -> None:
        """Note the processor time that `work` takes, a question, here and in the server."""
        before = processor_seconds()
        for number in range(count):
            work(number)
        here, there = ((now - then) * 1000 / count for now, then in zip(processor_seconds(), before, strict=True))
        self.fact(part, size, "processor time of a question, warm: the function", here, "ms")
        self.fact(part, size, "processor time of a question, warm: the database", there, "ms")

    def median(self, part: str, size: int, system: str = OURS) -> tuple[float, float] | None:
        """The p50 and p95 of a system, if it was measured."""
        for one in self.latencies:
            if (one.part, one.size, one.system) == (part, size, system):
                return one.p50, one.p95
        return None

    def lacks(self, system: str, why: str) -> None:
        """Note a peer that could not run."""
        self.missing[system] = why
        say(f"  missing: {system}: {why}")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def interleave(count: int, contenders: Mapping[str, Contender]) -> dict[str, list[float]]:
    """Ask questions 0 to `count` - 1 of all, some of one and then the same of the next, in another order each time.

    What else the machine does meanwhile then slows all of them alike. One question at a time would slow those that read
    little: the others would empty the processor's caches between any two of theirs.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = random.Random(1)
    names = list(contenders)
    for first in range(0, count, _TURN):
        order.shuffle(names)
        for name in names:
            for number in range(first, min(first + _TURN, count)):
                if (one := contenders[name](number)) is not None:
                    taken[name].append(one)
    return taken


def timed(work: Callable[[], object]) -> float:
    """The milliseconds `work` takes."""
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1000


def say(line: str) -> None:
    """Tell whoever waits; results go to files."""
    print(line, flush=True, file=sys.stderr)
