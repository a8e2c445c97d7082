"""Run one peer: `python -m evals.peers <system> <folder> <PostgreSQL URL>`; in the folder is one folder a set."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from evals.peers import hybrid, keyword
from evals.peers.names import HYBRID, KEYWORD
from evals.peers.work import Run, Work, read

System = Callable[[Work, str], Run]

SYSTEMS: Final[Mapping[str, System]] = dict(
    zip(
        (*KEYWORD, *HYBRID),
        (keyword.rank_bm25, keyword.bm25s, keyword.ts_rank, hybrid.langchain, hybrid.llamaindex, hybrid.txtai),
        strict=True,
    )
)


def main(name: str, folder: Path, url: str) -> None:
    """Answer every set's questions by one peer."""
    for one in sorted(path.parent for path in folder.glob("*/set.json")):
        work = read(one)
        if name in KEYWORD or len(work.passage_vectors):
            started = time.monotonic()
            run = SYSTEMS[name](work, url)
            (one / f"{name}.json").write_text(json.dumps(run), "utf-8")
            print(f"{work.name}: {name} took {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    except ImportError as missing:
        sys.exit(f"{sys.argv[1]} was left out: {missing}")
