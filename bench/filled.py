"""A workspace filled with passages, and the files from which peers load the same."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from bench.engine import LEXICAL_TABLES, Merging, Tenant
from bench.results import Results, say
from bench.synthetic import Clusters
from bench.tables import number, total_bytes
from bench.texts import Texts
from evals.store import Document, Store

PASSAGES: Final = 100  # of a document
DIMENSION: Final = 384
_LOOKS: Final = 20  # at the size of the index while it grows

# Bytes of the index that are live: postings, dictionaries, lengths.
CONTENT: Final = """
SELECT (SELECT sum(pg_column_size(first_term) + pg_column_size(dictionary) + pg_column_size(postings))
        FROM lexical_pages)
     + (SELECT sum(pg_column_size(lengths)) FROM lexical_segments)
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """A workspace of `size` chunks, which are the lines of `corpus` and the rows of `vectors`."""

    tenant: Tenant
    size: int
    text_bytes: int
    corpus: Path
    vectors: NDArray[np.float32] | None
    vectors_path: Path

    def contents(self) -> Iterator[str]:
        """Each chunk's text with its document's title, which Mini-RAG searches too."""
        with self.corpus.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def fill(store: Store, texts: Texts, size: int, folder: Path, results: Results, *, model: str | None) -> Filled:
    """Fill a workspace, with synthetic vectors of `model` if it is given; merges are done as they come due."""
    workspace = store.workspace()
    merging = Merging(workspace)
    corpus, vectors_path = folder / f"{size}.jsonl", folder / f"{size}.npy"
    vectors = Clusters(DIMENSION).vectors(size, part=0) if model else None
    if vectors is not None:
        np.save(vectors_path, vectors)
    done = 0
    text_bytes, storing = 0, 0.0
    growth: list[tuple[float, float]] = []
    say(f"{size:,} chunks: filling")
    superuser = psycopg.connect(store.postgres.superuser_url, autocommit=True)
    with corpus.open("w", encoding="utf-8") as lines, superuser:
        for analyzed in texts.documents(size, passages=PASSAGES):
            title, passages = analyzed.document.title, analyzed.document.passages
            windows = [] if vectors is None else [one[np.newaxis] for one in vectors[done : done + len(passages)]]
            began = perf_counter()
            document = Document(title, passages, windows)
            workspace.add(document, model=model, analyzed=analyzed.terms)
            storing += perf_counter() - began
            merging.tidy()
            lines.writelines(json.dumps(f"{title}\n{passage}") + "\n" for passage in passages)
            done += len(passages)
            text_bytes += analyzed.size
            if done * _LOOKS // size > len(growth):
                growth.append((done, 100 * total_bytes(superuser, LEXICAL_TABLES) / text_bytes))
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")
        results.series[f"growth {size}"] = growth
        filled = Filled(Tenant(workspace), size, text_bytes, corpus, vectors, vectors_path)
        _report(results, filled, superuser, merging, storing)
    return filled


def compact(superuser: "psycopg.Connection[Any]") -> None:
    """Write the tables of the index anew, without free space."""
    for table in LEXICAL_TABLES:
        superuser.execute(sql.SQL("VACUUM FULL {}").format(sql.Identifier(table)))


def _report(
    results: Results, filled: Filled, superuser: "psycopg.Connection[Any]", merging: Merging, storing: float
) -> None:
    size, of_text = filled.size, 100 / filled.text_bytes
    on_disk = total_bytes(superuser, LEXICAL_TABLES)
    results.fact("fill", size, "text", filled.text_bytes / 1e6, "MB")
    results.fact("fill", size, "index on disk, after VACUUM", on_disk * of_text, "% of the text")
    compact(superuser)
    left = total_bytes(superuser, LEXICAL_TABLES)
    results.fact("fill", size, "index on disk, without free space", left * of_text, "% of the text", most=50)
    results.fact("fill", size, "index, what it holds", number(superuser, CONTENT) * of_text, "% of the text")
    results.fact("fill", size, "segments", number(superuser, "SELECT count(*) FROM lexical_segments"), "")
    results.fact("fill", size, "merges", len(merging.merges), "")
    results.fact("fill", size, "longest merge", max(merging.merges, default=0), "s")
    what = "stored, with vectors and merges" if filled.vectors is not None else "stored, with merges"
    results.fact("fill", size, what, size / (storing + merging.seconds), "chunks/s")
