"""Sets of documents, questions and judgements to evaluate on, in BEIR's layout.

A set is a folder with corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels.tsv (query-id, corpus-id,
score; with a heading). Some come with the project, more may lie beside it.
"""

import csv
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.home import REPOSITORY

# In the order of the report; of those that are not English, the language.
ENGLISH: Final = ("cranfield", "cisi", "medline", "squad2_a", "hotpotqa_sample", "covidqa_long")
OTHERS: Final = {"xquad_es": "es", "xquad_zh": "zh", "jsquad_ja": "ja"}
SHIPPED: Final = "squad2_sample"

_PLACES: Final = (REPOSITORY / "evals" / "data", REPOSITORY / "../shared/data/ir", REPOSITORY / "../shared/data/qa")
_QUESTIONS: Final = 1500
_SEED: Final = 20


@dataclass(frozen=True, slots=True)
class Source:
    """A document of a set, as its users would upload it."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Set:
    """Documents, questions by id, and for each question the documents that are relevant, with their grade above 0."""

    name: str
    language: str
    sources: Sequence[Source]
    questions: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


def available() -> list[str]:
    """The names of the sets that are here; the sample comes with the project."""
    return [name for name in (*ENGLISH, *OTHERS, SHIPPED) if _folder(name)]


def load(name: str, *, questions: int = _QUESTIONS) -> Set:
    """Read a set; of more questions than `questions`, the same random ones each time."""
    folder = _folder(name)
    if folder is None:
        raise FileNotFoundError(f"There is no set {name} in {', '.join(map(str, _PLACES))}")
    relevant: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels.tsv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            if (grade := int(row["score"])) > 0:
                relevant[row["query-id"]][row["corpus-id"]] = grade
    asked = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl") if row["_id"] in relevant}
    if len(asked) > questions:
        chosen = set(random.Random(_SEED).sample(sorted(asked), questions))
        asked = {id_: text for id_, text in asked.items() if id_ in chosen}
    sources = [Source(row["_id"], row["title"], row["text"]) for row in _rows(folder / "corpus.jsonl")]
    return Set(name, OTHERS.get(name, "en"), sources, asked, {id_: relevant[id_] for id_ in asked})


def _folder(name: str) -> Path | None:
    return next((place / name for place in _PLACES if (place / name / "corpus.jsonl").is_file()), None)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
