"""The answers that were given: each belongs to who asked, and is seen by them and by admins of the workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from minirag.runtime import fragments
from minirag.runtime.db import Connection
from minirag.runtime.page import Cursor

# Its text is kept only if none of its documents is gone or being changed at this moment: held until this commits, none
# is deleted before the deletion sees what there is to empty. Nobody waits for a document that is being indexed.
_INSERT: Final = """
WITH held AS (
    SELECT s.id FROM sources s
    WHERE s.workspace_id = %(workspace_id)s AND s.id = ANY(%(source_ids)s) AND s.deleted_at IS NULL
    FOR KEY SHARE SKIP LOCKED
), whole AS (
    SELECT count(*) = cardinality(%(source_ids)s::uuid[]) AS kept FROM held
)
INSERT INTO answers (workspace_id, id, user_id, api_key_id, question, answer, outcome, score, answerability, provider,
                     model, finish, asked_provider, asked_model, cached, generation, k, filters, passages, citations,
                     unsupported, source_ids, prompt_version, prompt_hash, prompt_tokens, completion_tokens,
                     embedding_tokens, cost_usd, function_usd, saved_usd, prices, duration_ms, timings)
SELECT %(workspace_id)s, a.id, a.user_id, %(api_key_id)s, a.question, CASE WHEN kept THEN a.answer END, a.outcome,
       a.score, a.answerability, a.provider, a.model, a.finish, a.asked_provider, a.asked_model, a.cached, a.generation,
       a.k, a.filters, a.passages, CASE WHEN kept THEN a.citations ELSE '[]' END,
       CASE WHEN kept THEN a.unsupported ELSE '[]' END, %(source_ids)s::uuid[], a.prompt_version,
       decode(%(answer)s::json ->> 'prompt_hash', 'hex'), a.prompt_tokens, a.completion_tokens, a.embedding_tokens,
       a.cost_usd, a.function_usd, a.saved_usd, a.prices, a.duration_ms, a.timings
FROM whole, json_populate_record(NULL::answers, %(answer)s::json) a
"""
# Row-level security leaves out those of others, but for admins; `user_id` narrows further where it is asked for.
_PAGE: Final = """
SELECT id, user_id, question, answer, outcome, score, answerability, provider, model, finish, asked_provider,
       asked_model, cached, generation, k, filters, passages, citations, unsupported, prompt_version,
       encode(prompt_hash, 'hex') AS prompt_hash, prompt_tokens, completion_tokens, embedding_tokens, cost_usd,
       function_usd, saved_usd, prices, duration_ms, timings, created_at
FROM answers
WHERE workspace_id = %(workspace_id)s
  AND (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s)
  AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
"""
_FIND: Final = """
SELECT id, user_id, question, answer, outcome, score, answerability, provider, model, finish, asked_provider,
       asked_model, cached, generation, k, filters, passages, citations, unsupported, prompt_version,
       encode(prompt_hash, 'hex') AS prompt_hash, prompt_tokens, completion_tokens, embedding_tokens, cost_usd,
       function_usd, saved_usd, prices, duration_ms, timings, created_at
