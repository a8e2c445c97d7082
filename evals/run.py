"""Measure retrieval: `make eval`, or `python -m evals.run [set ...]`.

Every set that is here goes into a workspace of a real database, as ingestion would put it there, and its questions
are asked of the product and of its peers. Figures go to `evals/` in the state folder; those of all sets to
docs/quality.md as well.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from evals import metrics, report, sets, systems
from evals.embeddings import Kept, documents, home, minilm
from evals.peers import names as peers
from evals.peers.work import Work, write
from evals.sets import Set
from evals.store import Document, Store, store
from local.home import REPOSITORY
from minirag.knowledge.embeddings import Embedder

_PYTHON: Final = REPOSITORY / ".build" / "peers" / "bin" / "python"
_DOCS: Final = REPOSITORY / "docs"
_SECONDS: Final = 3600.0

Measured = dict[str, dict[str, float]]  # by system, then by measure


def main(chosen: Sequence[str]) -> None:
    """Measure all sets, or those named, and write the report."""
    started = time.monotonic()
    folder = home()
    names = list(chosen) or sets.available()
    model = minilm()
    results: dict[str, Measured] = {}
    loaded = {name: sets.load(name) for name in names}
    embedders = {name: Kept(model, name) for name in names}
    if (folder / "peers").exists():
        shutil.rmtree(folder / "peers")
    with store() as database, ThreadPoolExecutor(max_workers=1) as beside:
        read = {name: documents(one, embedders[name]) for name, one in loaded.items()}
        for name, one in loaded.items():
            write(folder / "peers" / name, _work(one, read[name], embedders[name]))
        answering = beside.submit(_peers, folder / "peers", database.postgres.superuser_url)
        for name, one in loaded.items():
            results[name] = _product(database, one, read[name], embedders[name])
            _say(name, results[name])
        answering.result()
    for name, one in loaded.items():
        results[name] |= _collected(folder / "peers" / name, one)
    _write(folder, results, loaded)
    print(f"Done in {time.monotonic() - started:.0f} s: {folder / 'quality.md'}")


def _product(database: Store, chosen: Set, read: Sequence[Document], embedder: Embedder) -> Measured:
    filled = systems.fill(database.workspace(), chosen, read, embedder)
    return {name: metrics.measure(run, chosen.relevant) for name, run in systems.runs(filled, embedder).items()}


def _work(chosen: Set, read: Sequence[Document], embedder: Embedder) -> Work:
    """The same for the peers: a passage begins with its title, and has one vector, of as much as the model reads.

    There are no vectors where the model does not know the language.
    """
    pairs = [(source, passage) for source, one in zip(chosen.sources, read, strict=True) for passage in one.passages]
    texts = [f"{source.title}\n{passage}".strip() for source, passage in pairs]
    knows = embedder.languages is None or chosen.language in embedder.languages
    passages, questions = (
        embedder.embed(some if knows else (), seconds=_SECONDS).vectors
        for some in (texts, list(chosen.questions.values()))
    )
    return Work(
        name=chosen.name,
        language=chosen.language,
        questions=chosen.questions,
        documents=[source.id for source, _ in pairs],
        texts=texts,
        passage_vectors=passages,
        question_vectors=questions,
    )


def _peers(folder: Path, url: str) -> None:
    """Let the peers answer; one that is missing or fails is left out of the report, and that is said."""
    if not _PYTHON.exists():
        print(f"The peers are left out: there is no {_PYTHON}")
        return
    for name in (*peers.KEYWORD, *peers.HYBRID):
        ended = subprocess.run([_PYTHON, "-m", "evals.peers", name, folder, url], cwd=REPOSITORY, check=False)
        if ended.returncode:
            print(f"{name} ended with {ended.returncode}; what it did not answer is left out")


def _collected(folder: Path, chosen: Set) -> Measured:
    found = {}
    for name in (*peers.KEYWORD, *peers.HYBRID):
        path = folder / f"{name}.json"
        if path.is_file():
            found[name] = metrics.measure(json.loads(path.read_text("utf-8")), chosen.relevant)
    return found


def _write(folder: Path, results: dict[str, Measured], loaded: dict[str, Set]) -> None:
    sizes = {name: f"{len(one.questions)} / {len(one.sources)}" for name, one in loaded.items()}
    text = report.tables(results, sizes)
    (folder / "quality.md").write_text(text, "utf-8")
    figures = folder / "results.json"
    figures.write_text(json.dumps(results, indent=1), "utf-8")
    picture = folder / "quality-ndcg.svg"
    if _PYTHON.exists():
        subprocess.run([_PYTHON, "-m", "evals.peers.plot", figures, picture], cwd=REPOSITORY, check=True)
    # Figures of some sets do not take the place of those of all.
    if set(results) >= {*sets.ENGLISH, *sets.OTHERS}:
        report.replace(_DOCS / "quality.md", text)
        if picture.is_file():
            (_DOCS / picture.name).write_bytes(picture.read_bytes())


def _say(name: str, measured: Measured) -> None:
    shown = ", ".join(f"{system} {values[metrics.MEASURES[0]]:.3f}" for system, values in measured.items())
    print(f"{name}: {shown}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
