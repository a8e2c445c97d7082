"""What of a Markdown text a reader could click, load or run: as CommonMark and GFM have it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_ACTIVE = {"link_open", "image", "html_inline", "html_block"}
# GFM's extended autolinks, wherever they stand; and what browsers run or load besides.
_ADDRESS = re.compile(
    r"(?:https?|ftp)://|(?<![^\W_])www\.(?=[\w-])"
    r"|(?a:(?<![a-z0-9])(?:(?:javascript|vbscript|mailto|xmpp):[a-z0-9]|data:[a-z0-9]+/[a-z0-9]))",
    re.IGNORECASE,
)


def active(text: str) -> list[str]:
    """Links, images, HTML, definitions and bare addresses of a text, each with what it is."""
    env: dict[str, Any] = {}
    found = [f"{token.type}: {token.content or token.attrs}" for token in _tokens(_PARSER.parse(text, env))]
    found += [f"definition: {label}" for label in env.get("references", {})]
    # As written, and as a parser hands it on: with escapes and character references resolved.
    shown = [text, *(token.content for token in _all(_PARSER.parse(text)) if token.type == "text")]
    found += [f"address: {match.group()}" for one in shown for match in _ADDRESS.finditer(one)]
    return found


def _tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    return (token for token in _all(tokens) if token.type in _ACTIVE)


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])
