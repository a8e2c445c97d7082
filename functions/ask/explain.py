"""Why a document did or did not come up: where it stands in each list, and what left it out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from functions.ask.rank import CANDIDATES
from functions.ask.retrieve import Retrieved
from minirag.knowledge import sources
from minirag.knowledge.filters import Filters
from minirag.knowledge.hits import Standing
from minirag.knowledge.lexical import search as lexical
from minirag.knowledge.lexical import view
from minirag.knowledge.vectors import search as vectors
from minirag.runtime import db
from minirag.runtime.errors import NotFound
from minirag.tenancy.identity import Caller


class Outcome(StrEnum):
    """What became of a document."""

    RETURNED = "returned"
    BELOW_K = "below_k"
    BEYOND_CANDIDATES = "beyond_candidates"
    NO_MATCH = "no_match"
    FILTERED = "filtered"
    NOT_INDEXED = "not_indexed"
    DUPLICATE = "duplicate"


_SENTENCES: Final = {
    Outcome.RETURNED: "The document is among the passages returned.",
    Outcome.BELOW_K: "Other passages scored higher, and no more than k are returned. Ask for a larger k.",
    Outcome.BEYOND_CANDIDATES: f"No passage of it is among the best {CANDIDATES} of either list, which are fused.",
    Outcome.NO_MATCH: "It has none of the question's words, and it was not searched by meaning.",
    Outcome.FILTERED: "It does not meet the filters named. Its ranks by words and meaning are those without any.",
    Outcome.NOT_INDEXED: "It has no passages that could be found: see the status of the source.",
    Outcome.DUPLICATE: "It repeats another document exactly, which is searched in its place: see its duplicate_of.",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the best chunk of a source stands: by words, by meaning (if searched), and after fusion, from 1.

    `unmet` are the filters that the source does not meet; with any, the ranks are those without filters.
    """

    source_id: UUID
    outcome: Outcome
    detail: str
    unmet: list[str]
    keyword: Standing | None
    vector: Standing | None
    fused: Standing | None


def explain(caller: Caller, filters: Filters, retrieved: Retrieved, source_id: UUID) -> Explanation:
    """Explain what became of a source in a retrieval; raises NotFound if the workspace has none such."""
    workspace_id = caller.workspace_id
    with db.snapshot(caller.tenant) as tx:
        source = sources.find(tx, workspace_id, source_id)
        unmet: list[str] = []
        keyword = vector = None
        if source is not None:
            unmet = filters.unmet(
                source.id, kind=source.type, tags=source.tags, language=source.language, created_at=source.created_at
            )
            chunks = view.Request(tx, workspace_id, Filters() if unmet else filters)
            keyword = lexical.Request(tx, workspace_id, retrieved.asked, chunks).standing(source_id)
            if retrieved.vector is not None and retrieved.embedding_model is not None:
                request = vectors.Request(tx, workspace_id, retrieved.embedding_model, retrieved.vector, chunks)
                vector = request.standing(source_id)
    # Not within: rolling a transaction back would cost the connection its prepared statements.
    if source is None:
        raise NotFound("There is no such source.")
    own = retrieved.chunks.numbers(source_id)
    ordinals = dict(zip(own.tolist(), (ordinal for _, ordinal in retrieved.chunks.places(own)), strict=True))
    ranked = [
        (Standing(ordinals[one.number], one.score, rank), one.vector_rank)
        for rank, one in enumerate(retrieved.candidates, 1)
        if one.number in ordinals
    ]
    fused = ranked[0][0] if ranked else None
    # Of the candidates the exact rank is known.
    for standing, vector_rank in ranked:
        if vector is not None and standing.ordinal == vector.ordinal and vector_rank is not None:
            vector = Standing(vector.ordinal, vector.score, vector_rank)
    if unmet:
        outcome = Outcome.FILTERED
    elif source.duplicate_of is not None:
        outcome = Outcome.DUPLICATE
    elif source.chunks == 0:
        outcome = Outcome.NOT_INDEXED
    elif any(chunk.source_id == source_id for _, chunk in retrieved.found):
        outcome = Outcome.RETURNED
    elif fused is not None:
        outcome = Outcome.BELOW_K
    elif keyword is None and vector is None:
        outcome = Outcome.NO_MATCH
    else:
        outcome = Outcome.BEYOND_CANDIDATES
    return Explanation(source_id, outcome, _SENTENCES[outcome], unmet, keyword, vector, fused)
