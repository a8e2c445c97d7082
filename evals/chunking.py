"""Compare ways of cutting documents into chunks: `python -m evals.chunking [--keyword] [set ...]`.

Every set is cut in every way, each result goes into a workspace of its own of a real database, and the set's questions
are asked as a request asks them. The chunks of the peers are searched by the product as well, with titles and windows,
so that only the cuts differ. A part of each set is taken, because every cut has to be embedded anew; with `--keyword`,
words alone are searched, in whole sets. Figures go to `evals/chunking.json` in the state folder (with `--keyword`, to
`chunking-keyword.json`), and the tables beside them.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import tiktoken

from evals import metrics, report
from evals.answered import Answered, Question, load
from evals.embeddings import Kept, home, minilm
from evals.peers.names import SPLITTERS
from evals.store import Document, Store, store
from functions.ask.rank import CANDIDATES
from functions.ask.retrieve import retrieve
from functions.ingest.chunk import split_chunks
from local.home import REPOSITORY
from minirag.knowledge.chunks import Chunk
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.filters import Filters
from minirag.knowledge.lexical.analyzer import terms

OURS: Final = "Mini-RAG"
SETS: Final = ("covidqa_long", "sec10q_pdfs", "ntsb_pdfs")
# Whose, size and overlap in tokens; those of the default's size first.
CUTS: Final[Sequence["Cut"]] = (
    (OURS, 512, 50),
    *((name, 512, 50) for name in SPLITTERS),
    (OURS, 512, 0),
    (OURS, 512, 100),
    *((name, size, 50) for size in (256, 1024) for name in (OURS, *SPLITTERS[:2])),
    *((OURS, size, overlap) for size in (256, 1024) for overlap in (0, 100)),
)
MEASURES: Final = ("nDCG@10", "recall@10", "words in 8 chunks", "words in 4,096 tokens", "answer in 4,096 tokens")

_PYTHON: Final = REPOSITORY / ".build" / "peers" / "bin" / "python"
_KEYWORD: Final = "--keyword"
# The part of a set that is taken.
_CHARACTERS: Final = 600_000
_QUESTIONS: Final = 300
_CHUNKS: Final = 8  # as many as an answer is made from
_TOKENS: Final = 4096  # chunks of any size get as much room
_SECONDS: Final = 3600.0

Cut = tuple[str, int, int]  # whose, size, overlap
Passages = list[list[str]]  # by document


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of cutting came to."""

    chunks: int
    vectors: int
    of_question: Sequence[Mapping[str, float]]

    def mean(self) -> dict[str, float]:
        """The measures, averaged over the questions that have them."""
        found = {name: [one[name] for one in self.of_question if name in one] for name in MEASURES}
        return {name: fmean(values) for name, values in found.items() if values}

    def apart(self, other: "Measured") -> set[str]:
        """The measures in which this differs from `other`, question by question, by two standard errors or more."""
        found = set()
        for name in MEASURES:
            pairs = [(a[name], b[name]) for a, b in zip(self.of_question, other.of_question, strict=True) if name in a]
            differences = [a - b for a, b in pairs]
            if len(pairs) > 1 and abs(fmean(differences)) * sqrt(len(pairs)) >= 2 * stdev(differences) > 0:
                found.add(name)
        return found


Results = dict[str, dict[str, Measured]]  # by set, then by cut


def main(arguments: Sequence[str]) -> None:
    """Measure all sets, or those named; the default's size first, so that a run that is stopped has compared it."""
    started = time.monotonic()
    words_only = _KEYWORD in arguments
    names = [name for name in arguments if name != _KEYWORD] or SETS
    path = home() / ("chunking-keyword" if words_only else "chunking")
    characters, questions = (None, None) if words_only else (_CHARACTERS, _QUESTIONS)
    sets = {name: load(name, characters=characters, questions=questions) for name in names}
    embedders = {name: None if words_only else Kept(minilm(), f"chunking_{name}") for name in names}
    passages = {name: cuts(chosen) for name, chosen in sets.items()}
    results: Results = {name: {} for name in names}
    with store() as database:
        for cut in CUTS:
            for name in (name for name in names if cut in passages[name]):
                measured = measure(database, sets[name], passages[name][cut], embedders[name])
                label = "{} {}/{}".format(*cut)
                results[name][label] = measured
                print(f"{time.monotonic() - started:.0f} s, {name}, {label}: {measured.mean()}", flush=True)
                write(path, results, sets)


