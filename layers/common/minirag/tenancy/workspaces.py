"""Workspaces: what an organization keeps its documents in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from psycopg.rows import class_row

from minirag.runtime.db import Connection
from minirag.runtime.errors import Conflict, NotFound
from minirag.runtime.page import Cursor

_INSERT: Final = """
INSERT INTO workspaces (id, organization_id, name) VALUES (%s, %s, %s)
RETURNING id, name, organization_id, created_at
"""
_INSERT_MEMBER: Final = """
INSERT INTO workspace_members (organization_id, workspace_id, user_id, role) VALUES (%s, %s, %s, 'admin')
"""
_FIND: Final = "SELECT organization_id FROM workspaces WHERE id = %s AND deleted_at IS NULL"
_COUNT: Final = "SELECT count(*) FROM workspaces WHERE organization_id = %s AND deleted_at IS NULL"
_HOLD: Final = "SELECT 1 FROM workspaces WHERE id = %s AND deleted_at IS NULL FOR KEY SHARE"
_GET: Final = """
SELECT id, name, organization_id, created_at FROM workspaces WHERE id = %s AND deleted_at IS NULL
"""
_RENAME: Final = """
UPDATE workspaces SET name = %s WHERE id = %s AND deleted_at IS NULL RETURNING id, name, organization_id, created_at
"""
_LOCK: Final = "SELECT 1 FROM workspaces WHERE id = %s AND deleted_at IS NULL FOR UPDATE"
_HOLDS_DOCUMENTS: Final = "SELECT EXISTS (SELECT FROM sources WHERE workspace_id = %s AND deleted_at IS NULL)"
_DELETE: Final = "UPDATE workspaces SET deleted_at = now(), generation = generation + 1 WHERE id = %s"
_DELETE_MEMBERS: Final = "DELETE FROM workspace_members WHERE workspace_id = %s"
_END_KEYS: Final = "UPDATE api_keys SET revoked_at = now() WHERE workspace_id = %s AND revoked_at IS NULL"
_END_INVITATIONS: Final = "UPDATE invitations SET ended_at = now() WHERE workspace_id = %s AND ended_at IS NULL"
_EMBEDDING_MODEL: Final = "SELECT embedding_model FROM workspaces WHERE id = %s"
_USE_MODEL: Final = "UPDATE workspaces SET embedding_model = %s, generation = generation + 1 WHERE id = %s"
_FIND_ALL: Final = "SELECT * FROM find_workspaces(%s, %s, %s, %s, %s)"
_CLEAR_CACHE: Final = """
UPDATE workspaces SET generation = generation + 1, sources_version = sources_version + 1 WHERE id = %s
"""
_NEXT_GENERATIONS: Final = "SELECT next_generations()"
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


@dataclass(frozen=True, slots=True)
class Overview:
    """A workspace, as operators see it."""

    id: UUID
    organization_id: UUID
    name: str
    generation: int
    chunks: int
    bytes: int
    created_at: datetime
    deleted_at: datetime | None


def new_id() -> UUID:
    """An id for a workspace to be: its transaction must name it before it exists."""
    return uuid4()


def create(tx: Connection, workspace_id: UUID, *, organization_id: UUID, name: str, creator: UUID) -> Workspace:
    """Make a workspace with `creator` as its admin; the transaction runs for the new id and the organization."""
    with tx.cursor(row_factory=class_row(Workspace)) as cursor:
        workspace = cursor.execute(_INSERT, (workspace_id, organization_id, name)).fetchone()
    assert workspace is not None
    tx.execute(_INSERT_MEMBER, (organization_id, workspace_id, creator))
    return workspace


def find(tx: Connection, workspace_id: UUID) -> Workspace | None:
    """The workspace this transaction runs for, or None if there is no such workspace."""
    with tx.cursor(row_factory=class_row(Workspace)) as cursor:
        return cursor.execute(_GET, (workspace_id,)).fetchone()


def count(tx: Connection, organization_id: UUID) -> int:
    """How many workspaces the organization has that the transaction runs for."""
    row = tx.execute(_COUNT, (organization_id,)).fetchone()
    return 0 if row is None else int(row[0])


def hold(tx: Connection, workspace_id: UUID) -> None:
    """Keep the workspace from being deleted until the transaction ends. Raises NotFound if it has been."""
    if tx.execute(_HOLD, (workspace_id,)).fetchone() is None:
        raise NotFound("There is no such workspace.")


def rename(tx: Connection, workspace_id: UUID, name: str) -> Workspace | None:
    """Call the workspace something else; None if there is no such workspace."""
    with tx.cursor(row_factory=class_row(Workspace)) as cursor:
        return cursor.execute(_RENAME, (name, workspace_id)).fetchone()


def delete(tx: Connection, workspace_id: UUID) -> bool:
    """Delete the workspace: nobody is in it from now on; False if there is no such workspace.

    Raises Conflict while it holds documents, whose deletion is a promise of its own.
    """
    if tx.execute(_LOCK, (workspace_id,)).fetchone() is None:
        return False
    row = tx.execute(_HOLDS_DOCUMENTS, (workspace_id,)).fetchone()
    if row is not None and row[0]:
        raise Conflict("The workspace still holds documents. Delete them first.")
    tx.execute(_DELETE_MEMBERS, (workspace_id,))
    tx.execute(_END_KEYS, (workspace_id,))
    tx.execute(_END_INVITATIONS, (workspace_id,))
    tx.execute(_DELETE, (workspace_id,))
    return True


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


def page(
    tx: Connection, *, workspace_id: UUID | None, organization_id: UUID | None, after: Cursor[UUID] | None, limit: int
) -> list[Overview]:
    """Workspaces of all organizations, newest first, for operators."""
    at, row_id = (after.created_at, after.id) if after else (None, None)
    with tx.cursor(row_factory=class_row(Overview)) as cursor:
        return cursor.execute(_FIND_ALL, (workspace_id, organization_id, at, row_id, limit)).fetchall()


def overview(tx: Connection, workspace_id: UUID) -> Overview | None:
    """A workspace, for operators."""
    return next(iter(page(tx, workspace_id=workspace_id, organization_id=None, after=None, limit=1)), None)


def clear_cache(tx: Connection, workspace_id: UUID) -> None:
    """Let no answer or list of the workspace be found any more that was cached. Last in its transaction."""
    tx.execute(_CLEAR_CACHE, (workspace_id,))


def clear_caches(tx: Connection) -> int:
    """Let no answer or list be found any more that was cached, of any workspace, for operators; returns of how many."""
    row = tx.execute(_NEXT_GENERATIONS).fetchone()
    return 0 if row is None else int(row[0])
