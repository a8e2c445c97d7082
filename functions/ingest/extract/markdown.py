"""Markdown: the canonical text is the source itself; only its headings and tables are parsed."""

import re
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt

from functions.ingest.extract.charset import decode
from functions.ingest.extract.document import Document, Heading, Table, normalise, one_line

# YAML between two rules at the top (Jekyll, Pandoc); to CommonMark its last line would be a heading.
_FRONT_MATTER: Final = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)(?:\n|$)", re.DOTALL)
_TITLE: Final = re.compile(r"""^title:[ \t]*["']?(.*?)["']?[ \t]*$""", re.MULTILINE)

# About 20 s of parsing; a longer text is indexed without its headings and tables.
_MAX_PARSED: Final = 4_000_000


def extract(data: bytes) -> Document:
    """The Markdown source, with its headings and tables; the title is the front matter's, or the first h1.

    A row of a table is a line of the source, `| a | b |`, the line between its head and its body included.
    """
    text = normalise(decode(data))
    front = _FRONT_MATTER.match(text)
    declared = _TITLE.search(front[1]) if front else None
    body = front.end() if front else 0
    headings, tables = _structure(text, body) if len(text) <= _MAX_PARSED else ([], [])
    title = one_line(declared[1]) if declared else None
    return Document(
        "markdown",
        text,
        headings=tuple(headings),
        tables=tuple(tables),
        title=title or next((h.title for h in headings if h.level == 1), None),
    )


def _structure(text: str, body: int) -> tuple[list[Heading], list[Table]]:
    """The headings of text[body:] as CommonMark has them, tables as GitHub has; none inside code, quotes or lists."""
    parser = MarkdownIt("commonmark").enable("table")
    inline = MarkdownIt("commonmark")
    # Block structure is all that is wanted of the whole; the inline rules run on the headings alone. Link definitions
    # make no difference to headings and take quadratic time.
    parser.core.ruler.disable(["inline", "text_join"])
    parser.block.ruler.disable("reference")
    tokens = parser.parse(text[body:])
    starts = [body]
    starts += [match.end() for match in re.compile("\n").finditer(text, body)]
    headings: list[Heading] = []
    tables: list[Table] = []
    for opening, content in pairwise(tokens):
        if opening.type == "table_open" and opening.level == 0 and opening.map:
            first, end = opening.map
            tables.append(Table(starts[first], starts[end] - 1 if end < len(starts) else len(text)))
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            (rendered,) = inline.parseInline(content.content)
            words = "".join(child.content or " " for child in rendered.children or [] if child.type != "html_inline")
            title = one_line(words)
            if title:
                headings.append(Heading(starts[opening.map[0]], int(opening.tag[1:]), title))
    return headings, tables
