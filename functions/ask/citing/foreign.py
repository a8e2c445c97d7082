"""Whether an answer is in another language than its passages, in which case their words cannot be compared. Pure.

Told by the scripts of their letters, and among texts in one script by their stop words: few, but in every sentence.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final
from unicodedata import name

from minirag.knowledge.lexical.analyzer import STOPPED, stop_words

_LETTERS: Final = 2000  # of each, enough to tell
_WORDS: Final = 400
_MOST: Final = 0.7  # of the letters in one script
_SHARE: Final = 0.2  # of the words that are stop words of a text's language
_TIMES: Final = 1.5  # as many as in any other


def foreign(answer: str, passages: Sequence[str]) -> bool:
    """Whether `answer` is surely in another language than all of `passages`."""
    shown = " ".join(passage[:_LETTERS] for passage in passages)
    here, there = _script(answer), _script(shown)
    if here is None or there is None:
        return False
    if here != there:
        return True
    written, read = _language(answer), _language(shown)
    return written is not None and read is not None and written != read


def _script(text: str) -> str | None:
    letters = Counter(name(char, "?").partition(" ")[0] for char in text[:_LETTERS] if char.isalpha())
    if not letters:
        return None
    script, count = letters.most_common(1)[0]
    return script if count >= _MOST * letters.total() else None


def _language(text: str) -> str | None:
    """The language whose stop words a text has far more of than of any other's."""
    words = text.casefold().split(maxsplit=_WORDS)[:_WORDS]
    if not words:
        return None
    counted = Counter({code: sum(word in stop_words(code) for word in words) for code in STOPPED})
    (first, most), (_, second) = counted.most_common(2)
    return first if most >= _SHARE * len(words) and most >= _TIMES * second else None
