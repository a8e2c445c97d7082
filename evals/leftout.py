"""Questions asked of corpora that hold the article they are about, and of others that do not."""

import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Final
from uuid import UUID

import numpy as np

from evals import answered, embeddings, sets
from evals.store import Document, Store
from functions.ask import support
from functions.ask.citing.verify import verify
from functions.ask.compose import evidence
from functions.ask.retrieve import Retrieved, retrieve
from functions.ingest.chunk import split_chunks
from functions.ingest.extract import document as extracted
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.filters import Filters
from minirag.knowledge.llm.extractive import Extractive
from minirag.tenancy.identity import Caller

# Texts of other kinds, beside which articles are stored to have a larger corpus.
OTHER_TEXTS: Final = ("cisi", "cranfield", "medline", "hotpotqa_sample", "covidqa_long")
# Chunks, and how many corpora of so many are made.
SIZES: Final = {1: 120, 3: 60, 8: 30, 25: 15, 80: 5}

WHOLE: Final = "everything"
HALF: Final = "half of the articles"
BESIDE: Final = "half, beside other texts"

_K: Final = 8
_PARTITIONS: Final = 2
_OF_A_SIZE: Final = 600  # questions of each kind
_OF_A_HALF: Final = 2000
_SECONDS: Final = 3600.0

