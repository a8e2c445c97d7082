"""The names in a sentence, and whether a text knows them. Pure.

A name is a word with a capital in the middle of a sentence. Another form of it, or its initials, would do: "Mongol"
for "Mongols", "EU" for "European Union".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from unicodedata import combining, normalize

_WORD: Final = re.compile(r"[^\W\d_]+")
_INITIALS: Final = re.compile(r"\b(?:[^\W\d_]\.){2,}|\b[^\W\d_]{2,}\b")
# Behind these a sentence goes on.
_GOES_ON: Final = ",;)'’-/"
_LINKING: Final = frozenset({"of", "for", "the", "de"})
_SAME: Final = 4  # letters that two forms of a name begin with
_DATES: Final = frozenset({
    "january", "february", "march", "april", "june", "july", "august", "september", "october", "november", "december",
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
})  # fmt: skip
# German writes every noun with a capital.
_GERMAN: Final = frozenset({"der", "das", "und", "ist", "nicht", "eine", "auf", "für", "wird", "mit"})
_SURE: Final = 3


@dataclass(frozen=True, slots=True)
class Known:
    """What a text knows: what its words begin with, and abbreviations in capitals."""

    beginnings: frozenset[str]
    initials: frozenset[str]


@dataclass(frozen=True, slots=True)
class Name:
    """Capitalised words in a row: their initials, and the beginnings of those in the middle of the sentence."""

    initials: str
    beginnings: frozenset[str]

    def among(self, known: Known) -> bool:
        return self.beginnings <= known.beginnings or self.initials in known.initials


def known(text: str) -> Known:
    """What a text knows of names."""
    initials = (word.replace(".", "") for word in _INITIALS.findall(text) if word.isupper())
    return Known(frozenset(_folded(word)[:_SAME] for word in _WORD.findall(text)), frozenset(initials))


def names(sentence: str) -> list[Name]:
    """The names in a sentence, words in a row as one."""
    found: list[Name] = []
    initials, beginnings, end = "", set[str](), 0
    for match in _WORD.finditer(sentence):
        word, gap = match.group(), sentence[end : match.start()]
        end = match.end()
        linked = gap.isspace() or gap == "-"
        if linked and initials and word in _LINKING:
            continue
        if not (linked and word[0].isupper()):
            found += _name(initials, beginnings)
            initials, beginnings = "", set()
        if word[0].isupper():
            folded = _folded(word)
            initials += "" if folded in _LINKING else word[0]
            if _goes_on(sentence, match.start()) and _telling(word, folded):
                beginnings.add(folded[:_SAME])
    return [*found, *_name(initials, beginnings)]


def nouns_are_capitalised(texts: Iterable[str]) -> bool:
    """Whether texts are in German, so that a capital makes no name."""
    return len(_GERMAN.intersection(word for text in texts for word in text.split())) >= _SURE


def _goes_on(sentence: str, at: int) -> bool:
    """Whether what is before `at` does not end there; the blanks are few, whatever was written."""
    before = sentence[max(0, at - 3) : at].rstrip()[-1:]
    return before.isalnum() or (before != "" and before in _GOES_ON)


def _name(initials: str, beginnings: Iterable[str]) -> list[Name]:
    return [Name(initials.upper(), frozenset(beginnings))] if beginnings else []


def _telling(word: str, folded: str) -> bool:
    """Abbreviations may stand for what is written out; dates are written in many ways."""
    return len(word) >= _SAME and not word.isupper() and folded not in _DATES


def _folded(word: str) -> str:
    folded = word.casefold()
    return folded if folded.isascii() else "".join(char for char in normalize("NFKD", folded) if not combining(char))
