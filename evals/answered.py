"""Sets whose questions come with answers, as documents before they are cut.

Either in BEIR's layout with `answers` in queries.jsonl (evals.sets), or a folder `docs` of files, read as ingestion
reads them, with questions.jsonl (_id, text, answers, doc_files).
"""

import json
import random
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from functions.ingest.extract.document import Document, normalise
from functions.ingest.extract.sandbox import extract
from functions.ingest.maintain import title_of
from local.home import REPOSITORY

PLACE: Final = REPOSITORY / "../shared/data/qa"

_SEED: Final = 20
_SECONDS: Final = 90.0
_MEMORY_BYTES: Final = 2**30
# Where an answer names the file it was taken from.
_SOURCE_NOTE: Final = re.compile(r"\(?SOURCE(?:\(S\))?:[^\n)]*\)?")


@dataclass(frozen=True, slots=True)
class Read:
    """A document with the title that it is searched by."""

    id: str
    title: str
    document: Document


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the documents that answer it, and its answers; `literal` ones stand there word for word."""

    id: str
    text: str
    documents: frozenset[str]
    answers: Sequence[str]
    literal: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """A set; every question's documents are in it."""

    name: str
    documents: Sequence[Read]
    questions: Sequence[Question]


def load(name: str, *, characters: int | None, questions: int | None, place: Path = PLACE) -> Answered:
    """Read a set, or of a larger one the same random part each time.

    That part is the documents of random questions, those that need most of them first, as many as have up to
    `characters` together, and of the questions that these answer, up to `questions`. Raises FileNotFoundError if the
    set is not there.
    """
    folder = place / name
    beir = (folder / "corpus.jsonl").is_file()
    asked = [_question(row) for row in _rows(folder / ("queries.jsonl" if beir else "questions.jsonl"))]
    documents = _corpus(folder) if beir else _files(folder / "docs", {one for each in asked for one in each.documents})
    order = sorted(random.Random(_SEED).sample(asked, len(asked)), key=lambda one: -len(one.documents))
    chosen: set[str] = set()
    for question in order:
        wider = chosen | question.documents
        if sum(len(documents[id_].document.text) for id_ in wider) <= (characters or sys.maxsize):
            chosen = wider
    answerable = [question for question in order if question.documents <= chosen][:questions]
    return Answered(name, [documents[id_] for id_ in sorted(chosen)], sorted(answerable, key=lambda one: one.id))


def _question(row: Mapping[str, Any]) -> Question:
    answers = [_SOURCE_NOTE.sub("", answer).strip() for answer in row["answers"]]
    literal = not any(_SOURCE_NOTE.search(answer) for answer in row["answers"])
    return Question(row["_id"], row["text"], frozenset(row.get("doc_ids") or row["doc_files"]), answers, literal)


def _corpus(folder: Path) -> dict[str, Read]:
    rows = _rows(folder / "corpus.jsonl")
    return {row["_id"]: Read(row["_id"], row["title"], Document("text", normalise(row["text"]))) for row in rows}


def _files(folder: Path, names: set[str]) -> dict[str, Read]:
    return {
        name: Read(
            name,
            title_of(name, f"file:{name}"),
            extract(
                (folder / name).read_bytes(),
                name,
                seconds=_SECONDS,
                memory_bytes=_MEMORY_BYTES,
            ),
        )
        for name in sorted(names)
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