FROM answers
WHERE workspace_id = %s AND id = %s
"""
_RATE: Final = """
INSERT INTO answer_feedback AS f (workspace_id, answer_id, user_id, verdict, comment) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (workspace_id, answer_id, user_id)
DO UPDATE SET verdict = excluded.verdict, comment = excluded.comment, created_at = now()
RETURNING user_id, verdict, comment, created_at
"""
_FEEDBACK: Final = """
SELECT user_id, verdict, comment, created_at FROM answer_feedback
WHERE workspace_id = %s AND answer_id = %s ORDER BY created_at, user_id
"""
_EMPTY: Final = "SELECT empty_answers(%s)"
_FORGET: Final = "SELECT forget_answers(%s, %s)"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the log says of an answer that many may be given; `answer` None once it was emptied.

    It is emptied when a document was deleted, or while one changed, that it rests on. `prompt_hash` is the SHA-256 of
    what a model was, or would have been, given, in hexadecimal digits.
    """

    answer: str | None
    outcome: str
    score: float
    answerability: float | None
    provider: str
    model: str
    finish: str | None
    passages: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    unsupported: list[str]
    prompt_version: str | None
    prompt_hash: str | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the log says of one who was given it.

    `asked_provider` and `asked_model` are what the caller named, `cached` whether it was made for them (miss), for
    another at the same time (shared) or before (hit). `cost_usd` is what this answer took, `function_usd` of it the
    function's time, `saved_usd` what the model's call would have cost again; `prices` the version of the price table.
    `timings` are milliseconds by step.
    """

    id: UUID
    user_id: UUID
    question: str
    asked_provider: str | None
    asked_model: str | None
    cached: str
    generation: int
    k: int
    filters: dict[str, Any]
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    cost_usd: Decimal | None
    function_usd: Decimal | None
    saved_usd: Decimal | None
    prices: str | None
    duration_ms: int
    timings: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Logged(Made, Asked):
    """An answer that was given."""

    created_at: datetime


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody thought of an answer: `verdict` up or down."""

    user_id: UUID
    verdict: str
    comment: str
    created_at: datetime


def record(
    tx: Connection,
    workspace_id: UUID,
    asked: Asked,
    made: bytes,
    *,
    api_key_id: UUID | None,
    source_ids: Sequence[UUID],
) -> None:
    """Keep an answer: `made` is a Made, written as JSON, `source_ids` are the documents that it was made from."""
    values = {
        "workspace_id": workspace_id,
        "api_key_id": api_key_id,
        "source_ids": list(source_ids),
        # All else as one value: thirty take Python five times as long.
        "answer": fragments.join(fragments.write(asked), made).decode(),
    }
    tx.execute(_INSERT, values)


def page(
    tx: Connection, workspace_id: UUID, *, user_id: UUID | None, after: Cursor[UUID] | None, limit: int
) -> list[Logged]:
    """Those that the transaction's user may see, newest first; of `user_id` alone, if given."""
    values = {
        "workspace_id": workspace_id, "user_id": user_id, "limit": limit,
        "at": after.created_at if after else None, "id": after.id if after else None,
    }  # fmt: skip
    with tx.cursor(row_factory=class_row(Logged)) as cursor:
        return cursor.execute(_PAGE, values).fetchall()


def find(tx: Connection, workspace_id: UUID, answer_id: UUID) -> Logged | None:
    """One that the transaction's user may see."""
    with tx.cursor(row_factory=class_row(Logged)) as cursor:
        return cursor.execute(_FIND, (workspace_id, answer_id)).fetchone()


def rate(tx: Connection, workspace_id: UUID, answer_id: UUID, user_id: UUID, *, verdict: str, comment: str) -> Feedback:
    """What the user thinks of an answer that they may see, in place of what they thought before."""
    with tx.cursor(row_factory=class_row(Feedback)) as cursor:
        given = cursor.execute(_RATE, (workspace_id, answer_id, user_id, verdict, comment)).fetchone()
    assert given is not None
    return given


def feedback(tx: Connection, workspace_id: UUID, answer_id: UUID) -> list[Feedback]:
    """What was thought of an answer, as far as the transaction's user may see it."""
    with tx.cursor(row_factory=class_row(Feedback)) as cursor:
        return cursor.execute(_FEEDBACK, (workspace_id, answer_id)).fetchall()


def empty(tx: Connection, source_id: UUID) -> None:
    """Take what was answered from a deleted document out of all answers of the transaction's workspace."""
    tx.execute(_EMPTY, (source_id,))


def forget(tx: Connection, *, before: datetime, most: int) -> int:
    """Delete up to `most` of all tenants' answers that were given before; returns how many there were."""
    row = tx.execute(_FORGET, (before, most)).fetchone()
    return 0 if row is None else int(row[0])
