"""Measure when questions are answered, and how well without a model: `python -m evals.answering [--fit] [set]`.

Questions of SQuAD 2.0 are asked of corpora in a real database that hold the article they are about, and of others
that do not. The weights and thresholds of functions/ask/support.py come from the articles that are not in the shipped
sample (`--fit` prints them anew); refusals are measured on those that are. Tables go to `evals/answering.md` in the
state folder, their figures to `answering.json`. Where only the sample is, no answers to its questions are known, and
none of them is unanswerable.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from evals import leftout, report, sets
from evals.abstention import FALSELY, MEANING, WORDS, answers, by, corpora, curve, fit
from evals.embeddings import Kept, home, minilm
from evals.leftout import BESIDE, SIZES, Observation
from evals.store import Store, store

SET: Final = "squad2_a"
# Whole papers, and languages that MiniLM does not read.
ELSEWHERE: Final = ("covidqa_long", "xquad_es", "xquad_zh", "jsquad_ja")

_FIT: Final = "--fit"


def main(arguments: Sequence[str]) -> None:
    """Measure, or fit and measure."""
    started = time.monotonic()
    named = [argument for argument in arguments if argument != _FIT]
    name = named[0] if named else SET if SET in sets.available() else sets.SHIPPED
    articles = leftout.load(name)
    unseen = frozenset(leftout.load(sets.SHIPPED).paragraphs)
    with store() as database:
        seen = squad(database, articles)
        others = elsewhere(database) if name == SET else []
    tested = [one for one in seen if one.article in unseen]
    fitting = [one for one in seen if one.article not in unseen]
    if _FIT in arguments and fitting:
        for mode, falsely in FALSELY.items():
            chosen = by(mode, fitting)
            print(f"{mode}: {fit(chosen, falsely)}\nAs it is now, on the same articles:\n{report.table(curve(chosen))}")
    result = {f"Answers, {name}, in percent of the questions": answers([*seen, *others])}
    if fitting:
        result[f"Answers, the articles of {name} that nothing was fitted on"] = answers(tested)
    result["Refused, in percent, by what is in the corpus"] = corpora([*tested, *others])
    result |= {f"Trade-off, {mode}, in percent": curve(by(mode, tested)) for mode in (MEANING, WORDS)}
    text = "\n".join(f"### {heading}\n\n{report.table(rows)}" for heading, rows in result.items())
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answering.md").write_text(text, "utf-8")
    (folder / "answering.json").write_text(json.dumps(result, indent=1), "utf-8")
    print(f"{text}\nDone in {time.monotonic() - started:.0f} s: {folder / 'answering.md'}")


def squad(database: Store, articles: leftout.Articles) -> list[Observation]:
    """The questions asked of everything, of halves, of a few chunks, and of halves beside other texts."""
    embedder = Kept(minilm(), articles.name)
    leftout.embed(articles, embedder)
    seen = leftout.everything(database, articles, embedder)
    seen += leftout.halves(database, articles, embedder)
    for size in SIZES:
        seen += leftout.small(database, articles, embedder, size)
    if beside := list(leftout.texts(leftout.OTHER_TEXTS)):
        seen += leftout.halves(database, articles, embedder, label=BESIDE, partitions=1, beside=beside)
    return seen


def elsewhere(database: Store) -> list[Observation]:
    """The questions of other sets that are here, asked of halves of them."""
    seen: list[Observation] = []
    for name in (name for name in ELSEWHERE if name in sets.available()):
        articles = leftout.load(name)
        embedder = Kept(minilm(), name) if articles.language == "en" else None
        if embedder is not None:
            leftout.embed(articles, embedder)
        seen += leftout.halves(database, articles, embedder, label=name, partitions=1, quote=True)
    return seen


if __name__ == "__main__":
    main(sys.argv[1:])
