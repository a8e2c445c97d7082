"""From a document to chunks: passages of bounded length in tokens, cut where a reader would cut.

Pure but for the token ranks, which tiktoken reads from TIKTOKEN_CACHE_DIR on first use (see infra/ranks.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final

import tiktoken

from functions.ingest.boundaries import (
    Structure,
    around,
    begin,
    is_word_end,
    last_cluster_end,
    sentence_ends,
    skip_blanks,
    splits_cluster,
    trimmed,
)
from functions.ingest.extract.document import Document, Heading

_ENCODING: Final = "cl100k_base"  # the tokenizer of OpenAI's embedding models
_MIN_TOKENS: Final = 16  # any code point fits: none takes more than four
_LONGEST_TOKEN: Final = 128  # characters
_SECTION_LIMIT: Final = 300  # characters of a heading path
_CELL_END: Final = " | "

# How far into the tokens that fit an end must lie to be taken, from the best kind of end to the worst.
_PARAGRAPH_FROM: Final = 0.5
_CELL_FROM: Final = 0.5
_SENTENCE_FROM: Final = 0.6
_LINE_FROM: Final = 0.75


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: content == document.text[start:end], `tokens` long in cl100k_base.

    `page` and `section` (the path of headings, "A > B") are those of its first character that is not blank.
    """

    ordinal: int
    start: int
    end: int
    content: str
    tokens: int
    page: int | None
    section: str | None


def split_chunks(document: Document, *, max_tokens: int = 512, overlap: int = 50) -> list[Chunk]:
    """Split a document into chunks of at most `max_tokens` tokens that cover all of its text that is not blank.

    A chunk ends before a heading, after a paragraph, a sentence, a line or a word, whichever comes first in this order
    and leaves it reasonably full; within a row of a table only if the row alone is too long, and then rather between
    cells; within a word only if the word alone is too long, and then between graphemes. It does not end with a heading,
    or with the first row of a table, unless nothing follows or the row or word that does leaves no room for it. The
    next one repeats up to `overlap` tokens of whole rows, sentences or words, but nothing across a heading.

    Raises ValueError if max_tokens < 16, or overlap is negative or not below half of max_tokens.
    """
    if max_tokens < _MIN_TOKENS or not 0 <= overlap < max_tokens / 2:
        raise ValueError(f"cannot split into chunks of {max_tokens} tokens with an overlap of {overlap}")
    page_starts = [page.start for page in document.pages]
    heading_starts = [heading.start for heading in document.headings]
    sections = _sections(document.headings)
    chunks: list[Chunk] = []
    for start, end, tokens in _Splitter(document, max_tokens, overlap).spans():
        first = skip_blanks(document.text, start)
        page = bisect_right(page_starts, first)
        section = bisect_right(heading_starts, first)
        chunks.append(
            Chunk(
                ordinal=len(chunks),
                start=start,
                end=end,
                content=document.text[start:end],
                tokens=tokens,
                page=document.pages[page - 1].number if page else None,
                section=sections[section - 1] if section else None,
            )
        )
    return chunks


@cache
def _encoding() -> tiktoken.Encoding:
    return tiktoken.get_encoding(_ENCODING)


def _sections(headings: Sequence[Heading]) -> list[str]:
    """The path of each heading: its title after those of the headings it lies under."""
    paths = []
    open_headings: list[Heading] = []
    for heading in headings:
        while open_headings and open_headings[-1].level >= heading.level:
            open_headings.pop()
        open_headings.append(heading)
        titles = [above.title for above in open_headings]
        while len(titles) > 1 and len(" > ".join(titles)) > _SECTION_LIMIT:
            del titles[0]
        paths.append(" > ".join(titles)[:_SECTION_LIMIT])
    return paths


