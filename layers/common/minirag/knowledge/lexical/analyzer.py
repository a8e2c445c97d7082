"""Text to terms: Unicode words, case folded, without stop words, stemmed; scripts without spaces become bigrams.

Documents and questions must go through the same analyzer: its VERSION is stored with what it made.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Final
from unicodedata import normalize

import regex  # type: ignore[import-untyped]
import Stemmer

VERSION: Final = 2

# Of a text whose language is not known.
DEFAULT: Final = "en"

# Languages without a stemmer here: their words are neither stemmed nor left out. ISO 639-2's code for "undetermined".
UNSTEMMED: Final = "und"

# Snowball's stemmers by ISO 639-1.
# fmt: off
STEMMERS: Final = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}
# fmt: on

# Scripts that are written without spaces, or, as Hangul, with endings grown onto the words.
_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD: Final = regex.compile(
    rf"""
    (?P<unspaced> [{_UNSPACED}]+ )
    | (?P<initials> (?:(?<![\p{{L}}\p{{N}}])\p{{Lu}}\.){{2,}} )       # U.S. is what US is
    | [\p{{L}}\p{{M}}\p{{N}}--{_UNSPACED}]+
      (?: ['’] [\p{{L}}\p{{M}}\p{{N}}--{_UNSPACED}]+ | [+#]{{1,2}} (?![\p{{L}}\p{{N}}]) )?   # don't, C++, F#
    """,
    regex.VERBOSE | regex.VERSION1,
)
_MAX_TERM: Final = 64
_REMEMBERED: Final = 32768

_STOP_WORDS: Final = Path(__file__).parent / "stopwords"
# The languages whose stop words are known.
STOPPED: Final = tuple(sorted(path.stem for path in _STOP_WORDS.glob("*.txt")))


def analysis_of(language: str | None) -> str:
    """The analysis for a language tag like en-GB (BCP 47): a key of STEMMERS, or UNSTEMMED; DEFAULT for None."""
    code = (language or DEFAULT).partition("-")[0].lower()
    return code if code in STEMMERS else UNSTEMMED


def terms(text: str, language: str | None = None) -> list[str]:
    """The terms of a text in a `language` (BCP 47) that are searched, in order, repeats kept.

    Longer words are cut at 64 characters. A word in capitals is no stop word among others that are not: WHO, IT, US.
    """
    return list(_analyzed(text, analysis_of(language), stop=True))


def words(text: str, language: str | None = None) -> list[str]:
    """As `terms`, with the stop words: for comparing sentences, where they count."""
    analysis = analysis_of(language)
    # No word reaches across white space, and sentences repeat their words: they are remembered, but for endless ones.
    split = text.split()
    if max(map(len, split), default=0) > _MAX_TERM:
        return list(_analyzed(text, analysis, stop=False))
    return list(chain.from_iterable(map(_words_in(analysis).__getitem__, split)))


class _Words(dict[str, tuple[str, ...]]):
    """What each word comes to in one analysis; all are forgotten when they are too many."""

    def __init__(self, analysis: str) -> None:
        self._analysis = analysis

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(self) >= _REMEMBERED:
            self.clear()
        self[word] = found = tuple(_analyzed(word, self._analysis, stop=False))
        return found


_words_in: Final = cache(_Words)


def _analyzed(text: str, language: str, *, stop: bool) -> Iterator[str]:
    text = normalize("NFKC", text)
    shouted = text.isupper()
    for match in _WORD.finditer(text):
        word = match.group()
        if match.lastgroup == "unspaced":
            yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))
            continue
        if match.lastgroup == "initials":
            word = word.replace(".", "")
        stressed = len(word) > 1 and not shouted and word.isupper()
        if term := _term(word, language, stop and not stressed):
            yield term


def query_terms(question: str, languages: Sequence[str]) -> list[str]:
    """The terms of a question to documents in `languages`: those of its analysis in each, one after the other.

    A term of several analyses counts as often as in the one where it is most frequent, so that for one language these
    are just its terms.
    """
    found: list[str] = []
    for language in languages or (DEFAULT,):
        left = found.copy()
        for term in terms(question, language):
            if term in left:
                left.remove(term)
            else:
                found.append(term)
    return found


@lru_cache(maxsize=65536)
def _term(word: str, language: str, stop: bool) -> str | None:
    folded = word.casefold().replace("’", "'")[:_MAX_TERM]
    if stop and folded in stop_words(language):
        return None
    stemmer = _stemmer(language)
    return folded if stemmer is None else str(stemmer.stemWord(folded)) or folded


@cache
def _stemmer(language: str) -> "Stemmer.Stemmer | None":
    return Stemmer.Stemmer(STEMMERS[language]) if language in STEMMERS else None


@cache
def stop_words(language: str) -> frozenset[str]:
    """The words of a language, case folded, that are not searched; none if it is not one of STOPPED."""
    path = _STOP_WORDS / f"{language}.txt"
    return frozenset(path.read_text("utf-8").split()) if path.is_file() else frozenset()


# Words of a question that say nothing about its subject, as the analyzer writes them, beyond the stop words.
# fmt: off
_ASKING: Final = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "been", "by", "did", "do", "doe", "for", "from", "had", "has", "have",
    "how", "in", "is", "it", "mani", "much", "of", "on", "or", "that", "the", "to", "was", "were", "what", "when",
    "where", "which", "who", "whom", "whose", "whi", "with",
})
# fmt: on


def subject(asked: Iterable[str]) -> list[str]:
    """The terms of a question that say what it is about, each once; all of them if none does."""
    once = list(dict.fromkeys(asked))
    return [term for term in once if term not in _ASKING] or once
