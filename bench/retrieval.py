"""How fast retrieval is, and how large, beside what one would take instead.

    python -m bench.retrieval [--sizes N ...] [--parts keyword ingest ...] [--peers NAME ... | none] [--questions N]

Systems are asked the same questions in turn, in one run, so that ratios hold on a busy machine where milliseconds do
not. Results go to .local/bench: retrieval.json, performance.md, plots; docs/performance.md shows the last that
`--publish` put there.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench import churn, hybrid, ingest, keyword, report, rivals, vector
from bench import texts as corpus
from bench.engine import minilm
from bench.filled import fill
from bench.results import Results
from evals.store import store

PARTS: Final = ("keyword", "hybrid", "ingest", "churn", "vector")
PEERS: Final = ("ts_rank_cd", "rank-bm25", "bm25s", *hybrid.PEERS, *vector.PEERS)
_WARM_UP: Final = 300  # questions that fill the caches before others are timed
_INGESTED: Final = 10_000  # chunks stored and deleted, and replaced over and over


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description="Measure retrieval.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 100_000], metavar="CHUNKS")
    parser.add_argument("--vectors", nargs="+", default=["384:200000", "1536:20000"], metavar="DIMENSION:CHUNKS")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--peers", nargs="+", choices=(*PEERS, "none"), default=PEERS)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--peers-python", type=Path, default=rivals.HOME, help="interpreter that has the peers")
    parser.add_argument("--publish", action="store_true", help="show the results in docs/performance.md")
    arguments = parser.parse_args()
    # Log lines are part of the work of a function; here nobody reads them.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    run(Results(), arguments)
    return 0


def run(results: Results, arguments: argparse.Namespace) -> None:
    """Measure what is asked for, each size in a database of its own; write after each part, for a run may be ended."""

    def write() -> None:
        report.write(results, publish=arguments.publish)

    texts = corpus.load()
    report.describe(results, texts)
    parts, peers, interpreter = arguments.parts, arguments.peers, arguments.peers_python
    asked = texts.questions(arguments.questions + _WARM_UP)
    warm_up, questions = asked[arguments.questions :], asked[: arguments.questions]
    for size in arguments.sizes if {"keyword", "hybrid"} & set(parts) else []:
        with tempfile.TemporaryDirectory() as folder, store(**minilm()) as database:
            using = hybrid.model() if "hybrid" in parts and size <= hybrid.LARGEST else None
            filled = fill(database, texts, size, Path(folder), results, model=using.model if using else None)
            for part, measure in (("keyword", keyword.measure), ("hybrid", hybrid.measure)):
                if part in parts and (part == "keyword" or using is not None):
                    measure(results, filled, database.postgres.superuser_url, warm_up, questions, peers, interpreter)
                    write()
    if "ingest" in parts:
        with store() as database:
            ingest.measure(results, database, texts, _INGESTED)
        write()
    if "churn" in parts:
        with store() as database:
            churn.measure(results, database, texts, _INGESTED)
        write()
    for wanted in arguments.vectors if "vector" in parts else []:
        dimension, total = map(int, wanted.split(":"))
        with store() as database:
            vector.measure(results, database, dimension, total, arguments.questions, peers)
        write()


if __name__ == "__main__":
    sys.exit(main())
