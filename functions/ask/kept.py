"""What is kept of an answer for all who ask the same: what each response and each row of the log says of it.

Both are written when the answer is made. Whoever is given it later gets these bytes, joined with what is theirs.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID
from zlib import crc32

from pydantic import TypeAdapter

from functions.ask.bodies import AnswerOut, ChunkOut, CitationOut, PassagesOut
from functions.ask.compose import Answer
from minirag.knowledge import answers
from minirag.runtime import fragments


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What must be known of an answer to give it: for its receipt, for the log, for whoever watches."""

    outcome: str
    provider: str
    source_ids: list[UUID]
    chunks: int
    citations: int
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    model_usd: Decimal | None
    timings: dict[str, float]


_facts: Final = TypeAdapter(Facts)
_LAYOUT: Final = 1  # of what `pack` writes
FORM: Final = fragments.form(Facts, AnswerOut, PassagesOut, answers.Made, layout=_LAYOUT)
"""A part of the key: what was kept in another form is not found."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer; but for its facts JSON objects: an AnswerOut, a PassagesOut and an answers.Made."""

    facts: Facts
    answer: bytes
    passages: bytes
    row: bytes

    @classmethod
    def of(cls, answer: Answer) -> "Kept":
        facts = Facts(
            outcome=answer.outcome,
            provider=answer.provider,
            source_ids=list({chunk.source_id for _, chunk in answer.found}),
            chunks=len(answer.found),
            citations=len(answer.citations),
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            embedding_tokens=answer.embedding_tokens,
            model_usd=answer.model_usd,
            timings=answer.timings,
        )
        parts = (_answer(answer), _passages(answer), _row(answer))
        return cls(facts, *map(fragments.write, parts))

    def pack(self) -> bytes:
        """All of it as lines, the last of which tells whether the others are whole."""
        lines = b"\n".join((_facts.dump_json(self.facts), self.answer, self.passages, self.row))
        return b"%b\n%08x" % (lines, crc32(lines))

    @classmethod
    def unpack(cls, packed: bytes) -> "Kept":
        """What was packed. Raises ValueError where that is not what was given."""
        lines, _, checksum = packed.rpartition(b"\n")
        if checksum != b"%08x" % crc32(lines):
            raise ValueError("This is no answer, or not all of one.")
        facts, *parts = lines.split(b"\n")
        return cls(_facts.validate_json(facts), *parts)


def _answer(answer: Answer) -> AnswerOut:
    return AnswerOut(
        answer=answer.text,
        outcome=answer.outcome,
        citations=[CitationOut.of(citation) for citation in answer.citations],
        score=round(answer.score, 4),
        answerability=None if answer.answerability is None else round(answer.answerability, 4),
        unsupported=answer.unsupported,
        provider=answer.provider,
        model=answer.model,
    )


def _passages(answer: Answer) -> PassagesOut:
    chunks = [ChunkOut.of(candidate, chunk) for candidate, chunk in answer.found]
    return PassagesOut(count=len(chunks), chunks=chunks)


def _row(answer: Answer) -> answers.Made:
    return answers.Made(
        answer=answer.text,
        outcome=answer.outcome,
        score=answer.score,
        answerability=answer.answerability,
        provider=answer.provider,
        model=answer.model,
        finish=answer.finish,
        passages=[
            {
                "chunk_id": str(chunk.id),
                "source_id": str(chunk.source_id),
                "start": chunk.start_offset,
                "end": chunk.end_offset,
                "score": round(candidate.score, 6),
                "keyword": candidate.keyword_rank,
                "vector": candidate.vector_rank,
            }
            for candidate, chunk in answer.found
        ],
        citations=[
            {
                "marker": one.marker,
                "chunk_id": str(one.chunk_id),
                "source_id": str(one.source_id),
                "page": one.page,
                "section": one.section,
                "start": one.start,
                "end": one.end,
            }
            for one in answer.citations
        ],
        unsupported=answer.unsupported,
        prompt_version=answer.prompt_version,
        prompt_hash=answer.prompt_hash,
    )
