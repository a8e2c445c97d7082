"""The index ranks as bm25s does (Lù, 2024; method `lucene`), also with removals and merges in its history."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import bm25s
import psycopg
import pytest

from local.postgres import Postgres
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical import index, merge, search
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.vectors import store as vectors
from tests.tenants import TestTenant

ROOT = Path(__file__).parents[3]
# Real collections, where they lie beside the repository; what the product ships stands in for them elsewhere.
COLLECTIONS = ROOT.parent / "shared" / "data"
SETS = ("ir/cranfield", "ir/cisi", "ir/medline", "qa/squad2_a")
K = 10


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _shipped() -> tuple[list[str], list[str]]:
    paragraphs = [
        paragraph
        for path in sorted([*(ROOT / "samples").glob("*.md"), *(ROOT / "docs").rglob("*.md")])
        for paragraph in path.read_text("utf-8").split("\n\n")
        if paragraph.strip()
    ]
    return paragraphs, [paragraph[:80] for paragraph in paragraphs[::3]]


def _collections() -> list[tuple[str, Sequence[str], Sequence[str]]]:
    found: list[tuple[str, Sequence[str], Sequence[str]]] = [("shipped", *_shipped())]
    for name in SETS:
        if (folder := COLLECTIONS / name).is_dir():
            passages = [f"{one.get('title', '')}\n{one['text']}" for one in _lines(folder / "corpus.jsonl")]
            found.append((name, passages, [one["text"] for one in _lines(folder / "queries.jsonl")]))
    return found


@pytest.mark.parametrize(
    ("name", "passages", "queries"), _collections(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_scores_and_ranks_are_those_of_bm25s(
    name: str,
    passages: Sequence[str],
    queries: Sequence[str],
    tenant: TestTenant,
    postgres: Postgres,
    count: Callable[[int, int], int],
) -> None:
    rng = random.Random(3)
    workspace_id = tenant.workspace_id
    analyzed = [terms(passage) or ["nothing"] for passage in passages]
    position: dict[tuple[UUID, int], int] = {}
    with psycopg.connect(postgres.app_url) as tx:
        tx.execute("SELECT set_config('app.workspace_id', %s, false)", (str(workspace_id),))

        def add(members: Sequence[int]) -> UUID:
            source_id = uuid4()
            tx.execute(
                "INSERT INTO sources (workspace_id, id, name, uri) VALUES (%s, %s, '', '')", (workspace_id, source_id)
            )
            index.insert(tx, workspace_id, source_id, [analyzed[one] for one in members])
            position.update({(source_id, ordinal): one for ordinal, one in enumerate(members)})
            return source_id

        # Every passage comes in a document of a few; a third of the documents are removed and come again.
        order = list(range(len(passages)))
        rng.shuffle(order)
        at = 0
        while at < len(order):
            members = order[at : at + rng.randint(1, 12)]
            at += len(members)
            source_id = add(members)
            if rng.random() < 0.3:
                index.remove(tx, workspace_id, source_id)
                add(members)
            while rng.random() < 0.3 and (wanted := merge.due(tx, workspace_id)):
                assert merge.run(tx, workspace_id, wanted, carry=vectors.carry)
        row = tx.execute("SELECT count(*), max(level) FROM lexical_segments").fetchone()
        assert row is not None
        assert row[1] > 0, "nothing was merged"

        reference = bm25s.BM25(k1=1.2, b=0.75, method="lucene", dtype="float64")
        reference.index(analyzed, show_progress=False)
        asked = queries if count(0, 1) else queries[:: max(1, len(queries) // 120)]
        worst = 0.0
        for query in asked:
            known = [term for term in terms(query) if term in reference.vocab_dict]
            expected = reference.get_scores(known) if known else []
            best = sorted((score for score in expected if score > 0), reverse=True)[:K]
            found = search.search(tx, workspace_id, terms(query), k=K, filters=Filters())
            assert len(found) == len(best)
            for hit, score in zip(found, best, strict=True):
                # The same score at the same rank: the same ten up to ties.
                worst = max(
                    worst, abs(hit.score - score), abs(hit.score - expected[position[hit.source_id, hit.ordinal]])
                )
        print(f"{name}: {len(asked)} questions, {row[0]} segments, largest difference {worst:.1e}")
        assert worst <= 1e-5
        tx.rollback()
