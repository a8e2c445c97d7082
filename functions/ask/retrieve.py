"""Retrieval: the chunks that may answer a question, by keyword and by meaning."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from functions.ask import embedded
from functions.ask.rank import CANDIDATES, Candidate, Fusion, distinct, fuse
from minirag.knowledge.chunks import Chunk, read
from minirag.knowledge.embeddings import Embedded, Embedder
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import search as lexical
from minirag.knowledge.lexical import view
from minirag.knowledge.lexical.analyzer import DEFAULT, query_terms, terms
from minirag.knowledge.lexical.bm25 import Statistics
from minirag.knowledge.lexical.view import View
from minirag.knowledge.vectors import search as vectors
from minirag.runtime import db, telemetry
from minirag.runtime.errors import OutOfTime, Unavailable
from minirag.tenancy.identity import Caller

# The question is embedded while BM25 runs: the one place where two waits overlap.
_beside: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")
# Of the time there is, what embedding the question may take: the words alone can be searched, and answered from.
_EMBEDDING_SHARE: Final = 0.3
# Read beyond what is wanted, to fill up for near-duplicates.
_SPARE: Final = 8
# Sums of idf that differ by less are the same.
_EQUAL: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found, best first, and what the decision to answer needs to know.

    `candidates` are all that were fused, by their numbers in `chunks`. `asked` are the terms that were searched, and
    `vector` the question's, None if nothing was searched by meaning. `language` is the one the question is taken to be
    in; `statistics` are of its terms in the workspace. `degraded`: embedding the question failed.
    """

    found: list[tuple[Candidate, Chunk]]
    candidates: Sequence[Candidate]
    chunks: View
    asked: Sequence[str]
    vector: NDArray[np.float32] | None
    language: str
    statistics: Statistics
    embedding_model: str | None
    embedding_tokens: int
    degraded: bool


def retrieve(
    caller: Caller,
    query: str,
    *,
    k: int,
    filters: Filters,
    embedder: Embedder | None,
    seconds: float,
    fusion: Fusion = Fusion.ATTAINABLE,
) -> Retrieved:
    """The `k` best chunks for `query`. While embedding fails, keyword search alone answers."""
    languages = caller.languages or (DEFAULT,)
    asked = query_terms(query, languages)
    if embedder is not None and not _knows(embedder, *languages):
        embedder = None
    vector = embedded.find(caller.workspace_id, embedder, query) if embedder else None
    tokens, degraded = 0, False
    if embedder is not None and vector is None:
        embedding = _beside.submit(embedder.embed, [query], seconds=_EMBEDDING_SHARE * seconds)
        # Meanwhile the words are searched: that reads their postings, and tells the language.
        with db.snapshot(caller.tenant) as tx:
            chunks = view.Request(tx, caller.workspace_id, filters)
            statistics = lexical.Request(tx, caller.workspace_id, asked, chunks).found(CANDIDATES).statistics
        # No snapshot is held while waiting for a model.
        if _knows(embedder, _language(_attainable(query, languages, statistics), embedder)):
            vector, tokens = _await(embedding)
            degraded = vector is None
            if vector is not None:
                embedded.keep(caller.workspace_id, embedder, query, vector)

    with db.snapshot(caller.tenant) as tx:
        chunks = view.Request(tx, caller.workspace_id, filters)
        keyword = lexical.Request(tx, caller.workspace_id, asked, chunks)
        nearest = None
        if embedder is not None and vector is not None:
            nearest = vectors.Request(tx, caller.workspace_id, embedder.model, vector, chunks)
            nearest.look(CANDIDATES)
        by_keyword = keyword.found(CANDIDATES)
        attainable = _attainable(query, languages, by_keyword.statistics)
        language = _language(attainable, embedder)
        by_meaning: vectors.Found | None = None
        if nearest is not None and embedder is not None and _knows(embedder, language):
            by_meaning = nearest.found(beside=by_keyword.best)
        candidates = _fuse(by_keyword, by_meaning, attainable[language], fusion)
        found = _read(tx, caller.workspace_id, by_keyword.chunks, candidates, k)
    return Retrieved(
        found=found,
        candidates=candidates,
        chunks=by_keyword.chunks,
        asked=asked,
        vector=vector if by_meaning is not None else None,
        language=language,
        statistics=by_keyword.statistics,
        embedding_model=embedder.model if embedder and by_meaning is not None else None,
        embedding_tokens=tokens,
        degraded=degraded,
    )


def _await(embedding: Future[Embedded]) -> tuple[NDArray[np.float32] | None, int]:
    """The question's vector, and the tokens it cost; None if it could not be had."""
    try:
        result = embedding.result()
    except (Unavailable, OutOfTime) as error:
        telemetry.event("ask.embedding_failed", code=error.code)
        return None, 0
    return result.vectors[0], result.tokens


def _knows(embedder: Embedder, *languages: str) -> bool:
    """Whether the model was trained on any of `languages`: its vectors of others are worse than none."""
    return embedder.languages is None or not embedder.languages.isdisjoint(languages)


def _attainable(query: str, languages: tuple[str, ...], statistics: Statistics) -> dict[str, float]:
    """By language, the score that no chunk reaches: the sum of the idf of the question's terms.

    A language of whose words nothing is left is none that the question could be in, unless there is no other.
    """
    analyzed = {language: terms(query, language) for language in languages}
    some = {language: asked for language, asked in analyzed.items() if asked} or analyzed
    return {language: sum(statistics.idf(term) for term in asked) or 1.0 for language, asked in some.items()}


def _language(attainable: Mapping[str, float], embedder: Embedder | None) -> str:
    """The language of the question: where least is attainable; in others its words are not known, and seem rare.

    Of several, one that the model knows, or the default.
    """
    least = min(attainable.values()) + _EQUAL
    possible = [language for language, most in attainable.items() if most <= least]
    return min(possible, key=lambda one: (embedder is None or not _knows(embedder, one), one != DEFAULT, one))


def _fuse(keyword: lexical.Found, meaning: vectors.Found | None, attainable: float, fusion: Fusion) -> list[Candidate]:
    if meaning is None:
        return fuse(keyword.scores(), None, attainable=attainable, fusion=fusion)
    return fuse(keyword.scores(meaning.nearest), meaning.scores(), attainable=attainable, fusion=fusion)


def _read(
    tx: db.Connection, workspace_id: UUID, chunks: View, candidates: Sequence[Candidate], k: int
) -> list[tuple[Candidate, Chunk]]:
    """The best candidates with their texts; what was removed meanwhile is left out.

    A few more are read than are wanted; if most of them repeat each other, the next ones are.
    """
    chunk_of: dict[int, Chunk] = {}
    kept: list[Candidate] = []
    for first in range(0, len(candidates), k + _SPARE):
        numbers = [candidate.number for candidate in candidates[first : first + k + _SPARE]]
        places = chunks.places(np.array(numbers, dtype=np.int64))
        stored = read(tx, workspace_id, places)
        chunk_of |= {number: stored[place] for number, place in zip(numbers, places, strict=True) if place in stored}
        texts = {number: (chunk.source_id, chunk.content) for number, chunk in chunk_of.items()}
        kept = distinct(candidates[: first + k + _SPARE], texts, k)
        if len(kept) == k:
            break
    return [(candidate, chunk_of[candidate.number]) for candidate in kept]
