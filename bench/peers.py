"""A peer in a process of its own, run by the peers' interpreter: `python -m bench.peers <name>`.

It reads commands as lines of JSON and answers each with one: `load` makes it ready from the files the benchmark wrote,
`ask` asks one question and tells the milliseconds it took here, `add` makes one more text searchable. The pipe is
never part of what is timed.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, Protocol

TOP: Final = 10


class Peer(Protocol):
    """What each peer can do; chunks are known by their number."""

    def load(self, command: dict[str, Any]) -> None: ...

    def ask(self, question: str, number: int) -> Sequence[int]: ...

    def add(self, text: str) -> None:
        """Make one more text searchable, by whatever the peer offers."""
        ...


class RankBM25:
    """rank_bm25.BM25Okapi over lower-case words, as its README has it."""

    def __init__(self) -> None:
        self._okapi = importlib.import_module("rank_bm25").BM25Okapi
        self._words: list[list[str]] = []

    def load(self, command: dict[str, Any]) -> None:
        self._words = [text.lower().split() for text in texts(command["corpus"])]
        self._index = self._okapi(self._words)

    def ask(self, question: str, number: int) -> Sequence[int]:  # noqa: ARG002  hybrid peers need it
        import numpy as np

        scores = self._index.get_scores(question.lower().split())
        best = np.argpartition(scores, -TOP)[-TOP:]
        return [int(one) for one in best[np.argsort(-scores[best])]]

    def add(self, text: str) -> None:
        # Its statistics are those of the whole corpus, made once.
        self._words.append(text.lower().split())
        self._index = self._okapi(self._words)


class BM25S:
    """bm25s in memory, with its stop words and the same English stemmer."""

    def __init__(self) -> None:
        self._bm25s = importlib.import_module("bm25s")
        self._stemmer = importlib.import_module("Stemmer").Stemmer("english")
        self._corpus = ""
        self._more: list[str] = []

    def load(self, command: dict[str, Any]) -> None:
        self._corpus = command["corpus"]
        self._index_all()

    def _index_all(self) -> None:
        # The texts are not kept: a million of them would double the memory of the process.
        every = [*texts(self._corpus), *self._more]
        tokens = self._bm25s.tokenize(every, stopwords="en", stemmer=self._stemmer, show_progress=False)
        self._index = self._bm25s.BM25(k1=1.2, b=0.75)
        self._index.index(tokens, show_progress=False)

    def ask(self, question: str, number: int) -> Sequence[int]:  # noqa: ARG002  as above
        tokens = self._bm25s.tokenize(question, stopwords="en", stemmer=self._stemmer, show_progress=False)
        found, _ = self._index.retrieve(tokens, k=TOP, show_progress=False)
        return [int(one) for one in found[0]]

    def add(self, text: str) -> None:
        self._more.append(text)
        self._index_all()


def texts(path: str) -> "Sequence[str]":
    """The corpus, a JSON string a line."""
    with open(path, encoding="utf-8") as lines:  # noqa: PTH123
        return [json.loads(line) for line in lines]


def _hybrid(name: str) -> Callable[[], Peer]:
    def make() -> Peer:
        peer: Peer = getattr(importlib.import_module("bench.peers_hybrid"), name)()
        return peer

    return make


PEERS: Final[dict[str, Callable[[], Peer]]] = {
    "rank-bm25": RankBM25,
    "bm25s": BM25S,
    "langchain": _hybrid("LangChainEnsemble"),
    "llama-index": _hybrid("LlamaIndexFusion"),
    "llama-index-postgres": _hybrid("LlamaIndexPostgres"),
}


def answer(peer: Peer, command: dict[str, Any]) -> dict[str, Any]:
    """Do what a command says."""
    began = perf_counter()
    found: Sequence[int] = ()
    match command["do"]:
        case "load":
            peer.load(command)
        case "ask":
            found = peer.ask(command["question"], command["number"])
        case "add":
            peer.add(command["text"])
            added = perf_counter()
            found = peer.ask(command["question"], command["number"])
            return {"ms": (perf_counter() - began) * 1000, "add_ms": (added - began) * 1000, "found": found}
        case other:
            raise ValueError(f"unknown command {other!r}")
    return {"ms": (perf_counter() - began) * 1000, "found": found, "memory_mb": _peak_memory_mb()}


def _peak_memory_mb() -> float:
    # Not getrusage, which counts what the benchmark had when it started this process.
    with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        peer = PEERS[sys.argv[1]]()
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(peer, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