class _Splitter:
    """Cuts one document."""

    def __init__(self, document: Document, max_tokens: int, overlap: int) -> None:
        self._text = document.text
        self._structure = Structure(document)
        # Not to end with, the strictest first: without room for both, what follows is rather left whole.
        self._openings = tuple(dict.fromkeys((self._structure.openings_with_rows, self._structure.openings, ())))
        self._max_tokens, self._overlap = max_tokens, overlap
        self._density = 4.0  # code points a token, as of the chunk before
        self._whole: dict[int, bool] = {}  # by the start of a row

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """(start, end, tokens) of each chunk in order."""
        text = self._text
        headings = self._structure.headings
        covered = 0
        start = begin(text, 0)
        while start < len(text):
            span = self._span(start, covered)
            if span is None:  # with the overlap, nothing new would fit
                start = begin(text, covered)
                continue
            covered, tokens = span
            self._density = (covered - start) / len(tokens)
            yield start, covered, len(tokens)
            following = begin(text, covered)
            crossed = bisect_left(headings, covered) < bisect_right(headings, following)
            repeats = self._overlap and following < len(text) and not crossed
            start = (self._overlap_start(start, covered, tokens[-self._overlap :]) if repeats else None) or following

    def _span(self, start: int, covered: int) -> tuple[int, list[int]] | None:
        """The end and tokens of the chunk from `start`; None if it cannot end beyond what is covered already."""
        budget = self._max_tokens
        while True:
            limit = self._reach(start, budget)
            end = self._end(start, max(start, covered), limit)
            if end is None and covered > start:
                return None
            if end is None:
                end = limit  # one grapheme of very many marks
            tokens = _encoding().encode_ordinary(self._text[start:end])
            if len(tokens) <= self._max_tokens:
                return end, tokens
            # Cut off elsewhere, the same text may encode differently.
            budget = max(4, budget - (len(tokens) - self._max_tokens))

    def _reach(self, start: int, budget: int) -> int:
        """How far `budget` tokens from `start` go, in whole code points.

        Only a window is encoded: tiktoken takes quadratic time on a long run without white space.
        """
        text = self._text
        width = int(1.2 * self._density * budget) + 32
        tokens = _encoding().encode_ordinary(text[start : start + width])
        # The last tokens of a window are not those of the text: a word may go on behind it.
        while len(tokens) < budget + 8 and start + width < len(text):
            width *= 2
            tokens = _encoding().encode_ordinary(text[start : start + width])
        if len(tokens) <= budget:
            return len(text)
        return start + len(_encoding().decode_bytes(tokens[:budget]).decode("utf-8", errors="ignore"))

    def _end(self, start: int, floor: int, limit: int) -> int | None:
        """The best place in text(floor:limit] to end a chunk that begins at `start`; None if there is none.

        A row that fits may be taken beyond the limit, which is where the text was cut when its tokens were counted.
        """
        text = self._text
        if limit >= len(text):
            return trimmed(text, start, limit)
        for openings in self._openings:
            for candidate in self._candidates(start, floor, limit):
                end = trimmed(text, start, candidate)
                if end > floor and self._may_cut(start, end) and around(openings, end) is None:
                    return end
            if floor > start:
                return None  # without the overlap, what comes next may fit
        row = self._structure.row(start + 1)
        if row is not None and self._fits(start, row.end):
            return row.end
        return last_cluster_end(text, start, limit)

    def _candidates(self, start: int, floor: int, limit: int) -> Iterator[int]:
        """Places to end a chunk, the best first."""
        text = self._text

        def from_(share: float) -> int:
            return max(floor, start + int((limit - start) * share)) + 1

        low = from_(_PARAGRAPH_FROM)
        yield from self._structure.section_starts(low, limit)
        yield text.rfind("\n\n", low, limit + 2)
        row = self._structure.row(limit)
        if row is not None:  # in one that does not fit; the others are left whole
            low = max(from_(_CELL_FROM), row.start)
            yield text.rfind(_CELL_END, low, limit + len(_CELL_END))
        sentences = list(sentence_ends(text, from_(_SENTENCE_FROM) - 1, limit + 2))
        yield from (end for end in reversed(sentences) if end <= limit)
        yield text.rfind("\n", from_(_LINE_FROM), limit + 1)
        position = limit
        while position > floor:
            if is_word_end(text, position):
                yield position
            position = min(position - 1, self._before_row(position))

    def _may_cut(self, start: int, position: int) -> bool:
        """Whether a cut at `position`, of text from `start` on, goes through no grapheme and no row that is to stay."""
        return not splits_cluster(self._text, start, position) and self._before_row(position) == position

    def _before_row(self, position: int) -> int:
        """Where the row begins that a cut at `position` would go through, if it is to stay whole; else `position`."""
        row = self._structure.row(position)
        return row.start if row is not None and self._is_whole(row.start, row.end) else position

    def _is_whole(self, start: int, end: int) -> bool:
        """Whether the row text[start:end] fits into a chunk of its own."""
        if start not in self._whole:
            self._whole[start] = self._fits(start, end)
        return self._whole[start]

    def _fits(self, start: int, end: int) -> bool:
        if end - start > self._max_tokens * _LONGEST_TOKEN:
            return False
        return len(_encoding().encode_ordinary(self._text[start:end])) <= self._max_tokens

    def _overlap_start(self, start: int, end: int, tail: list[int]) -> int | None:
        """Where the next chunk begins to repeat the tail of this one: at a heading or a sentence, else at a word."""
        text = self._text
        furthest = end - len(_encoding().decode_bytes(tail).decode("utf-8", errors="ignore"))
        furthest = max(furthest, start + 1)
        wanted: Iterable[int] = ()
        section = self._structure.last_section(start, end)
        if section is not None and furthest <= section.start:
            wanted = (section.start,)
            furthest = section.start
        elif section is not None:
            furthest = max(furthest, section.end)
        # A sentence in the first half of the tail; a shorter overlap would hardly be one.
        halfway = furthest + (end - furthest) // 2
        sentences = sentence_ends(text, furthest - 1, halfway + 2)
        words = (position for position in range(furthest, end) if is_word_end(text, position))
        for position in chain(wanted, sentences, words):
            first = begin(text, position)
            if start < first < end and self._may_cut(start, first):
                return first
        return None
