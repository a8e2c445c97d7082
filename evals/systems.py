"""What is measured of the product: each set in a workspace of a real database, asked as a request asks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from evals.sets import Set
from evals.store import Document, Workspace
from functions.ask.rank import CANDIDATES, Fusion
from functions.ask.retrieve import retrieve
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Hit
from minirag.knowledge.vectors import search as vectors
from minirag.runtime import db
from minirag.tenancy.identity import Caller

KEYWORD: Final = "keyword"
VECTOR: Final = "vector"
HYBRID: Final = "hybrid"
# Ways of fusing that are not the product's default.
OTHERS: Final = {"hybrid, min-max": Fusion.MIN_MAX, "hybrid, reciprocal ranks": Fusion.RECIPROCAL_RANK}

_SECONDS: Final = 60.0

Run = dict[str, list[str]]  # documents by question, best first


@dataclass(frozen=True, slots=True)
class Filled:
    """A set in its workspace: which document each source is."""

    chosen: Set
    caller: Caller
    ids: Mapping[UUID, str]


def fill(workspace: Workspace, chosen: Set, documents: Sequence[Document], embedder: Embedder) -> Filled:
    """Store a set; a document without text would fail in ingestion, and is left out."""
    ids = {
        workspace.add(document, model=embedder.model): source.id
        for source, document in zip(chosen.sources, documents, strict=True)
        if document.passages
    }
    workspace.tidy()
    return Filled(chosen, workspace.caller(), ids)


def runs(filled: Filled, embedder: Embedder) -> dict[str, Run]:
    """Every system's answers to every question of the set."""
    names = [HYBRID, KEYWORD, VECTOR, *OTHERS]
    found: dict[str, Run] = {name: {} for name in names}
    for question, text in filled.chosen.questions.items():
        for name, documents in _answers(filled, embedder, text):
            found[name][question] = documents
    return found


def _answers(filled: Filled, embedder: Embedder, text: str) -> Iterator[tuple[str, list[str]]]:
    fusions = {HYBRID: Fusion.ATTAINABLE, KEYWORD: Fusion.ATTAINABLE, **OTHERS}
    for name, fusion in fusions.items():
        got = retrieve(
            filled.caller,
            text,
            k=CANDIDATES,
            filters=Filters(),
            embedder=None if name == KEYWORD else embedder,
            seconds=_SECONDS,
            fusion=fusion,
        )
        yield name, _documents(filled, (chunk.source_id for _, chunk in got.found))
    vector = embedder.embed([text], seconds=_SECONDS).vectors[0]
    with db.snapshot(filled.caller.tenant) as tx:
        by_meaning = _nearest(tx, filled.caller, embedder.model, vector)
    yield VECTOR, _documents(filled, (hit.source_id for hit in by_meaning))


def _nearest(tx: db.Connection, caller: Caller, model: str, vector: NDArray[np.float32]) -> list[Hit]:
    """The nearest chunks. The one place that knows how vectors are searched."""
    return vectors.search(tx, caller.workspace_id, model, vector, k=CANDIDATES, filters=Filters())


def _documents(filled: Filled, found: Iterable[UUID]) -> list[str]:
    """The documents of chunks: each where its best chunk stands."""
    return [filled.ids[source_id] for source_id in dict.fromkeys(found)]
