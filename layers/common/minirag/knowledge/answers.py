"""The answers that were given: each belongs to who asked, and is seen by them and by admins of the workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

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
INSERT INTO answers (workspace_id, id, user_id, api_key_id, question, answer, outcome, score, provider, model,
                     generation, k, filters, passages, citations, source_ids, prompt_hash, prompt_tokens,
                     completion_tokens, embedding_tokens, cost_usd, duration_ms)
SELECT %(workspace_id)s, %(id)s, %(user_id)s, %(api_key_id)s, %(question)s, CASE WHEN kept THEN %(answer)s END,
       %(outcome)s, %(score)s, %(provider)s, %(model)s, %(generation)s, %(k)s, %(filters)s, %(passages)s,
       CASE WHEN kept THEN %(citations)s ELSE '[]'::jsonb END, %(source_ids)s::uuid[], %(prompt_hash)s,
       %(prompt_tokens)s, %(completion_tokens)s, %(embedding_tokens)s, %(cost_usd)s, %(duration_ms)s
FROM whole
"""
# Row-level security leaves out those of others, but for admins; `user_id` narrows further where it is asked for.
_PAGE: Final = """
SELECT id, user_id, question, answer, outcome, score, provider, model, generation, k, filters, passages, citations,
       prompt_tokens, completion_tokens, embedding_tokens, cost_usd, duration_ms, created_at
FROM answers
WHERE workspace_id = %(workspace_id)s
  AND (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s)
  AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
"""
_FIND: Final = """
SELECT id, user_id, question, answer, outcome, score, provider, model, generation, k, filters, passages, citations,
       prompt_tokens, completion_tokens, embedding_tokens, cost_usd, duration_ms, created_at
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
# A line lost when the database's server crashes is no harm; waiting for the disk at every question would be.
_ASYNCHRONOUS: Final = "SET LOCAL synchronous_commit = off"


@dataclass(frozen=True, slots=True)
class Logged:
    """An answer that was given; `answer` None once a document was deleted, or while one changed, that it rests on."""

    id: UUID
    user_id: UUID
    question: str
    answer: str | None
    outcome: str
    score: float
    provider: str
    model: str
    generation: int
    k: int
    filters: dict[str, Any]
    passages: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int
    cost_usd: Decimal | None
    duration_ms: int
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
    answer: Logged,
    *,
    api_key_id: UUID | None,
    source_ids: Sequence[UUID],
    prompt_hash: bytes | None,
) -> None:
    """Keep an answer; `source_ids` are the documents that it was made from, `prompt_hash` what the model was given."""
    tx.execute(_ASYNCHRONOUS)
    values = {name: getattr(answer, name) for name in Logged.__slots__ if name != "created_at"}
    values |= {name: Jsonb(values[name]) for name in ("filters", "passages", "citations")}
    values |= {
        "workspace_id": workspace_id, "api_key_id": api_key_id, "source_ids": list(source_ids),
        "prompt_hash": prompt_hash,
    }  # fmt: skip
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
