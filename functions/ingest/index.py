"""The whole way of a document: from its object in S3 to the transaction that makes it searchable."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter
from typing import Final
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from functions.ingest import keys
from functions.ingest.chunk import Chunk, split_chunks
from functions.ingest.extract.document import Document
from functions.ingest.extract.sandbox import extract
from functions.ingest.maintain import title_of
from functions.ingest.remove import clear_content
from minirag.knowledge import chunks, jobs, language, sources, texts
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.embeddings.choose import embedder as choose_embedder
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.lexical import merge
from minirag.knowledge.lexical.analyzer import analysis_of, terms
from minirag.knowledge.vectors import store as vectors
from minirag.runtime import blobs, db, settings, telemetry
from minirag.runtime.errors import Conflict, OutOfTime
from minirag.tenancy import quotas, workspaces

# Kept back from the time left, for the transaction at the end.
_STORE_SECONDS: Final = 10.0
# Small enough that progress shows; a request to a vendor has room for far more.
_EMBED_BATCH: Final = 32

Vector = tuple[int, int, NDArray[np.float32]]  # chunk ordinal, window, unit vector


class _Stages:
    """Shows where a job is, and remembers how long each stage took, in milliseconds."""

    def __init__(self, tenant: db.Tenant, workspace_id: UUID, job_id: UUID) -> None:
        self.tenant, self.workspace_id, self.job_id = tenant, workspace_id, job_id
        self.timings: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, progress: float) -> Iterator[None]:
        self.show(name, progress)
        started = perf_counter()
        yield
        self.timings[name] = round((perf_counter() - started) * 1000, 1)

    def show(self, name: str, progress: float) -> None:
        with db.transaction(self.tenant) as tx:
            jobs.advance(tx, self.workspace_id, self.job_id, stage=name, progress=progress)


def index(workspace_id: UUID, job_id: UUID, *, remaining_seconds: Callable[[], float]) -> merge.Due | None:
    """Index the document of a job; nothing of it is visible before everything is. Returns the merge that is due then.

    A job that has ended already is left alone. Raises what ends the job (status below 500) or what may pass.
    """
    tenant = db.Tenant(workspace_id=workspace_id)
    with db.transaction(tenant) as tx:
        job = jobs.start(tx, workspace_id, job_id)
        if job is None:
            telemetry.event("ingest.already_ended")
            return None
        source = sources.lock(tx, workspace_id, job.source_id)
        if source is not None and job.sequencer <= source.sequencer:
            jobs.finish(tx, workspace_id, job_id, chunks_added=0, timings={})
            telemetry.event("ingest.superseded")
            return None
        model = workspaces.embedding_model(tx, workspace_id)
    if source is None or source.deleted:
        raise _deleted(job)

    stages = _Stages(tenant, workspace_id, job_id)
    with stages.stage("reading", 0.05):
        data = blobs.get(job.object_key, max_bytes=settings.current().max_upload_bytes)
    if remaining_seconds() < settings.current().extract_seconds + _STORE_SECONDS:
        # Ending it for lack of our own time would blame the document.
        raise OutOfTime("There was no time left to read the document in this run; it is tried again.")
    with stages.stage("extracting", 0.1):
        document = extract(
            data,
            job.name,
            document_type="text" if job.uri.startswith("text:") else None,
            seconds=settings.current().extract_seconds,
            memory_bytes=settings.current().extract_memory_bytes,
        )
    with stages.stage("chunking", 0.3):
        split = split_chunks(document)
        spoken = job.language or source.language or language.detect(document.text)
        # Each chunk is searched, by words and by meaning, as if it began with the title, which is not cited.
        title = title_of(job.name, job.uri)
        title_terms = terms(title, spoken)
        terms_of = [title_terms + terms(chunk.content, spoken) for chunk in split]
    embedder = choose_embedder(settings.current(), model)
    with stages.stage("embedding", 0.4):
        embedded = [] if embedder is None else list(_embed(embedder, title, split, stages, remaining_seconds))

    with db.transaction(tenant) as tx:
        started = perf_counter()
        locked = sources.lock(tx, workspace_id, job.source_id)
        if locked is None or locked.deleted:
            raise _deleted(job)
        if job.sequencer <= locked.sequencer:
            jobs.finish(tx, workspace_id, job_id, chunks_added=0, timings=stages.timings)
            telemetry.event("ingest.superseded")
            return None
        removed = clear_content(tx, workspace_id, job.source_id)
        # None of it needs to be waited for, one by one.
        with tx.pipeline():
            _store(tx, workspace_id, job.source_id, document, split)
            placed = lexical.insert(tx, workspace_id, job.source_id, terms_of)
            if embedder is not None:
                vectors.insert(tx, workspace_id, job.source_id, embedder.model, embedded)
                vectors.sign(tx, workspace_id, job.source_id, placed)
            content = jobs.Content(job.name, job.uri, len(data), spoken, job.tags)
            sources.ready(
                tx,
                workspace_id,
                job.source_id,
                sequencer=job.sequencer,
                content=content,
                kind=document.type,
                pages=len(document.pages) or None,
                chunks=len(split),
            )
        stages.timings["storing"] = round((perf_counter() - started) * 1000, 1)
        with tx.pipeline():
            jobs.finish(tx, workspace_id, job_id, chunks_added=len(split), timings=stages.timings)
            # Last, because other transactions wait for these two rows.
            quotas.add_chunks(tx, workspace_id, len(split) - removed)
            used = embedder.model if embedder is not None and embedded else None
            workspaces.next_generation(tx, workspace_id, language=analysis_of(spoken), embedding_model=used)
            wanted = merge.due(tx, workspace_id)
    telemetry.event("ingest.completed", chunks=len(split), windows=len(embedded), **stages.timings)
    return wanted


def _deleted(job: jobs.Job) -> Conflict:
    """The source was deleted meanwhile; an object that was stored after that goes, too."""
    if isinstance(keys.parse(job.object_key), keys.Upload):
        blobs.delete(job.object_key)
    return Conflict("The source was deleted before its document was indexed.", code="source_deleted")


def _embed(
    embedder: Embedder,
    title: str,
    split: Sequence[Chunk],
    stages: _Stages,
    remaining_seconds: Callable[[], float],
) -> Iterator[Vector]:
    windows = [
        (chunk.ordinal, i, text) for chunk in split for i, text in enumerate(embedder.windows(chunk.content, title))
    ]
    for at in range(0, len(windows), _EMBED_BATCH):
        batch = windows[at : at + _EMBED_BATCH]
        seconds = remaining_seconds() - _STORE_SECONDS
        if seconds <= 0:
            raise OutOfTime("Embedding the document takes longer than one run may. Split it and upload the parts.")
        result = embedder.embed([text for _, _, text in batch], seconds=seconds)
        yield from ((ordinal, i, vector) for (ordinal, i, _), vector in zip(batch, result.vectors, strict=True))
        stages.show("embedding", 0.4 + 0.5 * (at + len(batch)) / len(windows))


def _store(tx: db.Connection, workspace_id: UUID, source_id: UUID, document: Document, split: Sequence[Chunk]) -> None:
    """Write text and chunks."""
    texts.put(tx, workspace_id, source_id, list(_parts(document)))
    rows = [
        chunks.NewChunk(
            id=uuid4(),
            ordinal=chunk.ordinal,
            start_offset=chunk.start,
            end_offset=chunk.end,
            page=chunk.page,
            section=chunk.section,
            content=chunk.content,
            tokens=chunk.tokens,
        )
        for chunk in split
    ]
    chunks.insert(tx, workspace_id, source_id, rows)


def _parts(document: Document) -> Iterator[texts.Part]:
    """The canonical text in parts that follow each other without a gap, none longer than PART_CHARS."""
    numbers: list[int | None] = [page.number for page in document.pages] or [None]
    # A page's part takes along the blank line that separates it from the next one.
    bounds = [0, *(page.start for page in document.pages[1:]), len(document.text)]
    for number, (start, end) in zip(numbers, pairwise(bounds), strict=True):
        for at in range(start, end, texts.PART_CHARS):
            stop = min(at + texts.PART_CHARS, end)
            yield texts.Part(number, at, stop, document.text[at:stop])
