"""Text to terms: Unicode words, case folded and stemmed; runs of CJK characters become bigrams.

Documents and questions must go through the same analyzer: its VERSION is part of what an index is.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import Stemmer

VERSION: Final = 1

# A run of characters of scripts written without spaces, or a run of other letters and digits.
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)?")
_IS_CJK = re.compile(rf"[{_CJK}]")
_MAX_TERM: Final = 64

# Words of a question that say nothing about its subject, as the analyzer writes them.
# fmt: off
_ASKING: Final = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "been", "by", "did", "do", "doe", "for", "from", "had", "has", "have",
    "how", "in", "is", "it", "mani", "much", "of", "on", "or", "that", "the", "to", "was", "were", "what", "when",
    "where", "which", "who", "whom", "whose", "whi", "with",
})
# fmt: on

_stemmer = Stemmer.Stemmer("english")


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))


def terms(text: str) -> list[str]:
    """The terms of `text` in order, repeats kept; longer words are cut at 64 characters."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        run = match.group()
        if _IS_CJK.match(run):
            found.extend(run[i : i + 2] for i in range(max(1, len(run) - 1)))
        else:
            found.append(_stem(run.casefold().replace("’", "'")[:_MAX_TERM]))
    return found


def subject(asked: Iterable[str]) -> list[str]:
    """The terms of a question that say what it is about, each once; all of them if none does."""
    once = list(dict.fromkeys(asked))
    return [term for term in once if term not in _ASKING] or once
