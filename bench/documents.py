"""From PDFs to documents that are stored and searchable by words, beside pypdf alone, which stores nothing.

    python -m bench.documents [FOLDER]

The whole way of a document but the embedding and OCR, which pypdf does not do: object, job, extraction in its child
process, chunks, terms, the transaction. FOLDER holds the PDFs, by default those of ../shared/data/documents or of
samples/; files that one of the two does not read are left out.
"""

import logging
import os
import sys
import tempfile
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import UUID, uuid4

import numpy as np
import pypdf

from bench.results import say
from evals.store import Workspace, store
from functions.ingest.index import index
from functions.ingest.keys import Upload
from local.moto import BUCKET, JOBS, REGION, Moto
from minirag.knowledge import jobs, leases, sources
from minirag.runtime import blobs, db, settings
from minirag.runtime.errors import MiniRagError

_MOST: Final = 0.4  # of the time of pypdf
_FOLDERS: Final = ("../shared/data/documents", "samples")
_SECONDS: Final = 900.0


def main() -> int:
    """Measure, and return whether the promise was kept."""
    root = Path(__file__).parent.parent
    given = [Path(sys.argv[1])] if len(sys.argv) > 1 else [root / folder for folder in _FOLDERS]
    folder = next(one for one in given if one.is_dir())
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    with ExitStack() as stack:
        moto = stack.enter_context(Moto(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        environment = {
            "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": REGION,
            "MINIRAG_BUCKET": BUCKET, "MINIRAG_S3_ENDPOINT": moto.endpoint, "MINIRAG_SQS_ENDPOINT": moto.endpoint,
            "MINIRAG_JOBS_QUEUE_URL": moto.queue_url(JOBS), "MINIRAG_MINILM_MODEL": "", "MINIRAG_OCR_PAGES": "0",
        }  # fmt: skip
        workspace = stack.enter_context(store(**environment)).workspace()
        ours: list[float] = []
        theirs: list[float] = []
        pages = chunks = 0
        for path in sorted(folder.glob("*.pdf")):
            data = path.read_bytes()
            alone = _pypdf(data)
            whole = _index(workspace, path.name, data)
            if alone is None or whole is None:
                say(f"{path.name:50} not read by {'pypdf' if whole else 'us' if alone else 'either'}")
                continue
            theirs.append(alone[0])
            ours.append(whole[0])
            pages, chunks = pages + alone[1], chunks + whole[1]
            say(f"{path.name:50} {alone[1]:4} pages  pypdf {alone[0]:7.2f} s  stored {whole[0]:7.2f} s")
        ratio = sum(ours) / sum(theirs)
        say(f"{len(ours)} PDFs, {pages} pages, {chunks} chunks: pypdf {sum(theirs):.1f} s, stored {sum(ours):.1f} s: "
            f"{ratio:.2f} of pypdf's time (<= {_MOST}); median of the files' ratios "
            f"{np.median(np.array(ours) / np.array(theirs)):.2f}")  # fmt: skip
    return 0 if ratio <= _MOST else 1


def _pypdf(data: bytes) -> tuple[float, int] | None:
    """Seconds that pypdf takes for the text of all pages, and how many there are; None if it reads none."""
    began = perf_counter()
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(BytesIO(data)).pages]
    except Exception:  # noqa: BLE001  what a library raises on broken files is its own affair
        return None
    return (perf_counter() - began, len(pages)) if any(page.strip() for page in pages) else None


def _index(workspace: Workspace, name: str, data: bytes) -> tuple[float, int] | None:
    """Seconds from the stored object to a searchable document, and its chunks; None if it is refused."""
    upload = Upload(workspace.id, uuid4(), uuid4())
    tenant = db.Tenant(workspace_id=workspace.id)
    content = jobs.Content(name, f"upload:{name}", len(data))
    blobs.put(upload.key, data)
    with db.transaction(tenant) as tx:
        sources.create(tx, workspace.id, upload.source_id, user_id=None)
        jobs.create(tx, workspace.id, upload.job_id, source_id=upload.source_id, object_key=upload.key, content=content)
    began = perf_counter()
    with db.transaction(tenant) as tx:
        job = leases.claim(tx, workspace.id, upload.job_id, seconds=settings.current().lease_seconds)
    assert job is not None
    try:
        index(workspace.id, job, remaining_seconds=lambda: _SECONDS)
    except MiniRagError:
        return None
    return perf_counter() - began, _chunks(tenant, workspace.id, upload.job_id)


def _chunks(tenant: db.Tenant, workspace_id: UUID, job_id: UUID) -> int:
    with db.transaction(tenant) as tx:
        job = jobs.find(tx, workspace_id, job_id)
    assert job is not None
    return job.chunks_added


if __name__ == "__main__":
    sys.exit(main())