def write(path: Path, results: Results, sets: Mapping[str, Answered]) -> None:
    """Leave the figures in `path`.json, and a table a set in `path`.md: starred is what differs from the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = {name: {label: one.mean() for label, one in of_cut.items()} for name, of_cut in results.items()}
    path.with_suffix(".json").write_text(json.dumps(figures, indent=1), "utf-8")
    parts = []
    for name, of_cut in results.items():
        rows = [["", *MEASURES, "chunks", "vectors"]]
        for label, one in of_cut.items():
            means, apart = one.mean(), one.apart(next(iter(of_cut.values())))
            cells = [f"{means[of]:.3f}{'*' * (of in apart)}" if of in means else "–" for of in MEASURES]
            rows.append([label, *cells, f"{one.chunks:,}", f"{one.vectors:,}"])
        size = f"{len(sets[name].questions)} questions / {len(sets[name].documents)} documents"
        parts.append(f"### {name}\n\n{size}\n\n{report.table(rows)}")
    path.with_suffix(".md").write_text("\n".join(parts), "utf-8")


def cuts(chosen: Answered) -> dict[Cut, Passages]:
    """The documents' passages by each way; peers that are not installed are left out, and that is said."""
    found: dict[Cut, Passages] = {cut: ours(chosen, *cut[1:]) for cut in CUTS if cut[0] == OURS}
    theirs = [cut for cut in CUTS if cut[0] != OURS]
    if not _PYTHON.exists():
        print(f"The peers are left out: there is no {_PYTHON}")
        return found
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "documents.json").write_text(json.dumps([one.document.text for one in chosen.documents]), "utf-8")
        (folder / "cuts.json").write_text(json.dumps(theirs), "utf-8")
        subprocess.run([_PYTHON, "-m", "evals.peers.splitters", folder], cwd=REPOSITORY, check=True)
        return found | dict(zip(theirs, json.loads((folder / "chunks.json").read_text("utf-8")), strict=True))


def ours(chosen: Answered, size: int, overlap: int) -> Passages:
    """The passages as ingestion cuts them."""
    return [
        [chunk.content for chunk in split_chunks(one.document, max_tokens=size, overlap=overlap)]
        for one in chosen.documents
    ]


def measure(database: Store, chosen: Answered, passages: Passages, embedder: Embedder | None) -> Measured:
    """Store the passages and ask the set's questions, of words alone without an `embedder`."""
    windows = [
        [embedder.windows(passage, one.title) if embedder else [] for passage in of_one]
        for one, of_one in zip(chosen.documents, passages, strict=True)
    ]
    texts = [text for of_one in windows for parts in of_one for text in parts]
    vectors = iter(embedder.embed(texts, seconds=_SECONDS).vectors if embedder else ())
    workspace = database.workspace()
    ids = {}
    model = embedder.model if embedder else None
    for one, of_one, parts_of in zip(chosen.documents, passages, windows, strict=True):
        stored = [np.array([next(vectors) for _ in parts]) for parts in parts_of]
        ids[workspace.add(Document(one.title, of_one, stored), model=model)] = one.id
    workspace.tidy()
    caller = workspace.caller()

    def found(question: str) -> list[tuple[str, Chunk]]:
        got = retrieve(caller, question, k=CANDIDATES, filters=Filters(), embedder=embedder, seconds=_SECONDS)
        return [(ids[chunk.source_id], chunk) for _, chunk in got.found]

    return Measured(sum(map(len, passages)), len(texts), [judge(one, found) for one in chosen.questions])


def judge(question: Question, found: Callable[[str], Sequence[tuple[str, Chunk]]]) -> dict[str, float]:
    """The measures of one question.

    Words are the terms of the answer that are not the question's; those count that are in chunks of the right documents
    among the first eight, or among the first that have 4,096 tokens. The answer as it stands counts if one of the
    latter has all of it; where it is in none of the documents' own words, there is no such measure.
    """
    best = found(question.text)
    ranking = list(dict.fromkeys(document for document, _ in best))
    grades = dict.fromkeys(question.documents, 1)
    right = [(chunk.content, document in question.documents) for document, chunk in best]
    few = [text for text, is_right in right[:_CHUNKS] if is_right]
    room = [text for text, is_right in right[: _within([text for text, _ in right])] if is_right]
    values = {"nDCG@10": metrics.ndcg(ranking, grades), "recall@10": metrics.recall(ranking, grades, 10)}
    wanted = {term for answer in question.answers for term in terms(answer, "en")} - set(terms(question.text, "en"))
    if wanted:
        values["words in 8 chunks"] = _share(wanted, few)
        values["words in 4,096 tokens"] = _share(wanted, room)
    if question.literal:
        values["answer in 4,096 tokens"] = float(
            any(_plain(answer) in _plain(text) for answer in question.answers for text in room)
        )
    return values


def _within(texts: Sequence[str]) -> int:
    """How many of the first texts have room."""
    used = np.cumsum([_tokens(text) for text in texts])
    return int(np.searchsorted(used, _TOKENS, side="right"))


@cache
def _tokens(text: str) -> int:
    return len(tiktoken.get_encoding("cl100k_base").encode_ordinary(text))


def _share(wanted: set[str], texts: Sequence[str]) -> float:
    there = {term for text in texts for term in terms(text, "en")}
    return len(wanted & there) / len(wanted)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


if __name__ == "__main__":
    main(sys.argv[1:])
