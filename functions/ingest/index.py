"""The whole way of a document: from its object in S3 to the transaction that makes it searchable."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter
from typing import Final
from uuid import UUID, uuid4

from functions.ingest import keys
from functions.ingest.chunk import Chunk, split_chunks
from functions.ingest.embed import STORE_SECONDS, Embedded, Unfinished, embed, windows
from functions.ingest.extract.document import Document
from functions.ingest.extract.sandbox import extract
from functions.ingest.fetch import fetch
from functions.ingest.maintain import title_of
from functions.ingest.remove import clear_content, release_duplicates
from minirag.knowledge import chunks, jobs, language, sources, texts
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.embeddings.choose import embedder as choose_embedder
from minirag.knowledge.lexical import index as lexical
from minirag.knowledge.lexical import merge
from minirag.knowledge.lexical.analyzer import analysis_of, terms
from minirag.knowledge.vectors import staged
from minirag.knowledge.vectors import store as vectors
from minirag.runtime import blobs, db, settings, telemetry
from minirag.runtime.errors import Conflict, OutOfTime, TooLarge, Unavailable
from minirag.tenancy import quotas, workspaces

# Grows when the same bytes would become another text or other chunks: then the same file again is no longer the same.
_MAKING: Final = b"1"
_SUPERSEDED: Final = "A newer version of the document is in: this one was not needed any more."
_DELETED: Final = "source_deleted"
_UNCHANGED: Final = "The file is the one that was indexed before: nothing was to be done."


@dataclass(frozen=True, slots=True)
class Indexed:
    """What is to be done once a document is in: the merge that is due, jobs that came of it, an object to remove."""

    due: merge.Due | None = None
    jobs: Sequence[UUID] = ()
    replaced: str | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    """A document, ready to be stored."""

    content: jobs.Content
    made_from: bytes
    document: Document
    split: Sequence[Chunk]
    terms_of: Sequence[Sequence[str]]
    spoken: str | None
    embedder: Embedder | None
    embedded: Embedded


class _Stages:
    """Shows where a job is, and remembers how long each stage took, in milliseconds."""

    def __init__(self, tenant: db.Tenant, workspace_id: UUID, job: jobs.Job) -> None:
        self.tenant, self.workspace_id, self.job = tenant, workspace_id, job
        self.timings: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, progress: float) -> Iterator[None]:
        self.show(name, progress)
        started = perf_counter()
        yield
        self.timings[name] = round((perf_counter() - started) * 1000, 1)

    def show(self, name: str, progress: float) -> None:
        with db.transaction(self.tenant) as tx:
            jobs.advance(tx, self.workspace_id, self.job, stage=name, progress=progress)


def index(workspace_id: UUID, job: jobs.Job, *, remaining_seconds: Callable[[], float]) -> Indexed:
    """Index the document of a job that was claimed; nothing of it is visible before everything is.

    Raises what ends the job (status below 500), what may pass, or Unfinished when the next run is to go on.
    """
    try:
        indexed = _index(workspace_id, job, remaining_seconds)
    except Conflict as error:
        if error.code == _DELETED:
            # Stored after its source was deleted: it goes as well.
            remove_object(job.object_key)
        raise
    if indexed.replaced != job.object_key:
        remove_object(indexed.replaced)
    return indexed


def _index(workspace_id: UUID, job: jobs.Job, remaining_seconds: Callable[[], float]) -> Indexed:
    tenant = db.Tenant(workspace_id=workspace_id)
    assert job.source_id is not None
    with db.transaction(tenant) as tx:
        source = sources.lock(tx, workspace_id, job.source_id)
        if source is not None and job.sequencer <= source.sequencer:
            return _superseded(tx, workspace_id, job, {})
        model = workspaces.embedding_model(tx, workspace_id)
    if source is None or source.deleted:
        raise _deleted()

    stages = _Stages(tenant, workspace_id, job)
    with stages.stage("reading", 0.05):
        job, data = _read(tenant, workspace_id, job, remaining_seconds)
    if remaining_seconds() < settings.current().extract_seconds + STORE_SECONDS:
        # Ending it for lack of our own time would blame the document.
        raise OutOfTime("There was no time left to read the document in this run; it is tried again.")
    embedder = choose_embedder(settings.current(), model)
    made_from = _made_from(job, data, embedder)
    if made_from == source.made_from and source.chunks and source.duplicate_of is None:
        return _unchanged(tenant, workspace_id, job, made_from, stages.timings)
    made = _make(job, source, data, made_from, embedder, stages, remaining_seconds)
    return _store(tenant, workspace_id, job, made, stages.timings)


def remove_object(key: str | None) -> None:
    """Remove what is not needed any more; files in the drop folder are whose they are."""
    if key is not None and not isinstance(keys.parse(key), keys.Drop):
        try:
            blobs.delete(key)
        except Unavailable as error:
            # It goes with its source, then.
            telemetry.event("object.left", code=error.code)


def _read(
    tenant: db.Tenant, workspace_id: UUID, job: jobs.Job, remaining_seconds: Callable[[], float]
) -> tuple[jobs.Job, bytes]:
    """The job's bytes, fetched if it is an address that was not fetched before; and the job with the name they have."""
    assert job.object_key is not None
    most = settings.current().max_upload_bytes
    if keys.is_fetched(job.object_key) and not blobs.exists(job.object_key):
        fetched = fetch(job.uri, seconds=remaining_seconds() - STORE_SECONDS, max_bytes=most)
        # What it is called first: once the object is there, it is not fetched again.
        with db.transaction(tenant) as tx:
            jobs.describe(tx, workspace_id, job.id, name=fetched.name, size=len(fetched.data))
        blobs.put(job.object_key, fetched.data)
        return replace(job, name=fetched.name, bytes=len(fetched.data)), fetched.data
    data = blobs.get(job.object_key, max_bytes=most)
    # Whoever was allowed to send so many bytes may have sent more; not every S3 looks.
    if isinstance(keys.parse(job.object_key), keys.Upload) and len(data) > job.bytes:
        raise TooLarge(f"The file has {len(data)} bytes, but {job.bytes} were announced. Upload it anew.")
    return job, data


