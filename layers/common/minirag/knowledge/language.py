"""Which language a document is in."""

from functools import cache
from typing import TYPE_CHECKING, Final

from minirag.knowledge.lexical.analyzer import STEMMERS

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]

# Those with an analysis of their own, and those that would be mistaken for one of them.
_CANDIDATES: Final = sorted(
    {*STEMMERS.keys() - {"yi"}, "bg", "he", "hr", "ja", "ko", "mk", "sk", "sl", "th", "uk", "vi", "zh"}
)
# Of a text's beginning, enough to be sure and little to read.
_CHARACTERS: Final = 4000
_SURE: Final = 0.4


def detect(text: str) -> str | None:
    """The language of a text, as ISO 639-1, or None if it has too little text to tell.

    By py3langid (Lui and Baldwin, langid.py, 2012), whose model is part of the package.
    """
    found, probability = _identifier().classify(text[:_CHARACTERS])
    return str(found) if probability >= _SURE else None


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # loads for a second; only ingestion needs it

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_CANDIDATES)
    return identifier
