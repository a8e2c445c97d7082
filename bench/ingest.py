"""Storing documents of several lengths, and deleting them: analysis, extraction and embedding aside."""

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Final

import numpy as np
import psycopg

from bench.engine import Merging, processor_seconds
from bench.results import Results, say, timed
from bench.tables import TextTable
from bench.texts import SEED, Texts
from evals.store import Store
from minirag.knowledge.lexical import index as lexical
from minirag.runtime import db

_LENGTHS: Final = (10, 50, 200)  # chunks of a document
_LEAST: Final = 2500.0  # chunks a second
_DELETED: Final = 100


def measure(results: Results, store: Store, texts: Texts, size: int) -> None:
    """Fill a workspace of `size` chunks for each length of documents, then delete some of them."""
    say(f"{size:,} chunks: storing and deleting")
    for length in _LENGTHS:
        workspace = store.workspace()
        merging = Merging(workspace)
        # Made beforehand, so that only what ingestion does is timed.
        documents = list(texts.documents(size, passages=length, seed=SEED + length))
        ids, storing, theirs, busy = [], 0.0, 0.0, np.zeros(2)
        with psycopg.connect(store.postgres.superuser_url, autocommit=True) as superuser:
            table = TextTable(superuser)
            table.index()
            for number, analyzed in enumerate(documents):
                before = np.array(processor_seconds())
                began = perf_counter()
                ids.append(workspace.add(analyzed.document, analyzed=analyzed.terms))
                storing += perf_counter() - began
                merging.tidy()
                busy += np.array(processor_seconds()) - before
                theirs += timed(partial(table.add, number * length, analyzed.document.passages)) / 1000
            table.drop()
        what = f"documents of {length}"
        results.fact("ingest", size, f"{what}: stored, merges apart", size / storing, "chunks/s")
        results.fact("ingest", size, f"{what}: stored", size / (storing + merging.seconds), "chunks/s", least=_LEAST)
        results.fact("ingest", size, f"{what}: into a table with tsvector and GIN", size / theirs, "chunks/s")
        for where, seconds in zip(("the function", "the database"), busy.tolist(), strict=True):
            results.fact("ingest", size, f"{what}: processor time of 1,000 chunks, {where}", 1e6 * seconds / size, "ms")
        results.fact("ingest", size, f"{what}: merges", len(merging.merges), "")
        results.fact("ingest", size, f"{what}: longest merge", max(merging.merges, default=0.0), "s")

        rng = np.random.default_rng(SEED)
        gone = [ids[one] for one in rng.permutation(len(ids))[: min(_DELETED, len(ids) // 2)].tolist()]
        half = len(gone) // 2
        from_index, whole = [], []
        for source_id in gone[:half]:
            with db.transaction(db.Tenant(workspace_id=workspace.id)) as tx:
                began = perf_counter()
                lexical.remove(tx, workspace.id, source_id)
                from_index.append(perf_counter() - began)
        for source_id in gone[half:]:
            began = perf_counter()
            workspace.remove(source_id)
            whole.append(perf_counter() - began)
        _times(results, size, f"{what}: deleted from the index", from_index)
        _times(results, size, f"{what}: deleted with all its chunks", whole)


def _times(results: Results, size: int, name: str, seconds: Sequence[float]) -> None:
    if seconds:
        results.fact("ingest", size, f"{name}, p50", float(np.median(seconds)) * 1000, "ms")
