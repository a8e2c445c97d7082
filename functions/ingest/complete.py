"""Vectors that are missing: of a document that came while its model was down, or of all when the model is changed."""

from collections.abc import Callable
from uuid import UUID

from functions.ingest.embed import STORE_SECONDS, Unfinished, embed, windows
from functions.ingest.maintain import maintain, title_of
from minirag.knowledge import chunks, jobs, language, sources
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.embeddings.choose import embedder as choose_embedder
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.lexical.analyzer import analysis_of, terms
from minirag.knowledge.vectors import staged
from minirag.knowledge.vectors import store as vectors
from minirag.runtime import db, settings, telemetry
from minirag.runtime.errors import Unavailable
from minirag.tenancy import workspaces

_NO_MODEL = "No embedding model is configured: documents are found by their words alone."


def complete(workspace_id: UUID, job: jobs.Job, *, remaining_seconds: Callable[[], float]) -> None:
    """Add the vectors that one document lacks.

    Raises Unavailable while the model is down, Unfinished when the next run is to go on.
    """
    tenant = db.Tenant(workspace_id=workspace_id)
    assert job.source_id is not None
    with db.transaction(tenant) as tx:
        model = workspaces.embedding_model(tx, workspace_id)
    embedder = choose_embedder(settings.current(), model)
    if embedder is not None:
        _complete(tenant, job.source_id, embedder, remaining_seconds, lambda share: _show(tenant, job, share))
    with db.transaction(tenant) as tx:
        notes = [] if embedder else [_NO_MODEL]
        sources.lock(tx, workspace_id, job.source_id)
        if embedder is not None and job.source_id in sources.lacking(tx, workspace_id, embedder.model):
            # Another version came in while this was at work, and found a job under way.
            raise Unfinished
        jobs.finish(tx, workspace_id, job, chunks_added=0, timings={}, notes=notes)


def rebuild(workspace_id: UUID, job: jobs.Job, *, remaining_seconds: Callable[[], float]) -> None:
    """Bring a whole workspace up to date: terms of today's analyzer, segments merged, vectors of today's model.

    Questions are asked of the vectors of the model before until all documents have those of the new one. Raises as
    `complete` does.
    """
    tenant = db.Tenant(workspace_id=workspace_id)
    _show(tenant, job, 0.0)
    maintain(workspace_id, remaining_seconds=remaining_seconds)
    embedder = choose_embedder(settings.current())
    if embedder is not None:
        with db.transaction(tenant) as tx:
            lacking = sources.lacking(tx, workspace_id, embedder.model)
        for done, source_id in enumerate(lacking):
            if remaining_seconds() < 2 * STORE_SECONDS:
                raise Unfinished
            _complete(tenant, source_id, embedder, remaining_seconds, lambda _: None)
            _show(tenant, job, (done + 1) / len(lacking))
        with db.transaction(tenant) as tx:
            # Whoever stores a document from here on waits for this, and sees that the model is another one.
            workspaces.use_model(tx, workspace_id, embedder.model)
            if sources.lacking(tx, workspace_id, embedder.model):
                raise Unfinished
    with db.transaction(tenant) as tx:
        notes = [] if embedder else [_NO_MODEL]
        if embedder is not None:
            vectors.keep_model(tx, workspace_id, embedder.model)
        jobs.finish(tx, workspace_id, job, chunks_added=0, timings={}, notes=notes)
    telemetry.event("rebuild.completed")


def _show(tenant: db.Tenant, job: jobs.Job, share: float) -> None:
    assert tenant.workspace_id is not None
    with db.transaction(tenant) as tx:
        jobs.advance(tx, tenant.workspace_id, job, stage="embedding", progress=share)


def _complete(
    tenant: db.Tenant,
    source_id: UUID,
    embedder: Embedder,
    remaining_seconds: Callable[[], float],
    show: Callable[[float], None],
) -> None:
    """Embed what a source lacks, and place its chunks anew, with their signatures, in a segment of their own."""
    workspace_id = tenant.workspace_id
    assert workspace_id is not None
    with db.snapshot(tenant) as tx:
        source = sources.find(tx, workspace_id, source_id)
        contents = chunks.contents(tx, workspace_id, source_id)
    if source is None or not contents:
        return
    title = title_of(source.name, source.uri)
    wanted = windows(embedder, contents, title)
    embedded = embed(tenant, source_id, embedder, wanted, remaining_seconds=remaining_seconds, show=show)
    spoken = source.language or language.detect("\n".join(contents))
    title_terms = terms(title, spoken)
    with db.transaction(tenant) as tx:
        sources.lock(tx, workspace_id, source_id)
        if chunks.contents(tx, workspace_id, source_id) != contents:
            # Another version is in: what it lacks is looked for anew.
            staged.clear(tx, workspace_id, source_id)
            return
        vectors.remove(tx, workspace_id, source_id, model=embedder.model)
        vectors.insert(tx, workspace_id, source_id, embedder.model, embedded.rows)
        lexical.remove(tx, workspace_id, source_id)
        placed = lexical.insert(
            tx, workspace_id, source_id, [title_terms + terms(content, spoken) for content in contents]
        )
        vectors.sign(tx, workspace_id, source_id, placed)
        if not embedded.missing:
            staged.clear(tx, workspace_id, source_id)
        used = embedder.model if embedded.rows else None
        workspaces.next_generation(tx, workspace_id, language=analysis_of(spoken), embedding_model=used)
    if embedded.missing:
        raise Unavailable(f"The embedding model {embedder.model} does not answer; it is tried again later.")
