"""Output safety: what a model or a document wrote becomes text that holds no link, image or HTML. Pure.

What is left is a small subset of Markdown: paragraphs, lists, tables, emphasis, code. As CommonMark 0.31 and GFM read
them, a link or an image needs `](`, a definition `]:`, an autolink a scheme or `<`, HTML a `<` before a letter: each of
these is parted or taken out wherever it stands, in code too, so that nothing depends on what a parser takes for code.
An address for mail in running text stays, though GFM would link it: it is for copying, and carries nothing away.
"""

import re
from html.entities import html5
from typing import Final
from unicodedata import category

# Commands to a terminal, like colours, titles and its own links.
_ANSI: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)")
_LINE_ENDS: Final = re.compile(r"\r\n?")
_SPACES: Final = re.compile("[\x0b\x0c\x85]")
_CONTROLS: Final = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

# Characters that are not seen. Emoji, Persian and others need some of them, beside a character that is not ASCII.
_JOINERS: Final = "\u061c\u200c-\u200f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_MOST_JOINERS: Final = 3
_UNSEEN: Final = re.compile(
    "\U0001f3f4[\U000e0061-\U000e007a]{3,6}\U000e007f"  # the flags of England, Scotland, Wales
    f"|[{_JOINERS}\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
_NOT_JOINERS: Final = re.compile(f"[^{_JOINERS}]")

# Where GFM, or whoever looks for addresses in the text that it made, would begin a link. A scheme is taken with all
# letters before it, and several together, lest the rest of one become part of another.
_WWW: Final = re.compile(r"(?<![^\W_])www\\?\.(?=[\w\\-])", re.IGNORECASE)
_SCHEMES: Final = re.compile(
    r"""
    (?: (?<![A-Za-z0-9])
        (?: [A-Za-z0-9]* (?:https?|ftp) \\?: (?:\\?/){2}
          | (?:javascript|vbscript|mailto|xmpp) \\?: (?=[A-Za-z0-9%/;,('&\\])
          | data \\?: (?=[A-Za-z0-9.+-]{1,50}\\?/ | [;,]) ) )+
    """,
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
# What may stand before an address as if nothing had been there; beside others, a space keeps the two sides apart.
_BEFORE_ADDRESS: Final = " \t\n([\"'<>*_~|"

_REFERENCE: Final = re.compile(r"&(?:#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6})|[A-Za-z][A-Za-z0-9]{1,31});")
# A tag, a comment, a declaration, or an address for mail: these may begin with other signs.
_MARKUP: Final = re.compile(r"<(?=[A-Za-z/!?]|[\w.!#$%&'*+/=?^`{|}~-]+@)", re.ASCII)
_AFTER_BRACKET: Final = re.compile(r"\](?=[(:])")


def harmless(text: str) -> str:
    """The text without links, images, HTML and hidden characters, else as it was.

    Applied twice it changes nothing more. Linear in the length of `text`.
    """
    text = _CONTROLS.sub("", _SPACES.sub(" ", _LINE_ENDS.sub("\n", _ANSI.sub("", text))))
    text = _UNSEEN.sub(_needed, text)
    text = _SCHEMES.sub(_parted, _WWW.sub("", text))
    # These come last: what is taken out above may bring together what they part.
    text = _REFERENCE.sub(_literal, text)
    text = _MARKUP.sub("< ", text)
    return _AFTER_BRACKET.sub("] ", text)


def _needed(match: re.Match[str]) -> str:
    """Of characters that are not seen, those that what stands beside them may need."""
    if match.group()[0] == "\U0001f3f4":
        return match.group()
    beside = match.string[max(0, match.start() - 1) : match.start()] + match.string[match.end() : match.end() + 1]
    return "" if beside.isascii() else _NOT_JOINERS.sub("", match.group())[:_MOST_JOINERS]


def _parted(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 1) : match.start()]
    return "" if not before.isascii() or before in _BEFORE_ADDRESS else " "


def _literal(match: re.Match[str]) -> str:
    """A character reference as text, if a reader of what it stands for could see markup or an address in it."""
    name = match.group()[1:]
    if name[0] != "#":
        meant = html5.get(name, "")
    else:
        number = int(name[2:-1], 16) if name[1] in "xX" else int(name[1:-1])
        meant = chr(number) if number <= 0x10FFFF else "\0"
    seen = all(not char.isascii() and category(char)[0] != "C" for char in meant)
    return match.group() if seen or meant == "&" else f"& {name}"