Split = Mapping[str, Sequence[tuple[str, str]]]  # by article, its passages with their names


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an article; `answers` are empty if it has none, or if they are not known."""

    text: str
    article: str
    passage: str
    answers: Sequence[str]
    answerable: bool


@dataclass(frozen=True, slots=True)
class Articles:
    """A set: its paragraphs by article, and its questions."""

    name: str
    language: str
    paragraphs: Mapping[str, Sequence[sets.Source]]
    questions: Sequence[Question]

    def only(self, questions: int, seed: int = 0) -> "Articles":
        """With at most so many questions, the same random ones for a seed."""
        chosen = random.Random(seed).sample(self.questions, min(questions, len(self.questions)))
        return Articles(self.name, self.language, self.paragraphs, chosen)


@dataclass(frozen=True, slots=True)
class Quoted:
    """How good an extracted answer is.

    Whether the gold span is in its `first` sentence, or `within` any, None if no span is known; and whether the first
    sentence is from the `passage` that answers.
    """

    first: bool | None
    within: bool | None
    passage: bool
    sentences: int
    milliseconds: float  # of the extraction alone


@dataclass(frozen=True, slots=True)
class Observation:
    """A question asked of a corpus of `chunks`: whether that holds its article (`inside`), and what was found."""

    corpus: str
    chunks: int
    article: str
    inside: bool
    answerable: bool
    signals: support.Signals
    quoted: Quoted | None


def load(name: str) -> Articles:
    """Read a set. Raises FileNotFoundError if it is not there."""
    chosen = sets.load(name, questions=sys.maxsize)
    article = {source.id: source.title or source.id for source in chosen.sources}
    paragraphs: dict[str, list[sets.Source]] = {}
    for source in chosen.sources:
        paragraphs.setdefault(article[source.id], []).append(source)
    if (answered.PLACE / name).is_dir():
        asked = [
            Question(one.text, article[min(one.documents)], min(one.documents), one.answers, bool(one.answers))
            for one in answered.load(name, characters=None, questions=None).questions
        ]
    else:
        asked = [
            Question(text, article[min(chosen.relevant[id_])], min(chosen.relevant[id_]), (), answerable=True)
            for id_, text in chosen.questions.items()
        ]
    return Articles(name, chosen.language, paragraphs, asked)


def everything(database: Store, articles: Articles, embedder: Embedder | None) -> list[Observation]:
    """Every question, asked of all articles, with the answers that are extracted."""
    corpus = _Corpus(database, articles.language, embedder)
    corpus.add(_paragraphs(articles))
    return [
        corpus.ask(WHOLE, question, model, inside=True, quote=True)
        for model in _models(embedder)
        for question in articles.questions
    ]


def halves(
    database: Store,
    articles: Articles,
    embedder: Embedder | None,
    *,
    label: str = HALF,
    partitions: int = _PARTITIONS,
    beside: Sequence[Document] = (),
    quote: bool = False,
) -> list[Observation]:
    """Questions asked of both halves of the articles, of which one holds what they are about."""
    found: list[Observation] = []
    titles = sorted(articles.paragraphs)
    split = _paragraphs(articles)
    for number in range(partitions):
        one = set(random.Random(number).sample(titles, len(titles) // 2))
        for part in (one, set(titles) - one):
            corpus = _Corpus(database, articles.language, embedder)
            corpus.store(beside)
            corpus.add({title: split[title] for title in split if title in part})
            found.extend(
                corpus.ask(label, question, model, inside=question.article in part, quote=quote)
                for model in _models(embedder)
                for question in articles.only(_OF_A_HALF, number).questions
            )
    return found


def small(database: Store, articles: Articles, embedder: Embedder | None, size: int) -> list[Observation]:
    """Questions asked of corpora of `size` whole chunks: of their text, and of articles that they have nothing of.

    None if all articles together have too little for a corpus beside some of which nothing is in it.
    """
    split = _chunks(articles)
    if 2 * size > sum(map(len, split.values())):
        return []
    text_of = {source.id: _plain(source.text) for each in articles.paragraphs.values() for source in each}
    found: list[Observation] = []
    for number in range(SIZES[size]):
        chance = random.Random(SIZES[size] * size + number)
        part = _some(split, size, chance)
        corpus = _Corpus(database, articles.language, embedder)
        corpus.add(part)
        text = "\n".join(_plain(passage) for each in part.values() for _, passage in each)
        asked = {
            True: [one for one in articles.questions if one.article in part and text_of[one.passage] in text],
            False: [one for one in articles.questions if one.article not in part],
        }
        for inside, questions in asked.items():
            for question in chance.sample(questions, min(_OF_A_SIZE // SIZES[size], len(questions))):
                label = "1 chunk" if size == 1 else f"{size} chunks"
                found.extend(corpus.ask(label, question, model, inside=inside) for model in _models(embedder))
    return found


def embed(articles: Articles, embedder: Embedder) -> None:
    """Embed at once what the corpora are made of, and the questions, for an embedder that remembers."""
    every = [
        text
        for split in (_paragraphs(articles), _chunks(articles))
        for title, passages in split.items()
        for _, passage in passages
        for text in embedder.windows(passage, title)
    ]
    embedder.embed([*every, *(question.text for question in articles.questions)], seconds=_SECONDS)


def _models(embedder: Embedder | None) -> list[Embedder | None]:
    """By meaning and by words, or by words alone."""
    return [None] if embedder is None else [embedder, None]


def _paragraphs(articles: Articles) -> Split:
    """Each paragraph cut for itself."""
    return {
        title: [(source.id, passage) for source in each for passage in embeddings.passages(source)]
        for title, each in articles.paragraphs.items()
    }


def _chunks(articles: Articles) -> Split:
    """Whole articles, cut as ingestion cuts them."""
    split = {}
    for title, each in articles.paragraphs.items():
        text = extracted.normalise("\n\n".join(source.text for source in each))
        split[title] = [("", one.content) for one in split_chunks(extracted.Document(type="text", text=text))]
    return split


def _some(split: Split, size: int, chance: random.Random) -> Split:
    """Neighbouring chunks of as many articles as it takes for `size` of them."""
    part: dict[str, Sequence[tuple[str, str]]] = {}
    left = size
    for title in chance.sample(sorted(split), len(split)):
        if left:
            first = chance.randrange(max(1, len(split[title]) - left + 1))
            part[title] = split[title][first : first + left]
            left -= len(part[title])
    return part


class _Corpus:
    """A workspace, and whose passages it holds."""

    def __init__(self, database: Store, language: str, embedder: Embedder | None) -> None:
        self._workspace = database.workspace()
        self._language = language
        self._embedder = embedder
        self._passages: dict[UUID, str] = {}
        self._chunks = 0
        self._caller: Caller | None = None

    def store(self, documents: Iterable[Document]) -> None:
        """Store documents that no question is about."""
        for document in documents:
            if document.passages:
                self._workspace.add(document, model=self._embedder.model if self._embedder else None)
                self._chunks += len(document.passages)

    def add(self, split: Split) -> None:
        """Store each passage as a document, titled by its article."""
        for title, passages in split.items():
            for name, passage in passages:
                windows = []
                if self._embedder is not None:
                    texts = self._embedder.windows(passage, title)
                    windows = [np.array(self._embedder.embed(texts, seconds=_SECONDS).vectors)]
                document = Document(title, [passage], windows, self._language)
                model = self._embedder.model if self._embedder else None
                self._passages[self._workspace.add(document, model=model)] = name
                self._chunks += 1
        self._workspace.tidy()
        self._caller = self._workspace.caller()

    def ask(
        self, label: str, question: Question, embedder: Embedder | None, *, inside: bool, quote: bool = False
    ) -> Observation:
        """Ask as a request does."""
        assert self._caller is not None
        got = retrieve(self._caller, question.text, k=_K, filters=Filters(), embedder=embedder, seconds=_SECONDS)
        signals = evidence(question.text, got).signals
        # Of nothing, too, it is told how well it answers.
        signals = signals or support.signals(question.text, [], got.statistics, None, got.language)
        quoted = self._quoted(question, got) if quote and inside and question.answerable else None
        return Observation(label, self._chunks, question.article, inside, question.answerable, signals, quoted)

    def _quoted(self, question: Question, got: Retrieved) -> Quoted:
        lines, first, milliseconds = extract(question.text, got)
        spans = [_plain(answer) for answer in question.answers]
        held = [any(span in _plain(line) for span in spans) for line in lines]
        return Quoted(
            first=bool(held and held[0]) if spans else None,
            within=any(held) if spans else None,
            passage=first is not None and self._passages.get(first) == question.passage,
            sentences=len(lines),
            milliseconds=milliseconds,
        )


def extract(question: str, got: Retrieved) -> tuple[list[str], UUID | None, float]:
    """The sentences of an extracted answer whose citations hold, the source of the first, and the time it took."""
    asked = evidence(question, got).prompt
    if asked is None:
        return [], None, 0.0
    passages = asked.passages
    started = perf_counter()
    drafted = Extractive().complete(asked, seconds=_SECONDS)
    took = perf_counter() - started
    verified = verify(drafted.text, passages, {one.marker: one.content for one in passages})
    first = next((passages[span.marker - 1].source_id for span in verified.spans), None)
    return verified.text.splitlines(), first, took * 1000


def texts(names: Iterable[str]) -> Iterator[Document]:
    """The documents of other sets, with the vectors of their passages; sets that are not here are left out."""
    here = set(sets.available())
    model = embeddings.minilm()
    loaded = ((name, sets.load(name)) for name in names if name in here)
    return chain.from_iterable(embeddings.documents(one, embeddings.Kept(model, name)) for name, one in loaded)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
