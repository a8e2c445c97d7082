"""From a document to chunks: passages of bounded length in tokens, cut where a reader would cut.

Pure but for the token ranks, which tiktoken reads from TIKTOKEN_CACHE_DIR on first use (see infra/ranks.py).
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final

import regex  # type: ignore[import-untyped]
import tiktoken

from functions.ingest.extract.document import Document, Heading

_ENCODING: Final = "cl100k_base"  # the tokenizer of OpenAI's embedding models
_MIN_TOKENS: Final = 16  # any code point fits: none takes more than four
_SECTION_LIMIT: Final = 300  # characters of a heading path

# How far into the tokens that fit an end must lie to be taken, from the best kind of end to the worst.
_PARAGRAPH_FROM: Final = 0.5
_SENTENCE_FROM: Final = 0.6
_LINE_FROM: Final = 0.75

# A full stop after an initial or a title ends no sentence, nor does one before a small letter.
_SENTENCE_END: Final = re.compile(
    r"(?:[!?…]|(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St|No|cf|vs))(?<!\b(?:Mrs|Fig))\.)[\"'”’»)\]]*(?=\s+[^\sa-z])"
    r"|[。！？｡][”’」』）】]*"
)
# Scripts without spaces between words: Han, Kana, Bopomofo and their punctuation. A line may break between any two
# characters but before closing and after opening ones (JIS X 4051).
_IDEOGRAPHIC: Final = re.compile(
    "[\u3001-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40"
    "\uff5b-\uff9d\U00020000-\U0003134f]"
)
_NO_START: Final = frozenset("、。，．！？：；）」』】〉》〕］｝｡｣､”’…ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ")
_NO_END: Final = frozenset("（「『【〈《〔［｛｢“‘")
_CLUSTER: Final = regex.compile(r"\X")  # extended grapheme clusters, UAX #29


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
    and leaves it reasonably full; within a word only if the word alone is too long, and then between graphemes. The
    next one repeats up to `overlap` tokens of whole sentences or words, but nothing across a heading.

    Raises ValueError if max_tokens < 16, or overlap is negative or not below half of max_tokens.
    """
    if max_tokens < _MIN_TOKENS or not 0 <= overlap < max_tokens / 2:
        raise ValueError(f"cannot split into chunks of {max_tokens} tokens with an overlap of {overlap}")
    page_starts = [page.start for page in document.pages]
    heading_starts = [heading.start for heading in document.headings]
    sections = _sections(document.headings)
    chunks: list[Chunk] = []
    for start, end, tokens in _spans(document.text, heading_starts, max_tokens, overlap):
        first = _skip_blanks(document.text, start)
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


