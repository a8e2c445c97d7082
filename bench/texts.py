"""Passages and questions to measure with: sentences people wrote, shuffled by a fixed seed.

Sentences come from the English corpora in ../shared/data, or from samples/ and docs/ where those are absent. A passage
is a run of sentences drawn at random, so that any number of passages can be made, with the words and the frequencies of
real text; since a sentence comes back in many passages, a vocabulary does not grow for ever, which helps nobody here
more than the others.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from evals.store import Document
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.sentences import sentences

SEED: Final = 20251

_ROOT: Final = Path(__file__).parent.parent
_DATA: Final = _ROOT.parent / "shared" / "data"
_CORPORA: Final = ("ir/cranfield", "ir/cisi", "ir/medline", "qa/squad2_a", "qa/covidqa_long", "qa/hotpotqa_sample")
_WORDS: Final = (5, 80)  # of a sentence: neither headings nor tables
_FEWEST, _MOST = 4, 14  # sentences of a passage
_ASKED: Final = (2, 8)  # words of a question drawn from a sentence


@dataclass(frozen=True, slots=True)
class Texts:
    """Sentences, the analyzed terms of each, and the questions that came with them."""

    name: str
    sentences: Sequence[str]
    analyzed: Sequence[list[str]]
    asked: Sequence[str]

    def documents(self, chunks: int, *, passages: int, seed: int = SEED) -> "Iterator[Analyzed]":
        """Documents of `passages` passages each, `chunks` passages together; the same for the same arguments."""
        for number in range(-(-chunks // passages)):
            rng = np.random.default_rng([seed, number])
            title = " ".join(self.sentences[int(rng.integers(len(self.sentences)))].split()[:5])
            title_terms = terms(title, "en")
            made, made_terms = [], []
            for _ in range(min(passages, chunks - number * passages)):
                drawn = rng.integers(len(self.sentences), size=rng.integers(_FEWEST, _MOST + 1)).tolist()
                made.append(" ".join(self.sentences[one] for one in drawn))
                made_terms.append(title_terms + [term for one in drawn for term in self.analyzed[one]])
            yield Analyzed(Document(title, made), made_terms)

    def questions(self, wanted: int, *, seed: int = SEED) -> list[str]:
        """Different questions, half of them asked by people, half a few neighbouring words of some sentence."""
        rng = np.random.default_rng([seed, 1])
        found: dict[str, None] = {}
        for one in rng.permutation(len(self.asked))[: wanted // 2].tolist():
            found[self.asked[one]] = None
        while len(found) < wanted:
            words = self.sentences[int(rng.integers(len(self.sentences)))].split()
            length = int(rng.integers(_ASKED[0], _ASKED[1] + 1))
            begin = int(rng.integers(max(1, len(words) - length)))
            question = " ".join(words[begin : begin + length]).strip(" .,;:()\"'")
            if terms(question, "en"):
                found[question] = None
        shuffled = list(found)
        return [shuffled[one] for one in rng.permutation(len(shuffled)).tolist()]


@dataclass(frozen=True, slots=True)
class Analyzed:
    """A document and its passages' terms, the title's included, as ingestion makes them."""

    document: Document
    terms: list[list[str]]

    @property
    def size(self) -> int:
        """Bytes of its text."""
        return sum(len(passage.encode()) for passage in self.document.passages)


@cache
def load() -> Texts:
    """All sentences that are here, in a shuffled order, and the questions asked of them."""
    folders = [_DATA / corpus for corpus in _CORPORA if (_DATA / corpus / "corpus.jsonl").is_file()]
    if folders:
        name = "sentences of " + ", ".join(folder.name for folder in folders)
        texts = [row["text"] for folder in folders for row in _rows(folder / "corpus.jsonl")]
        asked = [row["text"] for folder in folders for row in _rows(folder / "queries.jsonl")]
    else:
        name = "sentences of samples/ and docs/"
        paths = sorted([*(_ROOT / "samples").glob("*.md"), *(_ROOT / "samples").glob("*.txt")])
        paths += sorted((_ROOT / "docs").rglob("*.md"))
        texts = [path.read_text("utf-8") for path in paths]
        asked = []
    found: dict[str, None] = {}
    for text in texts:
        for start, end in sentences(text):
            words = text[start:end].split()
            if _WORDS[0] <= len(words) <= _WORDS[1]:
                found[" ".join(words)] = None
    rng = np.random.default_rng(SEED)
    plain = list(found)
    shuffled = [plain[one] for one in rng.permutation(len(plain)).tolist()]
    return Texts(name, shuffled, [terms(sentence, "en") for sentence in shuffled], sorted(set(asked)))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
