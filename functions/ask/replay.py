"""A question again: what is found for it now, beside what was found when it was answered."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from functions.ask import prompt, spend, support
from functions.ask.compose import gather
from functions.ask.question import Question
from minirag.knowledge import chunks
from minirag.knowledge.answers import Logged
from minirag.knowledge.filters import Filters
from minirag.knowledge.llm.choose import providers
from minirag.runtime import db, settings
from minirag.tenancy.identity import Caller

_filters: Final = TypeAdapter(Filters)


class Change(StrEnum):
    """What became of a passage since."""

    SAME = "same"
    MOVED = "moved"
    NEW = "new"
    OUTRANKED = "outranked"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stood: `rank` from 1 after fusion, and its ranks in the lists of words and of meaning."""

    rank: int
    score: float
    keyword: int | None
    vector: int | None


_Standing = tuple[UUID, Place]  # of a source's chunk


@dataclass(frozen=True, slots=True)
class Compared:
    """A passage, where it stood and where it stands; GONE if its document was deleted, or replaced, since."""

    chunk_id: UUID
    source_id: UUID
    change: Change
    then: Place | None
    now: Place | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What differs: `same_prompt` None if no prompt was kept or none is made now."""

    generation: int
    prompt_version: str
    prompt_hash: str | None
    same_prompt: bool | None
    answerability: float | None
    passages: list[Compared]


def replay(caller: Caller, logged: Logged, *, seconds: float) -> Replay:
    """Retrieve for a question that was answered, and build its prompt, as it would be done now; no model is called."""
    question = Question(
        logged.question, logged.k, _filters.validate_python(logged.filters), logged.asked_provider, logged.asked_model
    )
    first = providers(settings.current(), question.provider, question.model)[0]
    evidence = gather(caller, question, first, seconds=seconds)
    spend.count_embedding(caller, evidence.retrieved)
    then = {
        UUID(one["chunk_id"]): (UUID(one["source_id"]), Place(rank, one["score"], one["keyword"], one["vector"]))
        for rank, one in enumerate(logged.passages, 1)
    }
    now = {
        chunk.id: (chunk.source_id, Place(rank, round(one.score, 6), one.keyword_rank, one.vector_rank))
        for rank, (one, chunk) in enumerate(evidence.retrieved.found, 1)
    }
    with db.transaction(caller.tenant) as tx:
        existing = chunks.existing(tx, caller.workspace_id, then.keys())
    digest = prompt.digest(evidence.prompt) if evidence.prompt else None
    return Replay(
        generation=caller.generation,
        prompt_version=prompt.VERSION,
        prompt_hash=digest,
        same_prompt=None if digest is None or logged.prompt_hash is None else digest == logged.prompt_hash,
        answerability=support.probability(evidence.signals) if evidence.signals else None,
        passages=_compare(then, now, existing),
    )


def _compare(
    then: Mapping[UUID, _Standing], now: Mapping[UUID, _Standing], existing: AbstractSet[UUID]
) -> list[Compared]:
    """Those of then in their order, after them those that are new."""
    compared = []
    for chunk_id, (source_id, before) in then.items():
        _, after = now.get(chunk_id, (source_id, None))
        if after is not None:
            change = Change.SAME if after == before else Change.MOVED
        else:
            change = Change.OUTRANKED if chunk_id in existing else Change.GONE
        compared.append(Compared(chunk_id, source_id, change, before, after))
    new = ((chunk_id, *standing) for chunk_id, standing in now.items() if chunk_id not in then)
    return compared + [Compared(chunk_id, source_id, Change.NEW, None, place) for chunk_id, source_id, place in new]