def _made_from(job: jobs.Job, data: bytes, embedder: Embedder | None) -> bytes:
    """SHA-256 of all that decides what becomes of a document."""
    how = (_MAKING, job.uri.partition(":")[0], job.name, job.language or "", embedder.model if embedder else "")
    head = b"\0".join(part if isinstance(part, bytes) else part.encode("utf-8", "replace") for part in how)
    return hashlib.sha256(hashlib.sha256(head).digest() + hashlib.sha256(data).digest()).digest()


def _make(
    job: jobs.Job,
    source: sources.Locked,
    data: bytes,
    made_from: bytes,
    embedder: Embedder | None,
    stages: _Stages,
    remaining_seconds: Callable[[], float],
) -> _Made:
    """Text, chunks, terms and vectors, all before anything is stored."""
    assert job.source_id is not None
    with stages.stage("extracting", 0.1):
        document = extract(
            data,
            job.name,
            document_type="text" if job.uri.startswith("text:") else None,
            seconds=settings.current().extract_seconds,
            memory_bytes=settings.current().extract_memory_bytes,
            ocr_pages=settings.current().ocr_pages,
        )
    with stages.stage("chunking", 0.3):
        split = split_chunks(document)
        spoken = job.language or source.language or language.detect(document.text)
        # Each chunk is searched, by words and by meaning, as if it began with the title, which is not cited.
        title = title_of(job.name, job.uri)
        title_terms = terms(title, spoken)
        terms_of = [title_terms + terms(chunk.content, spoken) for chunk in split]
    embedded = Embedded([], 0)
    with stages.stage("embedding", 0.4):
        if embedder is not None:
            embedded = embed(
                stages.tenant,
                job.source_id,
                embedder,
                windows(embedder, [chunk.content for chunk in split], title),
                remaining_seconds=remaining_seconds,
                show=lambda share: stages.show("embedding", 0.4 + 0.5 * share),
            )
    content = jobs.Content(job.name, job.uri, len(data), spoken, job.tags)
    return _Made(content, made_from, document, split, terms_of, spoken, embedder, embedded)


