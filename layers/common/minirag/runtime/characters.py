"""Characters that PostgreSQL cannot store as text: NUL, and surrogates without their other half."""

import re
from typing import Final

UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with what cannot be stored replaced by U+FFFD."""
    return UNSTORABLE.sub("\ufffd", text)
