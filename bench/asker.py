"""A process that asks: on a core of its own beside its database and its cache, with a filled workspace under limits.

What the benchmarks know of how a question is told its vector, and where log lines go, lies in this file.
"""

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import httpx
import numpy as np
import psycopg
import tiktoken
from numpy.typing import NDArray

from bench import texts as sentences
from bench.engine import Merging, Tenant, minilm
from bench.synthetic import Clusters
from bench.texts import SEED, Texts
from evals.store import Document, Store, Workspace, store
from functions.ask import embedded
from local.valkey import Valkey
from minirag.knowledge import texts as canonical
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.embeddings.choose import embedder
from minirag.runtime import db, settings
from tests.fakes.openai_server import OpenAIServer
from tests.transport import context, invocation

TOKENS: Final = 512  # of a chunk, as ingestion makes them
PASSAGES: Final = 50  # of a source
K: Final = 8

_CORES: Final = sorted(os.sched_getaffinity(0))
_WINDOWS: Final = 3  # in which MiniLM reads a chunk of this length
# Between a question and the chunk that its words find first; that of real pairs lies about there.
_COSINE: Final = 0.6
_LONGEST: Final = 300  # characters of a question
_URL: Final = "https://bench/api/v1/ask"
_PER_MINUTE: Final = "100000000"
_QUOTA: Final = """
INSERT INTO workspace_quota_settings
    (workspace_id, chunk_limit, storage_bytes_limit, request_limit_per_day, cost_limit_usd_a_month)
SELECT id, 10000000, 1000000000000, 100000000, 100000 FROM workspaces
"""


def draw_questions(wanted: int, *, seed: int = SEED) -> list[str]:
    """Different questions, none longer than people ask; the same for the same seed."""
    return [one for one in sentences.load().questions(wanted * 2, seed=seed) if len(one) <= _LONGEST][:wanted]


class Call:
    """A question as API Gateway hands it over, as often as it is wanted."""

    def __init__(self, workspace: Workspace, question: str, **more: str) -> None:
        request = httpx.Request(
            "POST", _URL, json={"query": question, "k": K, **more}, headers=workspace.tenant.headers
        )
        self._handler, self._event = invocation(request)
        self._context = context()

    def __call__(self) -> tuple[float, dict[str, Any]]:
        """Milliseconds in the handler, and its response; making the event is API Gateway's work."""
        self._event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
        began = perf_counter()
        response = self.handle()
        took = (perf_counter() - began) * 1000
        assert response["statusCode"] == HTTPStatus.OK, response
        return took, response

    def handle(self) -> dict[str, Any]:
        """The handler's response."""
        response: dict[str, Any] = self._handler(self._event, self._context)
        return response


@dataclass(slots=True)
class Asker:
    """A workspace of `size` chunks and who asks it."""

    workspace: Workspace
    valkey: Valkey
    log: Path
    size: int
    using: Embedder
    _rows: dict[tuple[UUID, int], int] = field(default_factory=dict)
    _vectors: list[NDArray[np.float32]] = field(default_factory=list)

    def fill(self, texts: Texts) -> None:
        """Fill the workspace as ingestion does; the same each time."""
        merging, number = Merging(self.workspace), 0
        for document in documents(texts, self.size):
            self.add(document)
            merging.tidy()
            number += len(document.passages)

    def add(self, document: Document) -> None:
        """Store a document."""
        source_id = add(self.workspace, document, self.using.model)
        for ordinal, windows in enumerate(document.windows):
            self._rows[source_id, ordinal] = len(self._vectors)
            self._vectors.append(windows[0])

    def know(self, questions: Sequence[str]) -> None:
        """Know the vectors of questions, so that nothing is embedded: near the chunk that the words find first."""
        rng = np.random.default_rng([SEED, 2])
        tenant = Tenant(self.workspace)
        for question in questions:
            hits = tenant.keyword(question, 1)
            row = self._rows[hits[0].source_id, hits[0].ordinal] if hits else 0
            vector = turned(self._vectors[row], rng)
            embedded.keep(self.workspace.id, self.using, question, vector)

    def call(self, question: str, **more: str) -> Call:
        """A question, ready to be asked."""
        return Call(self.workspace, question, **more)


