"""How fast asking is: an answer that is there, one that has to be made, and while the cache is down.

    python -m bench.asking [--parts cached made outage] [--chunks N] [--rounds N]

Each is POST /api/v1/ask from API Gateway's event to the handler's response, in a process on one core; PostgreSQL,
Valkey and the stand-in for OpenAI run on the other. With it goes all that a question takes: its key, its limits by the
minute, the day and the month, its log lines, and the record of the answer.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from time import process_time, thread_time
from typing import Any, Final

import numpy as np
import redis

from bench import inside
from bench.asker import Asker, Call, asking, draw_questions, environment, openai
from bench.engine import forgotten
from bench.results import timed
from bench.spans import Spans
from minirag.runtime import cache, db

PARTS: Final = ("cached", "made", "outage")

_CACHED: Final = 100  # different questions
_REQUESTS: Final = 3000  # for them, in a round
_MADE: Final = 200  # questions whose answers are made, and timed
_WARM_UP: Final = 100  # before them
_TRIES: Final = 400  # questions of which some have an answer
_OUTAGES: Final = 10
_AFTER: Final = 20  # questions asked while the breaker is open

Measured = tuple[float, dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.asking", description="Measure how fast asking is.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with asking(arguments.chunks) as asker:
        print(f"{arguments.chunks:,} chunks; load {os.getloadavg()[0]:.1f}")
        measures: dict[str, Callable[[Asker, int], None]] = {"cached": _cached, "made": _made, "outage": _outage}
        for part in arguments.parts:
            measures[part](asker, arguments.rounds)
    return 0


def _cached(asker: Asker, rounds: int) -> None:
    """Answers that are there, over and over."""
    print(f"\nAn empty round trip, p50: database {_empty_ms():.2f} ms, Valkey {_look_ms():.2f} ms")
    calls = _answered(asker, _CACHED)
    [body] = {len(call()[1]["body"]) for call in calls[:1]}
    print(f"{len(calls)} cached answers, {_REQUESTS:,} requests a round; a response is {body / 1000:.0f} kB")
    _heading("round")
    best: list[float] = []
    for number in range(1, rounds + 1):
        used = process_time()
        measured = _asked(calls, _REQUESTS)
        used = (process_time() - used) * 1000 / _REQUESTS
        taken = [took for took, _ in measured]
        missed = _REQUESTS - _came_by("hit", measured)
        note = f"{used:.2f} ms of them the processor's; load {os.getloadavg()[0]:.1f}"
        # On a machine that is too busy, Valkey may not answer in its 40 ms.
        _line(str(number), taken, note + (f"; does not count: {missed} were no hits" if missed else ""))
        if not missed:
            best = min(best or taken, taken, key=np.median)
    if not best:
        print("  no round counts: this machine is too busy")
        return
    _verdict("requests/s in one environment", 1000 / float(np.mean(best)), least=500)
    _verdict("ms at p95", float(np.percentile(best, 95)), most=5)
    _where(inside.GIVEN, lambda: _asked(calls, _REQUESTS), _REQUESTS)


def _made(asker: Asker, rounds: int) -> None:
    """Answers that have to be made; the question's vector is known."""
    questions = draw_questions(_MADE + _WARM_UP)
    asker.know(questions)
    print(f"\n{_MADE} answers made, the vectors of their questions known; best of {rounds} rounds")
    _made_by(asker, questions, rounds, "extractive", most=30)
    with openai() as variables, environment(**variables):
        _made_by(asker, questions, rounds, "openai", most=40)


def _made_by(asker: Asker, questions: Sequence[str], rounds: int, provider: str, *, most: float) -> None:
    calls = [asker.call(question) for question in questions]

    def warm() -> list[Measured]:
        _flush(asker)
        for call in calls[_MADE:]:
            call()
        return [call() for call in calls[:_MADE]]

    def new() -> list[Measured]:
        _flush(asker)
        measured = []
        for call in calls[:_MADE]:
            with forgotten():
                measured.append(call())
        return measured

    answered = sum(json.loads(response["body"])["outcome"] == "answered" for _, response in warm()) / _MADE
    _heading(provider)
    best = {}
    for name, ask in (("warm", warm), ("nothing kept of the workspace", new)):
        measured = [ask() for _ in range(rounds)]
        assert all(_came_by("miss", one) == _MADE for one in measured)
        best[name] = min(([took for took, _ in one] for one in measured), key=np.median)
        _line(name, best[name], f"{answered:.0%} answered, load {os.getloadavg()[0]:.1f}")
    spans = _where(inside.MADE, warm, len(calls))
    own = float(np.median(best["warm"])) - 1000 * spans.seconds[inside.HTTP] / len(calls)
    _verdict(f"ms at p50, {provider}, without HTTP to the model", own, most=most)


