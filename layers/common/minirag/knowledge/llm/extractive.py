"""Answers without a model: the sentences of the passages that say most about the question, word for word.

`python -m evals.answering` measures them; docs/decisions/0006 has the figures.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt
from typing import Final

from minirag.knowledge.lexical.analyzer import subject, words
from minirag.knowledge.llm import Completion, Passage, Prompt
from minirag.knowledge.sentences import sentences

MODEL: Final = "extractive-1"

# What a sentence is worth, beside the share of the question's weighted terms that it holds (0 to 1).
_PASSAGE: Final = 0.5  # the passage's fused score, over the best passage's
_PHRASE: Final = 0.3  # the share of the question's neighbouring terms that are neighbours here too
_BEFORE: Final = 0.5  # of the terms that only the sentence before holds: what "it" and "he" stand for
_UNDER_HEADING: Final = 0.9  # the same when that sentence is a heading or a question

_MOST_SENTENCES: Final = 3
_FAR_LOWER: Final = 0.8  # of the best sentence's worth; below it, a further sentence must be about something new,
_NEW: Final = 0.2  # which is this share of the question's weighted terms
_GOES_ON: Final = 0.1  # and the sentence after the best one, this share of them at all
_SAME: Final = 0.8  # share of common terms from which two sentences say the same
_LONGEST: Final = 500  # code points of one quotation; a table without any full stop is one endless sentence
_SHORTEST: Final = 4  # terms
_RUBBLE: Final = 0.6  # factor on headings, questions and table rows, which seldom answer by themselves

# Brackets that an answer's reader would take for markers of passages; the check of citations reads them so, too.
_FOOTNOTES = re.compile(r"\s*\[\s*\d{1,3}(?:[\s,]+\d{1,3})*[\s,]*\]")
_LEADING_MARK = re.compile(r"(?:[•‣▪◦●○■□·*–—-]|#{1,6})\s+")
_STOPS: Final = (".", "!", "。", "！", "…", "।")
_ENDS: Final = (*_STOPS, ":", ";")
_ASKS: Final = ("?", "？", "؟")
_CLOSERS: Final = "\"'”’»)]」』）"


@dataclass(frozen=True, slots=True)
class _Text:
    """A sentence as it is shown, and its terms in order."""

    text: str
    said: Sequence[str]
    row: bool  # of a table
    title: bool  # heading, question or fragment, which answers nothing
    whole: bool  # can stand for itself


@dataclass(frozen=True, slots=True)
class _Sentence:
    marker: int
    place: int  # in the passage
    text: str
    terms: frozenset[str]
    covers: frozenset[str]  # its terms and those of the heading or question that it stands under
    match: float  # what it has of the question, by itself or carried over from the sentence before
    worth: float  # the same together with what its passage is worth
    title: bool
    row: bool
    whole: bool


class Extractive:
    """The provider that needs no key: quotes up to three sentences, each followed by its passage's marker."""

    name = "extractive"
    model = MODEL
    room = None
    answer_tokens = 0

    def count(self, text: str) -> int:  # noqa: ARG002
        """None: what is quoted costs nothing."""
        return 0

    def complete(self, prompt: Prompt, *, seconds: float) -> Completion:  # noqa: ARG002  takes milliseconds
        """Quote the best sentences, one a line, each as `sentence [marker]`; no passages give an empty text.

        A quotation is a stretch of its passage with runs of white space written as one space, and without numbers
        in brackets.
        """
        asked = words(prompt.question, prompt.language)
        texts = [list(_texts(passage.content, prompt.language)) for passage in prompt.passages]
        weights = _weights(asked, prompt.term_weights, [one for of_passage in texts for one in of_passage])
        top = max((passage.score for passage in prompt.passages), default=0.0)
        found = [
            sentence
            for passage, of_passage in zip(prompt.passages, texts, strict=True)
            for sentence in _judge(passage, of_passage, asked, weights, passage.score / top if top > 0 else 0.0)
        ]
        # A title is shown only if nothing else says anything about the question.
        answered = any(sentence.match and not sentence.title for sentence in found)
        found.sort(key=lambda sentence: (answered and sentence.title, -sentence.worth, not sentence.whole))
        text = "\n".join(f"{sentence.text} [{sentence.marker}]" for sentence in _choose(found, weights))
        return Completion(text=text, model=MODEL, prompt_tokens=0, completion_tokens=0, provider=self.name)


def _weights(asked: list[str], idf: Mapping[str, float], shown: Sequence[_Text]) -> dict[str, float]:
    """What each term of the question's subject weighs, adding up to 1.

    By its rarity among all documents, and among the sentences shown: what all of them say tells none of them apart.
    """
    about = subject(asked)
    wanted = frozenset(about)
    holding = Counter(term for one in shown for term in wanted.intersection(one.said))
    weights = {
        term: sqrt(max(0.0, idf.get(term, 0.0)) * log(1 + (len(shown) - holding[term] + 0.5) / (holding[term] + 0.5)))
        for term in about
        if holding[term]
    }
    total = sum(weights.values())
    return {term: weight / total for term, weight in weights.items()} if total else dict.fromkeys(about, 1 / len(about))


