"""What the ingestion API takes and gives."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from functions.ingest.submit import Expected
from minirag.knowledge import chunks, jobs, sources, texts
from minirag.runtime.http import Text

WAIT_MAX: Final = 25

Tag = Annotated[Text, Field(min_length=1, max_length=64)]
Tags = Annotated[list[Tag], Field(max_length=32)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class SourceOut(BaseModel):
    """A document of the workspace."""

    id: UUID
    name: str
    type: str | None
    uri: str
    status: str
    bytes: int
    pages: int | None
    chunks: int
    language: str | None
    tags: list[str]
    duplicate_of: UUID | None
    created_at: datetime
    error: dict[str, str] | None = None

    @classmethod
    def of(cls, source: sources.Source) -> "SourceOut":
        error = _error(source.error_code, source.error_detail)
        return cls(
            id=source.id,
            name=source.name,
            type=source.type,
            uri=source.uri,
            status=source.status,
            bytes=source.bytes,
            pages=source.pages,
            chunks=source.chunks,
            language=source.language,
            tags=source.tags,
            duplicate_of=source.duplicate_of,
            created_at=source.created_at,
            error=error,
        )


class JobOut(BaseModel):
    """A job and how far it is."""

    id: UUID
    kind: str
    status: str
    stage: str
    progress: float
    source_id: UUID | None
    chunks_added: int
    timings_ms: dict[str, float]
    notes: list[str]
    error: dict[str, str] | None = None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: jobs.Job) -> "JobOut":
        return cls(
            id=job.id,
            kind=job.kind,
            status=job.status,
            stage=job.stage,
            progress=job.progress,
            source_id=job.source_id,
            chunks_added=job.chunks_added,
            timings_ms=job.timings,
            notes=job.notes,
            error=_error(job.error_code, job.error_detail),
            attempts=job.attempts,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


class SourcePage(BaseModel):
    items: list[SourceOut]
    next_cursor: str | None


class JobPage(BaseModel):
    items: list[JobOut]
    next_cursor: str | None


class Ingested(BaseModel):
    """What was taken in; `chunks_added` is final if the wait sufficed, else 0."""

    message: str
    chunks_added: int
    job_id: UUID
    jobs: list[JobOut]


class PageOut(BaseModel):
    page: int
    start: int
    end: int


class TextOut(BaseModel):
    """Canonical text, or a slice of it, with the pages that it touches."""

    text: str
    pages: list[PageOut]


class ListedOut(BaseModel):
    """A chunk of a document: `content` is its canonical text[start:end]."""

    id: UUID
    user_id: UUID | None
    workspace_id: UUID
    ordinal: int
    start: int
    end: int
    page: int | None
    section: str | None
    content: str
    tokens: int
    embedding: list[float] | None

    @classmethod
    def of(cls, chunk: chunks.Listed, workspace_id: UUID) -> "ListedOut":
        return cls(
            id=chunk.id,
            user_id=chunk.user_id,
            workspace_id=workspace_id,
            ordinal=chunk.ordinal,
            start=chunk.start_offset,
            end=chunk.end_offset,
            page=chunk.page,
            section=chunk.section,
            content=chunk.content,
            tokens=chunk.tokens,
            embedding=chunk.embedding,
        )


class ChunkPage(BaseModel):
    items: list[ListedOut]
    next_cursor: str | None


class TaskOut(BaseModel):
    """A job that does something to the whole workspace."""

    job_id: UUID


class UploadIn(BaseModel):
    """A file that will be sent to the storage directly."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Text, Field(min_length=1, max_length=255)]
    bytes: Annotated[int, Field(ge=1)]
    content_type: Annotated[str, Field(max_length=255)] | None = None
    language: Language | None = None
    tags: Tags = []
    source_id: UUID | None = None
    workspace_id: UUID | None = None


class FormOut(BaseModel):
    """A form to be sent as multipart/form-data: these fields, then the file in the field `file`."""

    url: str
    fields: dict[str, str]


class UploadOut(BaseModel):
    job_id: UUID
    upload: FormOut

    @classmethod
    def of(cls, expected: Expected) -> "UploadOut":
        return cls(job_id=expected.job_id, upload=FormOut(url=expected.url, fields=expected.fields))


def _lines(urls: object) -> object:
    # A form has them in one field, one a line.
    return [line.strip() for line in urls.splitlines() if line.strip()] if isinstance(urls, str) else urls


class UrlsIn(BaseModel):
    """Addresses of documents to fetch."""

    model_config = ConfigDict(extra="forbid")

    urls: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=2048)]],
        BeforeValidator(_lines),
        Field(min_length=1, max_length=50),
    ]
    language: Language | None = None
    tags: Tags = []
    wait: Annotated[float, Field(ge=0, le=WAIT_MAX)] = 0
    workspace_id: UUID | None = None


class IngestText(BaseModel):
    """Pasted text."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=255)]
    text: Annotated[str, Field(min_length=1)]
    language: Language | None = None
    tags: Tags = []
    source_id: UUID | None = None
    wait: Annotated[float, Field(ge=0, le=WAIT_MAX)] = 0
    workspace_id: UUID | None = None


def _error(code: str | None, detail: str | None) -> dict[str, str] | None:
    return None if code is None or detail is None else {"code": code, "detail": detail}


def pages_of(parts: list[texts.Part]) -> list[PageOut]:
    """The pages that parts of a text belong to; a page may lie in several parts."""
    pages: list[PageOut] = []
    for part in parts:
        if part.page is None:
            continue
        if pages and pages[-1].page == part.page:
            pages[-1].end = part.end_offset
        else:
            pages.append(PageOut(page=part.page, start=part.start_offset, end=part.end_offset))
    return pages