@contextmanager
def asking(size: int, **variables: str) -> Iterator[Asker]:
    """Fill a workspace of `size` chunks, with all that asking takes in place: limits, a rate, a cache, a log."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with servers_core():
            valkey = stack.enter_context(Valkey(folder / "valkey"))
            database = stack.enter_context(
                store(**minilm(), MINIRAG_REDIS_URL=valkey.url, MINIRAG_ASK_PER_MINUTE=_PER_MINUTE, **variables)
            )
        stack.enter_context(own_core())
        log = folder / "log"
        stack.enter_context(logged(log))
        yield _filled(database, valkey, log, size)


def _filled(database: Store, valkey: Valkey, log: Path, size: int) -> Asker:
    workspace = database.workspace()
    using = embedder(settings.current(), workspace.caller().embedding_model or "all-MiniLM-L6-v2-int8")
    assert using is not None
    asker = Asker(workspace, valkey, log, size, using)
    asker.fill(sentences.load())
    with psycopg.connect(database.postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute(_QUOTA)
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")
    return asker


def add(workspace: Workspace, document: Document, model: str | None) -> UUID:
    """Store a document in one transaction, as ingestion does, and its canonical text in another."""
    source_id = workspace.add(document, model=model)
    text = "".join(document.passages)
    parts = [
        canonical.Part(None, at, min(at + canonical.PART_CHARS, len(text)), text[at : at + canonical.PART_CHARS])
        for at in range(0, len(text), canonical.PART_CHARS)
    ]
    with db.transaction(db.Tenant(workspace_id=workspace.id)) as tx:
        canonical.put(tx, workspace.id, source_id, parts)
    return source_id


def documents(
    texts: Texts, size: int, *, seed: int = SEED, dimension: int = 384, windows: int = _WINDOWS
) -> Iterator[Document]:
    """Documents of PASSAGES chunks each, `size` chunks together, each of as many sentences as TOKENS tokens hold.

    Each chunk has `windows` vectors of `dimension`.
    """
    encoding = tiktoken.get_encoding("cl100k_base")
    # Each begins with the blank that is before it in a passage.
    lengths = [len(tokens) for tokens in encoding.encode_ordinary_batch([f" {one}" for one in texts.sentences])]
    clusters = Clusters(dimension)
    for number, first in enumerate(range(0, size, PASSAGES)):
        rng = np.random.default_rng([seed, number])
        passages = [passage(texts, lengths, rng) for _ in range(min(PASSAGES, size - first))]
        vectors = clusters.vectors(windows * len(passages), part=number)
        title = " ".join(texts.sentences[int(rng.integers(len(texts.sentences)))].split()[:5])
        yield Document(title, passages, list(vectors.reshape(len(passages), windows, dimension)))


def passage(texts: Texts, lengths: Sequence[int], rng: np.random.Generator) -> str:
    """Sentences drawn at random, as many as fit into TOKENS."""
    drawn: list[str] = []
    left = TOKENS
    while True:
        one = int(rng.integers(len(texts.sentences)))
        left -= lengths[one]
        if left < 0 and drawn:
            return " ".join(drawn)
        drawn.append(texts.sentences[one])


def turned(vector: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A unit vector at the cosine _COSINE to another."""
    other = rng.standard_normal(len(vector)).astype(np.float32)
    other -= vector * (other @ vector)
    other /= np.linalg.norm(other)
    made = np.float32(_COSINE) * vector + np.float32(np.sqrt(1 - _COSINE**2)) * other
    return np.asarray(made, dtype=np.float32)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Within, the settings of this process have these variables, too; an empty one is none."""
    before = dict(os.environ)
    os.environ.update(variables)
    settings.current.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.current.cache_clear()


@contextmanager
def openai() -> Iterator[dict[str, str]]:
    """The stand-in for OpenAI, in a process of its own on the servers' core; its variables."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there,), daemon=True)
    with servers_core():
        process.start()
    # Whoever waits for a process that has ended is told so.
    there.close()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join()


def _serve(pipe: Connection) -> None:
    with OpenAIServer() as server:
        pipe.send({"OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": server.url})
        pipe.recv()


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Write the log lines of this process to a file: they are a part of the work, and nobody reads them here."""
    handlers = [one for one in logging.getLogger("mini-rag").handlers if isinstance(one, logging.StreamHandler)]
    assert handlers
    with path.open("w", encoding="utf-8") as lines:
        before = [handler.setStream(lines) for handler in handlers]
        try:
            yield
        finally:
            for handler, stream in zip(handlers, before, strict=True):
                handler.setStream(stream)


@contextmanager
def servers_core() -> Iterator[None]:
    """What is started within runs on the last core of this machine."""
    with _on(_CORES[-1]):
        yield


@contextmanager
def own_core() -> Iterator[None]:
    """Within, this process, and what it starts, runs on the first core alone."""
    with _on(_CORES[0]):
        yield


@contextmanager
def _on(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    _pin({core})
    try:
        yield
    finally:
        _pin(before)


def _pin(cores: set[int]) -> None:
    # Those of numpy, too, which it started long ago.
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
