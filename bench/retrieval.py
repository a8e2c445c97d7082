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

from bench import hybrid, keyword, rivals
from bench import texts as corpus
from bench.engine import minilm
from bench.filled import fill
from bench.results import Results
from evals.store import store

PARTS: Final = ("keyword", "hybrid")
PEERS: Final = ("ts_rank_cd", "rank-bm25", "bm25s", *hybrid.PEERS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description="Measure retrieval.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 100_000], metavar="CHUNKS")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--peers", nargs="+", choices=(*PEERS, "none"), default=PEERS)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--peers-python", type=Path, default=rivals.HOME, help="interpreter that has the peers")
    arguments = parser.parse_args()

    # Log lines are part of the work of a function; here nobody reads them.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    results = Results()
    texts = corpus.load()
    asked = texts.questions(arguments.questions + 300)
    warm_up, questions = asked[arguments.questions :], asked[: arguments.questions]
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder, store(**minilm()) as database:
            using = hybrid.model() if "hybrid" in arguments.parts else None
            filled = fill(database, texts, size, Path(folder), results, model=using.model if using else None)
            url = database.postgres.superuser_url
            if "keyword" in arguments.parts:
                keyword.measure(results, filled, url, warm_up, questions, arguments.peers, arguments.peers_python)
            if "hybrid" in arguments.parts and filled.vectors is not None:
                hybrid.measure(results, filled, url, warm_up, questions, arguments.peers, arguments.peers_python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