def _store(tenant: db.Tenant, workspace_id: UUID, job: jobs.Job, made: _Made, timings: dict[str, float]) -> Indexed:
    """The one transaction that takes the place of the version before, and says that the job is done."""
    source_id = job.source_id
    assert source_id is not None
    document, split, rows = made.document, made.split, made.embedded.rows
    with db.transaction(tenant) as tx:
        started = perf_counter()
        locked = sources.lock(tx, workspace_id, source_id)
        if locked is None or locked.deleted:
            raise _deleted()
        if job.sequencer <= locked.sequencer:
            return _superseded(tx, workspace_id, job, timings)
        replaced = jobs.object_of(tx, workspace_id, source_id, locked.sequencer)
        more, released = release_duplicates(tx, workspace_id, source_id)
        removed = clear_content(tx, workspace_id, source_id)
        model = made.embedder.model if made.embedder else None
        # None of it needs to be waited for, one by one.
        with tx.pipeline():
            texts.put(tx, workspace_id, source_id, list(_parts(document)))
            chunks.insert(tx, workspace_id, source_id, list(map(_row, split)))
            placed = lexical.insert(tx, workspace_id, source_id, made.terms_of)
            if model is not None:
                vectors.insert(tx, workspace_id, source_id, model, rows)
                vectors.sign(tx, workspace_id, source_id, placed)
            if not made.embedded.missing:
                staged.clear(tx, workspace_id, source_id)
            sources.ready(
                tx,
                workspace_id,
                source_id,
                sequencer=job.sequencer,
                content=made.content,
                kind=document.type,
                pages=len(document.pages) or None,
                chunks=len(split),
                made_from=made.made_from,
                text_hash=hashlib.sha256(document.text.encode()).digest(),
            )
        if made.embedded.missing:
            completing, new = jobs.open_task(tx, workspace_id, "embed", source_id=source_id)
            more = [*more, completing] if new else more
        timings["storing"] = round((perf_counter() - started) * 1000, 1)
        with tx.pipeline():
            jobs.finish(tx, workspace_id, job, chunks_added=len(split), timings=timings, notes=document.notes)
            # Last, because other transactions wait for these rows.
            quotas.add(
                tx,
                workspace_id,
                chunks=len(split) - removed,
                size=made.content.bytes - released - (locked.size if locked.counted else 0),
            )
            used = workspaces.next_generation(
                tx, workspace_id, language=analysis_of(made.spoken), embedding_model=model if rows else None
            )
            if rows and used != model:
                # /rebuild moved the workspace to another model meanwhile: of this one's vectors none would be found.
                raise Unfinished
            wanted = merge.due(tx, workspace_id)
    telemetry.event("ingest.completed", chunks=len(split), windows=len(rows), missing=made.embedded.missing, **timings)
    return Indexed(wanted, more, replaced)


def _superseded(tx: db.Connection, workspace_id: UUID, job: jobs.Job, timings: dict[str, float]) -> Indexed:
    assert job.source_id is not None
    staged.clear(tx, workspace_id, job.source_id)
    jobs.finish(tx, workspace_id, job, chunks_added=0, timings=timings, notes=[_SUPERSEDED])
    telemetry.event("ingest.superseded")
    return Indexed()


def _unchanged(
    tenant: db.Tenant, workspace_id: UUID, job: jobs.Job, made_from: bytes, timings: dict[str, float]
) -> Indexed:
    """The same bytes under the same name again: only that this version is the newest has changed."""
    assert job.source_id is not None
    with db.transaction(tenant) as tx:
        locked = sources.lock(tx, workspace_id, job.source_id)
        if locked is None or locked.deleted:
            raise _deleted()
        if job.sequencer <= locked.sequencer:
            return _superseded(tx, workspace_id, job, timings)
        if locked.made_from != made_from:
            raise Conflict("The source was changed while its document was read.", code=jobs.LOST)
        replaced = jobs.object_of(tx, workspace_id, job.source_id, locked.sequencer)
        content = jobs.Content(job.name, job.uri, job.bytes, job.language, job.tags)
        sources.unchanged(tx, workspace_id, job.source_id, sequencer=job.sequencer, content=content)
        jobs.finish(tx, workspace_id, job, chunks_added=0, timings=timings, notes=[_UNCHANGED])
        if job.tags is not None:  # a question may be confined to them
            workspaces.next_generation(tx, workspace_id)
    telemetry.event("ingest.unchanged")
    return Indexed(replaced=replaced)


def _deleted() -> Conflict:
    return Conflict("The source was deleted before its document was indexed.", code=_DELETED)


def _row(chunk: Chunk) -> chunks.NewChunk:
    return chunks.NewChunk(
        id=uuid4(),
        ordinal=chunk.ordinal,
        start_offset=chunk.start,
        end_offset=chunk.end,
        page=chunk.page,
        section=chunk.section,
        content=chunk.content,
        tokens=chunk.tokens,
    )


def _parts(document: Document) -> Iterator[texts.Part]:
    """The canonical text in parts that follow each other without a gap, none longer than PART_CHARS."""
    numbers: list[int | None] = [page.number for page in document.pages] or [None]
    # A page's part takes along the blank line that separates it from the next one.
    bounds = [0, *(page.start for page in document.pages[1:]), len(document.text)]
    for number, (start, end) in zip(numbers, pairwise(bounds), strict=True):
        for at in range(start, end, texts.PART_CHARS):
            stop = min(at + texts.PART_CHARS, end)
            yield texts.Part(number, at, stop, document.text[at:stop])