def _outage(asker: Asker, _: int) -> None:
    """What it adds to a question that Redis is gone: beside the same without any Redis, question by question."""
    questions = draw_questions(_OUTAGES * (_AFTER + 1), seed=7)
    asker.know(questions)
    calls = [asker.call(question) for question in questions]
    with environment(MINIRAG_REDIS_URL=""):
        for call in calls:
            call()
        without = [min(call()[0] for _ in range(3)) for call in calls]
    print(
        f"\nWithout Redis, p50 {np.median(without):.1f} ms; milliseconds added by one that goes, in {_OUTAGES} outages"
    )
    print(f"{'':24} {'first question':>22} {'those after it':>22}")
    print(f"{'':24} {'p50':>10} {'most':>11} {'p50':>10} {'p95':>11}")
    for name, goes, comes in (
        ("its process killed", asker.valkey.stop, asker.valkey.start),
        ("its process hangs", lambda: _signal(asker, signal.SIGSTOP), lambda: _signal(asker, signal.SIGCONT)),
    ):
        first, later = _added(calls, without, goes, comes)
        print(f"{name:24} {np.median(first):10.1f} {max(first):11.1f} {np.median(later):10.1f} "
              f"{np.percentile(later, 95):11.1f}")  # fmt: skip
        _verdict("ms added", max(first), most=100)


def _added(
    calls: Sequence[Call], without: Sequence[float], goes: Callable[[], None], comes: Callable[[], None]
) -> tuple[list[float], list[float]]:
    first: list[float] = []
    later: list[float] = []
    for outage in range(_OUTAGES):
        start = outage * (_AFTER + 1)
        inside.close_breaker()
        # One is answered with it, so that there is a connection to lose.
        calls[start - 1]()
        goes()
        try:
            for number in range(start, start + _AFTER + 1):
                took, response = calls[number]()
                assert json.loads(response["body"])["cached"] == "miss"
                (first if number == start else later).append(took - without[number])
        finally:
            comes()
    inside.close_breaker()
    return first, later


def _signal(asker: Asker, number: signal.Signals) -> None:
    os.kill(asker.valkey.pid, number)


def _answered(asker: Asker, wanted: int) -> list[Call]:
    """Questions that have an answer, with citations; asked once, so it is there."""
    questions = draw_questions(_TRIES)
    asker.know(questions)
    calls = []
    for question in questions:
        call = asker.call(question)
        if json.loads(call()[1]["body"])["outcome"] == "answered":
            calls.append(call)
        if len(calls) == wanted:
            return calls
    raise AssertionError(f"only {len(calls)} of {_TRIES} questions have an answer")


def _asked(calls: Sequence[Call], times: int) -> list[Measured]:
    return [calls[number % len(calls)]() for number in range(times)]


def _came_by(way: str, measured: Sequence[Measured]) -> int:
    """How many of these answers came about this way: hit, miss or shared."""
    return sum(json.loads(response["body"])["cached"] == way for _, response in measured)


def _flush(asker: Asker) -> None:
    with redis.Redis.from_url(asker.valkey.url) as client:
        client.flushall()


def _where(places: inside.Places, work: Callable[[], object], calls: int) -> Spans:
    """Tell where the time goes while `work` makes so many calls, each time it is done; and the processor's of it."""
    spans, used = Spans(), Spans(thread_time)
    with inside.watching(spans, places), inside.sending(spans):
        work()
    with inside.watching(used, places):
        work()
    print(f"  where the time goes, ms{'':17} {'':>8} {'share':>6} {'processor':>10}")
    for name, seconds, share in spans.table():
        print(f"    {name:38} {1000 * seconds / calls:8.3f} {share:6.1%} {1000 * used.seconds[name] / calls:10.3f}")
    return spans


def _empty_ms() -> float:
    return float(np.median([timed(lambda: db.look_up("SELECT 1 AS one", ())) for _ in range(1000)]))


def _look_ms() -> float:
    return float(np.median([timed(lambda: cache.get_many(["nothing"])) for _ in range(1000)]))


def _heading(name: str) -> None:
    print(f"{name:32} {'requests/s':>10} {'p50':>7} {'p95':>7} {'p99':>7}  ms")


def _line(name: str, taken: Sequence[float], note: str) -> None:
    p50, p95, p99 = np.percentile(taken, [50, 95, 99])
    print(f"{name:32} {1000 / np.mean(taken):10.0f} {p50:7.2f} {p95:7.2f} {p99:7.2f}  {note}")


def _verdict(what: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
    bound = f">= {least:g}" if least is not None else f"<= {most:g}"
    kept = value >= least if least is not None else most is not None and value <= most
    print(f"  {what}: {value:.1f} ({bound}: {'kept' if kept else 'MISSED'})")


if __name__ == "__main__":
    sys.exit(main())
