"""The vectors of a document: each text is embedded once, whoever embedded it before, and what is done is never lost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import sleep
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from minirag.knowledge import cost, embeddings
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.vectors import staged
from minirag.knowledge.vectors.store import Row
from minirag.runtime import cache, db, telemetry
from minirag.runtime.errors import OutOfTime, Unavailable
from minirag.tenancy import quotas

# Kept back from the time left, for the transaction that stores.
STORE_SECONDS: Final = 10.0

_CACHED_SECONDS: Final = 24 * 3600
# How long a provider that is down is waited for before its document goes on without it.
_PATIENCE_SECONDS: Final = 45.0
_FIRST_PAUSE_SECONDS: Final = 1.0


class Unfinished(Exception):
    """The time of this run is up, and some was done that the next one finds."""


@dataclass(frozen=True, slots=True)
class Window:
    """A text to be embedded, of a chunk; `hash` tells it from others."""

    ordinal: int
    number: int
    text: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors there are, and how many chunks are `missing` theirs because the provider is down."""

    rows: list[Row]
    missing: int


def windows(embedder: Embedder, contents: Sequence[str], title: str) -> list[Window]:
    """What is embedded of a document's chunks, in their order."""
    return [
        Window(ordinal, number, text, staged.hash_of(text))
        for ordinal, content in enumerate(contents)
        for number, text in enumerate(embedder.windows(content, title))
    ]


def embed(
    tenant: db.Tenant,
    source_id: UUID,
    embedder: Embedder,
    wanted: Sequence[Window],
    *,
    remaining_seconds: Callable[[], float],
    show: Callable[[float], None],
) -> Embedded:
    """The vectors of all windows, of those that were not there yet in batches; `show` is told the share that is done.

    Taken over are those of the source itself, staged or stored, and those that the cache holds. Raises Unfinished when
    the time is up, or OutOfTime if not even one batch was embedded in it. If the provider stays down, some are missing.
    """
    workspace_id = tenant.workspace_id
    assert workspace_id is not None
    texts = {window.hash: window.text for window in wanted}
    with db.transaction(tenant) as tx:
        vectors = staged.known(tx, workspace_id, source_id, embedder.model, texts)
    vectors |= _cached(workspace_id, embedder, [digest for digest in texts if digest not in vectors])
    missing = [digest for digest in texts if digest not in vectors]
    telemetry.event("embed.begun", windows=len(texts), missing=len(missing))
    done = 0
    for at in range(0, len(missing), embedder.batch):
        batch = missing[at : at + embedder.batch]
        new = _embed(embedder, [texts[digest] for digest in batch], remaining_seconds, done)
        if new is None:
            break
        embedded = dict(zip(batch, new.vectors, strict=True))
        vectors |= embedded
        took = cost.cost_usd(embedder.model, new.tokens, 0)
        with db.transaction(tenant) as tx:
            staged.stage(tx, workspace_id, source_id, embedder.model, embedded)
            if took:
                quotas.add_cost(tx, workspace_id, took)
        cache.put_many(
            {_key(workspace_id, embedder, digest): _packed(vector) for digest, vector in embedded.items()},
            seconds=_CACHED_SECONDS,
        )
        done += len(batch)
        show(1 - (len(missing) - done) / len(texts))
    # A chunk has all of its vectors or none, so that those that lack some can be told by their number.
    lacking = {window.ordinal for window in wanted if window.hash not in vectors}
    rows = [
        Row(window.ordinal, window.number, vectors[window.hash], window.hash)
        for window in wanted
        if window.ordinal not in lacking
    ]
    return Embedded(rows, len(lacking))


def _embed(
    embedder: Embedder, texts: list[str], remaining_seconds: Callable[[], float], done: int
) -> embeddings.Embedded | None:
    """The vectors of one batch; None if the provider is down for longer than it is waited for."""
    waited = 0.0
    for pause in _pauses():
        seconds = remaining_seconds() - STORE_SECONDS
        if seconds <= 0:
            raise _out_of_time(done)
        try:
            return embedder.embed(texts, seconds=seconds)
        except OutOfTime as error:
            # Of an attempt that had the whole of a run, there is nothing to hope for in the next.
            raise _out_of_time(done) from error
        except Unavailable as error:
            wait = max(pause, float(error.retry_after or 0))
            telemetry.event("embed.refused", code=error.code, wait_seconds=wait)
            if waited + wait > _PATIENCE_SECONDS:
                return None
            if remaining_seconds() - STORE_SECONDS <= wait:
                raise _out_of_time(done) from error
            sleep(wait)
            waited += wait
    raise AssertionError  # pauses have no end


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause *= 2


def _out_of_time(done: int) -> Exception:
    if done:
        return Unfinished()
    return OutOfTime("Nothing of the document could be embedded in the time of one run; it is tried again.")


def _cached(workspace_id: UUID, embedder: Embedder, hashes: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
    found = cache.get_many([_key(workspace_id, embedder, digest) for digest in hashes])
    return {
        digest: np.frombuffer(packed, dtype=np.float16).astype(np.float32)
        for digest, packed in zip(hashes, found, strict=True)
        if packed is not None and len(packed) == 2 * embedder.dimension
    }


def _key(workspace_id: UUID, embedder: Embedder, digest: bytes) -> str:
    # Of one workspace: nobody is to learn, by how fast it goes, what others embedded.
    return f"embedding:{{{workspace_id}}}:{embedder.model}:{digest.hex()}"


def _packed(vector: NDArray[np.float32]) -> bytes:
    return vector.astype(np.float16).tobytes()
