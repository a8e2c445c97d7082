"""Workspaces: what an organization keeps its documents in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from psycopg.rows import class_row

from minirag.runtime.db import Connection

_INSERT: Final = """
INSERT INTO workspaces (id, organization_id, name) VALUES (%s, %s, %s)
RETURNING id, name, organization_id, created_at
"""
_INSERT_MEMBER: Final = "INSERT INTO workspace_members (workspace_id, user_id, role) VALUES (%s, %s, %s)"
_FIND: Final = "SELECT organization_id FROM workspaces WHERE id = %s"
_EMBEDDING_MODEL: Final = "SELECT embedding_model FROM workspaces WHERE id = %s"
_USE_MODEL: Final = "UPDATE workspaces SET embedding_model = %s, generation = generation + 1 WHERE id = %s"
_NEXT_GENERATION: Final = """
UPDATE workspaces
SET generation = generation + 1,
    languages = CASE WHEN %(language)s::text = ANY(languages) THEN languages
                     ELSE array_remove(languages || %(language)s::text, NULL) END,
    embedding_model = coalesce(embedding_model, %(embedding_model)s)
WHERE id = %(id)s
RETURNING embedding_model
"""


@dataclass(frozen=True, slots=True)
class Workspace:
    id: UUID
    name: str
    organization_id: UUID
    created_at: datetime


def new_id() -> UUID:
    """An id for a workspace to be: its transaction must name it before it exists."""
    return uuid4()


def create(tx: Connection, workspace_id: UUID, *, organization_id: UUID, name: str, creator: UUID) -> Workspace:
    """Make a workspace with `creator` as its admin; the transaction runs for the new id and the organization."""
    with tx.cursor(row_factory=class_row(Workspace)) as cursor:
        workspace = cursor.execute(_INSERT, (workspace_id, organization_id, name)).fetchone()
    assert workspace is not None
    tx.execute(_INSERT_MEMBER, (workspace_id, creator, "admin"))
    return workspace


def organization_of(tx: Connection, workspace_id: UUID) -> UUID | None:
    """The organization of the workspace this transaction runs for, or None if there is no such workspace."""
    row = tx.execute(_FIND, (workspace_id,)).fetchone()
    return None if row is None else row[0]


def embedding_model(tx: Connection, workspace_id: UUID) -> str | None:
    """The model whose vectors the workspace's questions are compared with; None before the first are stored."""
    row = tx.execute(_EMBEDDING_MODEL, (workspace_id,)).fetchone()
    return None if row is None else row[0]


def use_model(tx: Connection, workspace_id: UUID, model: str) -> None:
    """Compare questions with the vectors of this model from now on. Last in its transaction, as next_generation."""
    tx.execute(_USE_MODEL, (model, workspace_id))


def next_generation(
    tx: Connection, workspace_id: UUID, *, language: str | None = None, embedding_model: str | None = None
) -> str | None:
    """Say that what a question finds may have changed; returns the model whose vectors questions are compared with.

    And of a document, how it was analyzed (see analyzer.analysis_of) and which model embedded it, which becomes the
    workspace's if it has none. Last in its transaction: it locks the workspace's row.
    """
    values = {"id": workspace_id, "language": language, "embedding_model": embedding_model}
    row = tx.execute(_NEXT_GENERATION, values).fetchone()
    return None if row is None else row[0]
