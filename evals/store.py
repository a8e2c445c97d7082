"""A database of its own, filled with passages as ingestion fills it, for evaluations and benchmarks.

What is left out is what comes before: files, queues, extraction and the embedding, whose vectors are given.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from functions.ingest.remove import clear_content
from local.postgres import Postgres, temporary
from minirag.knowledge import chunks, sources
from minirag.knowledge.jobs import Content
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.lexical import merge
from minirag.knowledge.lexical.analyzer import analysis_of, terms
from minirag.knowledge.vectors import store as vectors
from minirag.runtime import db, settings
from minirag.runtime.migrate import migrate
from minirag.tenancy import quotas, workspaces
from minirag.tenancy.api_keys import hash_key
from minirag.tenancy.identity import Caller, Origin, identify
from minirag.tenancy.roles import READ
from tests import tenants


@dataclass(frozen=True, slots=True)
class Document:
    """A document as passages; `windows[i]` are the unit vectors of passage i, (windows, dimension), if it has any."""

    title: str
    passages: Sequence[str]
    windows: Sequence[NDArray[np.float32]] = field(default=())
    language: str = "en"


class Workspace:
    """A workspace and its caller, as a request would have them."""

    def __init__(self, superuser_url: str) -> None:
        self.tenant = tenants.make(superuser_url)
        self.id = self.tenant.workspace_id
        # As of the last document.
        self.due: merge.Due | None = None

    def caller(self) -> Caller:
        """Who asks: read anew, as each request does."""
        found = identify(hash_key(self.tenant.key), READ, Origin("eval"))
        assert isinstance(found, Caller)
        return found

    def add(self, document: Document, *, model: str | None = None, analyzed: Sequence[list[str]] | None = None) -> UUID:
        """Store a document in one transaction; `analyzed` are its passages' terms, if they are there already."""
        source_id = uuid4()
        if analyzed is None:
            title = terms(document.title, document.language)
            analyzed = [title + terms(passage, document.language) for passage in document.passages]
        with db.transaction(db.Tenant(workspace_id=self.id)) as tx, tx.pipeline():
            sources.create(tx, self.id, source_id, user_id=None)
            at = 0
            rows = []
            for ordinal, passage in enumerate(document.passages):
                end = at + len(passage)
                rows.append(
                    chunks.NewChunk(
                        id=uuid4(),
                        ordinal=ordinal,
                        start_offset=at,
                        end_offset=end,
                        page=None,
                        section=None,
                        content=passage,
                        tokens=0,
                    )
                )
                at = end
            chunks.insert(tx, self.id, source_id, rows)
            placed = lexical.insert(tx, self.id, source_id, analyzed)
            if model is not None:
                embedded = [
                    vectors.Row(ordinal, number, vector)
                    for ordinal, windows in enumerate(document.windows)
                    for number, vector in enumerate(windows)
                ]
                vectors.insert(tx, self.id, source_id, model, embedded)
                vectors.sign(tx, self.id, source_id, placed)
            content = Content(document.title, "text:", at, document.language, None)
            sources.ready(
                tx, self.id, source_id, sequencer="0", content=content, kind="text", pages=None, chunks=len(rows),
                made_from=b"", text_hash=source_id.bytes,
            )  # fmt: skip
            quotas.add(tx, self.id, chunks=len(rows), size=at)
            workspaces.next_generation(tx, self.id, language=analysis_of(document.language), embedding_model=model)
            self.due = merge.due(tx, self.id)
        return source_id

    def remove(self, source_id: UUID) -> None:
        """Remove a document's content."""
        with db.transaction(db.Tenant(workspace_id=self.id)) as tx:
            clear_content(tx, self.id, source_id)

    def tidy(self, *, most: int = 2**62) -> int:
        """Do the merges that are due, of at most `most` chunks each, and say how many there were."""
        done = 0
        while True:
            with db.snapshot(db.Tenant(workspace_id=self.id)) as tx:
                wanted = merge.due(tx, self.id)
            if wanted is None or wanted.chunks > most:
                return done
            with db.transaction(db.Tenant(workspace_id=self.id)) as tx:
                if not merge.run(tx, self.id, wanted, carry=vectors.carry):
                    return done
            done += 1


class Store:
    """A migrated database that this process uses as a function would."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres

    def workspace(self) -> Workspace:
        """A new, empty workspace."""
        return Workspace(self.postgres.superuser_url)


@contextmanager
def store(**more: str) -> Iterator[Store]:
    """Start a database, and make this process a function process with `more` in its environment."""
    with temporary() as postgres:
        migrate(postgres.owner_url, postgres.app_password)
        before = dict(os.environ)
        os.environ.update(MINIRAG_DATABASE_URL=postgres.app_url, **more)
        settings.current.cache_clear()
        # That of another database, if there was one.
        db.close()
        try:
            yield Store(postgres)
        finally:
            db.close()
            os.environ.clear()
            os.environ.update(before)
            settings.current.cache_clear()