def _judge(
    passage: Passage, texts: Sequence[_Text], asked: list[str], weights: Mapping[str, float], score: float
) -> Iterator[_Sentence]:
    """The sentences of one passage with what each is worth."""
    pairs = {pair: weights.get(pair[0], 0.0) + weights.get(pair[1], 0.0) for pair in pairwise(asked)}
    paired = sum(pairs.values()) or 1.0
    wanted = weights.keys()
    before: frozenset[str] = frozenset()
    titled = False
    for place, one in enumerate(texts):
        here = frozenset(one.said)
        coverage = sum(weights[term] for term in wanted & here)
        carried = sum(weights[term] for term in wanted & before - here)
        phrase = sum(pairs[pair] for pair in pairs.keys() & set(pairwise(one.said))) / paired if coverage else 0.0
        match = coverage + (_UNDER_HEADING if titled else _BEFORE) * carried + _PHRASE * phrase
        match *= 1.0 if one.whole else _RUBBLE
        covers = here | before if titled else here
        worth = match + _PASSAGE * score
        yield _Sentence(passage.marker, place, one.text, here, covers, match, worth, one.title, one.row, one.whole)
        before, titled = here, not (one.whole or one.row)


def _texts(content: str, language: str | None) -> Iterator[_Text]:
    """The sentences of a passage."""
    for start, end in sentences(content):
        text = " ".join(_without_footnotes(content[start:end]).split())
        mark = _LEADING_MARK.match(text)
        item = mark is not None and text[0] != "#"
        at = mark.end() if mark else 0
        while at < len(text):
            cut = len(text) if len(text) - at <= _LONGEST else text.rfind(" ", at + 1, at + _LONGEST) + 1
            cut = cut or at + _LONGEST
            yield _text(text[at:cut].strip(), language, item=item, heading=mark is not None and not item)
            at = cut


def _without_footnotes(text: str) -> str:
    """Taking one out may make another of what stood around it."""
    while "[" in text and (shorter := _FOOTNOTES.sub("", text)) != text:
        text = shorter
    return text


def _text(text: str, language: str | None, *, item: bool, heading: bool) -> _Text:
    said = words(text, language)
    row = text[0] == "|" or 2 * sum(map(str.isalpha, text)) < len(text)
    body = text.rstrip(_CLOSERS)
    short = len(said) < _SHORTEST
    fragment = short and not item and not body.endswith(_STOPS)
    title = not row and (heading or fragment or body.endswith(_ASKS))
    whole = not (row or title or short) and (item or body.endswith(_ENDS) or len(said) >= 2 * _SHORTEST)
    return _Text(text, said, row, title, whole)


def _choose(found: list[_Sentence], weights: Mapping[str, float]) -> list[_Sentence]:
    """The best sentences, best first; what comes far behind them must add a part of the question.

    Where there is room, the sentence after the best one comes with it.
    """
    chosen: list[_Sentence] = []
    covered: set[str] = set()
    for sentence in found:
        if chosen:
            if len(chosen) == _MOST_SENTENCES:
                break
            new = sum(weight for term, weight in weights.items() if term in sentence.terms - covered)
            near = sentence.whole and sentence.worth >= _FAR_LOWER * chosen[0].worth
            adds = (sentence.whole or sentence.row) and new >= _NEW
            if not sentence.match or not (near or adds):
                continue
        if not _known(sentence, chosen):
            chosen.append(sentence)
            covered |= sentence.covers
    if 0 < len(chosen) < _MOST_SENTENCES:
        chosen[1:1] = [one for one in found if _goes_on(one, chosen[0], weights) and not _known(one, chosen)]
    return chosen


def _goes_on(sentence: _Sentence, best: _Sentence, weights: Mapping[str, float]) -> bool:
    """Whether it comes after the best one and is about the question, too: what was done about it, or why."""
    if (sentence.marker, sentence.place) != (best.marker, best.place + 1) or not sentence.whole:
        return False
    return sum(weights[term] for term in weights.keys() & sentence.terms) >= _GOES_ON


def _known(sentence: _Sentence, chosen: Sequence[_Sentence]) -> bool:
    return any(_same(sentence, other) for other in chosen)


def _same(one: _Sentence, other: _Sentence) -> bool:
    """Whether two sentences say the same, or one is a part of the other: overlapping passages repeat themselves."""
    if one.text in other.text or other.text in one.text:
        return True
    return len(one.terms & other.terms) >= _SAME * len(one.terms | other.terms)
