"""How many answers come from the cache, where questions repeat and documents are ingested now and then.

    python -m bench.repeated [--hours N]

Questions follow Zipf's law: the second most frequent is asked 2^s times less often than the first. They go through the
real handler, with real ingestions between them. Only the hour for which an answer is kept is counted in questions
instead of minutes, so that nobody need wait for it. What is computed from the sequence alone must come to the same.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import redis

from bench import inside, texts
from bench.asker import Asker, asking, documents, draw_questions
from bench.texts import SEED
from evals.store import Document

DISTINCT: Final = 500
EXPONENTS: Final = (0.8, 1.0, 1.2)
EVERY: Final = (0, 1000, 300, 100, 30)
PER_HOUR: Final = (200, 500, 1000, 2000, 5000)

_CHUNKS: Final = 2000
_MORE_CHUNKS: Final = 1_000_000  # more than are taken
_COMPUTED: Final = 50_000  # questions, for a rate that is computed


@dataclass(frozen=True, slots=True)
class Workload:
    """How questions come: `every` so many of them a document is ingested, 0 never."""

    exponent: float
    every: int
    per_hour: int


# What the hit rate is promised for.
PROMISED: Final = Workload(exponent=1.0, every=1000, per_hour=1000)
_LEAST: Final = 0.7


def sequence(exponent: float, length: int, *, distinct: int = DISTINCT) -> list[int]:
    """Questions by their rank from 0, drawn by Zipf's law; the same each time."""
    weights = np.arange(1, distinct + 1, dtype=np.float64) ** -exponent
    rng = np.random.default_rng([SEED, 3])
    return [int(one) for one in rng.choice(distinct, size=length, p=weights / weights.sum())]


def ingests(workload: Workload, number: int) -> bool:
    """Whether a document is ingested before question `number`, counted from 0."""
    return workload.every > 0 and number > 0 and number % workload.every == 0


def hits(asked: Sequence[int], workload: Workload) -> Iterator[bool]:
    """Of each question, whether its answer is there: made within the hour and since the last ingestion."""
    made: dict[int, int] = {}
    for number, question in enumerate(asked):
        if ingests(workload, number):
            made.clear()
        there = question in made and number - made[question] < workload.per_hour
        if not there:
            made[question] = number
        yield there


def rate(found: Sequence[bool], workload: Workload) -> float:
    """The share of hits after the first hour, in which nothing was there."""
    return float(np.mean(found[workload.per_hour :]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.repeated", description="Measure the cache's hit rate.")
    parser.add_argument("--hours", type=int, default=2, help="of 1,000 questions, the first of which does not count")
    arguments = parser.parse_args()
    with asking(_CHUNKS) as asker:
        print(f"{DISTINCT} different questions, asked by Zipf's law; load {os.getloadavg()[0]:.1f}")
        _measured(asker, arguments.hours * PROMISED.per_hour)
    _computed()
    return 0


def _measured(asker: Asker, length: int) -> None:
    questions = draw_questions(DISTINCT)
    asker.know(questions)
    print(f"\nHits through the handler, {PROMISED.per_hour:,} questions an hour; a document every so many questions")
    _heading("exponent", EVERY)
    taken: dict[bool, list[float]] = {True: [], False: []}
    differ = 0
    kept = 0.0
    more = documents(texts.load(), _MORE_CHUNKS)
    for exponent in EXPONENTS:
        rates = []
        for every in EVERY:
            workload = Workload(exponent, every, PROMISED.per_hour)
            asked = sequence(exponent, length)
            found = _ask(asker, questions, asked, workload, taken, more)
            differ += sum(one != other for one, other in zip(found, hits(asked, workload), strict=True))
            rates.append(rate(found, workload))
            if workload == PROMISED:
                kept = rates[-1]
        _row(f"{exponent:.1f}", rates)
    print(f"  answers that came about otherwise than computed: {differ} of {len(EXPONENTS) * len(EVERY) * length:,}")
    hit, miss = (float(np.median(taken[way])) for way in (True, False))
    print(f"  a hit takes {hit:.1f} ms at p50, a miss {miss:.1f} ms")
    verdict = "kept" if kept > _LEAST else "MISSED"
    print(f"  hits at exponent {PROMISED.exponent:.1f}, a document every {PROMISED.every:,} questions: {kept:.1%} "
          f"(> {_LEAST:.0%}: {verdict})")  # fmt: skip


def _ask(
    asker: Asker,
    questions: Sequence[str],
    asked: Sequence[int],
    workload: Workload,
    taken: dict[bool, list[float]],
    more: Iterator[Document],
) -> list[bool]:
    """Whether each answer was there; milliseconds are added to `taken`, by that; `more` documents are ingested."""
    calls = [asker.call(question) for question in questions]
    made: dict[int, tuple[int, str]] = {}
    found = []
    with redis.Redis.from_url(asker.valkey.url) as client, inside.kept() as keys:
        client.flushall()
        for number, question in enumerate(asked):
            if ingests(workload, number):
                _ingest(asker, more)
            if question in made and number - made[question][0] >= workload.per_hour:
                client.delete(made.pop(question)[1])
            took, response = calls[question]()
            there = json.loads(response["body"])["cached"] == "hit"
            if not there:
                made[question] = number, keys[-1]
            taken[there].append(took)
            found.append(there)
    return found


def _ingest(asker: Asker, more: Iterator[Document]) -> None:
    document = next(more)
    asker.add(Document("One more", document.passages[:1], document.windows[:1]))
    # The worker merges after each, too; without that, searching would slow down from one to the next.
    asker.workspace.tidy()


def _computed() -> None:
    print(
        f"\nHits as computed, exponent {PROMISED.exponent:.1f}, by the questions of an hour; an answer is kept for one"
    )
    _heading("an hour", EVERY)
    asked = sequence(PROMISED.exponent, _COMPUTED)
    for per_hour in PER_HOUR:
        workloads = [Workload(PROMISED.exponent, every, per_hour) for every in EVERY]
        _row(f"{per_hour:,}", [rate(list(hits(asked, one)), one) for one in workloads])


def _heading(name: str, every: Sequence[int]) -> None:
    print(f"{name:>10} " + "".join(f"{f'{one:,}' if one else 'never':>8}" for one in every))


def _row(name: str, rates: Sequence[float]) -> None:
    print(f"{name:>10} " + "".join(f"{one:>8.1%}" for one in rates))


if __name__ == "__main__":
    sys.exit(main())