def _spans(text: str, heading_starts: list[int], max_tokens: int, overlap: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, tokens) of each chunk in order."""
    headings = frozenset(heading_starts)
    covered = 0
    density = 4.0
    start = _start(text, 0)
    while start < len(text):
        span = _span(text, start, covered, heading_starts, max_tokens, density)
        if span is None:  # with the overlap, nothing new would fit
            start = _start(text, covered)
            continue
        covered, tokens = span
        density = (covered - start) / len(tokens)
        yield start, covered, len(tokens)
        following = _start(text, covered)
        repeats = overlap and following < len(text) and following not in headings
        start = (_overlap_start(text, start, covered, tokens[-overlap:]) if repeats else None) or following


def _span(
    text: str, start: int, covered: int, heading_starts: list[int], max_tokens: int, density: float
) -> tuple[int, list[int]] | None:
    """The end and tokens of the chunk from `start`; None if it cannot end beyond what is covered already."""
    budget = max_tokens
    while True:
        limit = _reach(text, start, budget, density)
        end = _end(text, start, max(start, covered), limit, heading_starts)
        if end is None and covered > start:
            return None
        if end is None:
            end = limit  # one grapheme of very many marks
        tokens = _encoding().encode_ordinary(text[start:end])
        if len(tokens) <= max_tokens:
            return end, tokens
        # Cut off elsewhere, the same text may encode differently.
        budget = max(4, budget - (len(tokens) - max_tokens))


def _reach(text: str, start: int, budget: int, density: float) -> int:
    """How far `budget` tokens from `start` go, in whole code points; `density` is a guess at code points a token.

    Only a window is encoded: tiktoken takes quadratic time on a long run without white space.
    """
    width = int(1.2 * density * budget) + 32
    tokens = _encoding().encode_ordinary(text[start : start + width])
    # The last tokens of a window are not those of the text: a word may go on behind it.
    while len(tokens) < budget + 8 and start + width < len(text):
        width *= 2
        tokens = _encoding().encode_ordinary(text[start : start + width])
    if len(tokens) <= budget:
        return len(text)
    return start + len(_encoding().decode_bytes(tokens[:budget]).decode("utf-8", errors="ignore"))


def _end(text: str, start: int, floor: int, limit: int, heading_starts: list[int]) -> int | None:
    """The best place in text(floor:limit] to end a chunk that begins at `start`; None if there is none."""
    if limit >= len(text):
        return _trimmed(text, start, limit)

    def from_(share: float) -> int:
        return max(floor, start + int((limit - start) * share)) + 1

    candidates = list(_heading_ends(text, heading_starts, from_(_PARAGRAPH_FROM), limit))
    candidates.append(text.rfind("\n\n", from_(_PARAGRAPH_FROM), limit + 2))
    sentences = [match.end() for match in _SENTENCE_END.finditer(text, from_(_SENTENCE_FROM) - 1, limit + 2)]
    candidates += [end for end in reversed(sentences) if end <= limit]
    candidates.append(text.rfind("\n", from_(_LINE_FROM), limit + 1))
    for candidate in candidates:
        end = _trimmed(text, start, candidate)
        if end > floor and not _splits_cluster(text, start, end):
            return end
    for candidate in range(limit, floor, -1):
        if _is_word_end(text, candidate):
            end = _trimmed(text, start, candidate)
            if end > floor and not _splits_cluster(text, start, end):
                return end
    if floor > start:
        return None  # without the overlap, the next word may fit
    ends = [match.end() for match in _CLUSTER.finditer(text, start, limit + 1) if floor < match.end() <= limit]
    return ends[-1] if ends else None


def _heading_ends(text: str, heading_starts: list[int], low: int, limit: int) -> Iterator[int]:
    """Where the last heading in text[low:limit] begins, with any headings directly above it."""
    last = bisect_right(heading_starts, limit) - 1
    if last >= 0 and heading_starts[last] >= low:
        while last > 0 and "\n" not in text[heading_starts[last - 1] : heading_starts[last]].strip():
            last -= 1
        if heading_starts[last] >= low:
            yield heading_starts[last]


def _overlap_start(text: str, start: int, end: int, tail: list[int]) -> int | None:
    """Where the next chunk begins to repeat the tail of this one: at a sentence if possible, else at a word."""
    furthest = end - len(_encoding().decode_bytes(tail).decode("utf-8", errors="ignore"))
    furthest = max(furthest, start + 1)
    # A sentence in the first half of the tail; a shorter overlap would hardly be one.
    halfway = furthest + (end - furthest) // 2
    sentences = [match.end() for match in _SENTENCE_END.finditer(text, furthest - 1, halfway + 2)]
    words = (position for position in range(furthest, end) if _is_word_end(text, position))
    for position in chain(sentences, words):
        begin = _start(text, position)
        if start < begin < end and not _splits_cluster(text, start, begin):
            return begin
    return None


def _is_word_end(text: str, position: int) -> bool:
    before, after = text[position - 1], text[position]
    if before.isspace() or after.isspace():
        return True
    ideographic = _IDEOGRAPHIC.match(before) or _IDEOGRAPHIC.match(after)
    return bool(ideographic) and after not in _NO_START and before not in _NO_END


def _splits_cluster(text: str, start: int, position: int) -> bool:
    """Whether a cut would tear a grapheme apart; `start` is a place where it certainly does not."""
    if not start < position < len(text):
        return False
    # Only after a mark, a joiner or a flag's letter does it matter what stands further back (UAX #29, GB9c to GB13).
    anchor = position - 1
    while anchor > start and unicodedata.category(text[anchor])[0] not in "LNPZ":
        anchor -= 1
    end = anchor
    while end < position:
        end = _CLUSTER.match(text, end).end()
    return bool(end > position)


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _start(text: str, position: int) -> int:
    """The first place from `position` on where a chunk may begin: not blank, unless a mark sits on the blank."""
    start = _skip_blanks(text, position)
    while start < len(text) and _splits_cluster(text, position, start):
        start -= 1
    return start


def _trimmed(text: str, start: int, position: int) -> int:
    while position > start and text[position - 1].isspace():
        position -= 1
    return position
