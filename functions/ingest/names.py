"""Names to show: what a stranger called a file, without what would deceive or break a line. Pure."""

import unicodedata
from typing import Final

NAME_CHARS: Final = 255


def safe_name(name: str, *, default: str) -> str:
    """A name to show: no path, no control, bidirectional or other invisible characters, at most 255 long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return visible(last)[:NAME_CHARS] or default


def visible(text: str) -> str:
    """Text on one line, without control, bidirectional or other invisible characters."""
    shown = "".join(" " if char.isspace() else char for char in text)
    return " ".join("".join(char for char in shown if unicodedata.category(char)[0] != "C").split())
