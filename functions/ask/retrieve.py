"""Retrieval: the chunks that may answer a question, by keyword and by meaning."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from functions.ask.rank import CANDIDATES, Candidate, fuse
from minirag.knowledge import chunks, vectors
from minirag.knowledge.chunks import Chunk
from minirag.knowledge.embeddings import Embedded, Embedder
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.lexical.bm25 import Statistics
from minirag.runtime import db, telemetry
from minirag.runtime.errors import OutOfTime, Unavailable

# The question is embedded while BM25 runs: the one place where two waits overlap.
_beside: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found, best first, and what the decision to answer needs to know.

    `statistics` of the question's terms in the workspace; `cosine` the nearest chunk's, None if nothing was searched by
    meaning.
    """

    found: list[tuple[Candidate, Chunk]]
    statistics: Statistics
    cosine: float | None
    embedding_model: str | None
    embedding_tokens: int


def retrieve(
    tenant: db.Tenant,
    workspace_id: UUID,
    query: str,
    *,
    k: int,
    filters: Filters,
    embedder: Embedder | None,
    seconds: float,
) -> Retrieved:
    """The `k` best chunks for `query`. While embedding fails, keyword search alone answers."""
    embedding = _beside.submit(embedder.embed, [query], seconds=seconds) if embedder else None
    with db.transaction(tenant, snapshot=True) as tx:
        by_keyword = lexical.search(tx, workspace_id, terms(query), k=CANDIDATES, filters=filters)
    # No snapshot is held while waiting for a model.
    embedded: Embedded | None = None
    if embedding is not None:
        try:
            embedded = embedding.result()
        except (Unavailable, OutOfTime) as error:
            telemetry.event("ask.embedding_failed", code=error.code)
    with db.transaction(tenant, snapshot=True) as tx:
        by_meaning = None
        if embedder is not None and embedded is not None:
            by_meaning = vectors.search(
                tx, workspace_id, embedder.model, embedded.vectors[0], k=CANDIDATES, filters=filters
            )
        candidates = fuse(
            [(hit.chunk_id, hit.score) for hit in by_keyword.hits],
            None if by_meaning is None else [(hit.chunk_id, hit.score) for hit in by_meaning],
            k=k,
        )
        # A chunk that was replaced meanwhile is no longer there, and is left out.
        stored = chunks.read(tx, workspace_id, [candidate.chunk_id for candidate in candidates])
    return Retrieved(
        found=[(candidate, stored[candidate.chunk_id]) for candidate in candidates if candidate.chunk_id in stored],
        statistics=by_keyword.statistics,
        cosine=by_meaning[0].score if by_meaning else None,
        embedding_model=embedder.model if embedder and embedded else None,
        embedding_tokens=embedded.tokens if embedded else 0,
    )
