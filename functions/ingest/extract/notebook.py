"""Jupyter notebooks (nbformat 3 and 4): Markdown, code and the outputs that are text."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from functions.ingest.extract import markdown
from functions.ingest.extract.charset import decode
from functions.ingest.extract.document import Document, Heading, normalise, one_line
from functions.ingest.extract.json import Members, Value, parse
from functions.ingest.extract.nested import Part, join
from minirag.runtime.errors import ExtractionFailed

# Longer outputs are logs and listings; their first lines say what they are.
_MAX_LINES: Final = 40
_MAX_LINE: Final = 500

# Colours and other commands to a terminal (ECMA-48).
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# What Python says of an object that it cannot show: <Figure size 640x480 with 1 Axes>, [<Line2D at 0x7f…>].
_OBJECT: Final = re.compile(r"[\[(]*<[^<>\n]*(?: object| at 0x| with \d)[^<>\n]*>[\])]*")
_EMBEDDED: Final = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=]+")


def extract(data: bytes) -> Document:
    """The cells of a notebook in order, each with the text it put out, without pictures, HTML and tracebacks.

    Headings are those of the Markdown cells. Raises ExtractionFailed with code `broken_json`, `too_deep`, or
    `broken_notebook` if the file has no cells.
    """
    try:
        root = parse(decode(data), "notebook")[0]
    except RecursionError as error:
        raise ExtractionFailed("This notebook is nested too deeply to be read.", code="too_deep") from error
    cells = _cells(root)
    if cells is None:
        raise ExtractionFailed(
            "This file has no cells, so it is no Jupyter notebook. Save it anew in Jupyter and upload it again.",
            code="broken_notebook",
        )
    document = join("ipynb", [Part(part) for cell in cells for part in _parts(cell)])
    declared = _member(_member(root, "metadata"), "title")
    title = one_line(declared) if isinstance(declared, str) else None
    return replace(document, title=title or next((h.title for h in document.headings if h.level == 1), None))


def _member(value: Value, name: str) -> Value:
    return value.get(name) if isinstance(value, Members) else None


def _cells(root: Value) -> list[Value] | None:
    cells = _member(root, "cells")
    if isinstance(cells, list):
        return cells
    sheets = _member(root, "worksheets")  # nbformat 3
    if not isinstance(sheets, list):
        return None
    return [cell for sheet in sheets if isinstance(inner := _member(sheet, "cells"), list) for cell in inner]


def _parts(cell: Value) -> Iterator[Document]:
    kind = _member(cell, "cell_type")
    source = _joined(_member(cell, "source")) or _joined(_member(cell, "input"))
    if kind == "markdown":
        document = markdown.extract(_EMBEDDED.sub("", source).encode("utf-8", errors="replace"))
        yield replace(document, title=None)
    elif kind == "heading":  # nbformat 3
        level = _joined(_member(cell, "level"))
        title = one_line(source)
        if title:
            yield Document("ipynb", title, headings=(Heading(0, int(level) if level in tuple("123456") else 1, title),))
    else:
        yield Document("ipynb", normalise(source))
        outputs = _member(cell, "outputs")
        for output in outputs if isinstance(outputs, list) else []:
            yield Document("ipynb", normalise(_shortened(_output(output))))


def _joined(value: Value) -> str:
    """A text that notebooks keep as one string or as a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _output(output: Value) -> str:
    """What a cell put out, as text; nothing for pictures and for objects that only say what they are."""
    kind = _member(output, "output_type")
    if kind in ("error", "pyerr"):
        return f"{_joined(_member(output, 'ename'))}: {_joined(_member(output, 'evalue'))}"
    # In nbformat 3 a result's kinds of data are its own members.
    data = _member(output, "data") or output
    text = _joined(_member(output, "text")) or _joined(_member(data, "text/plain")) or _joined(_member(data, "text"))
    return "" if _OBJECT.fullmatch(text.strip()) else text


def _shortened(text: str) -> str:
    # A carriage return takes a terminal back to the start of the line: of a progress bar the last state counts.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in _ESCAPES.sub("", text).split("\n")]
    more = len(lines) - _MAX_LINES
    if more > 0:
        lines = [*lines[:_MAX_LINES], f"[{more:,} more lines]"]
    return "\n".join(line if len(line) <= _MAX_LINE else line[:_MAX_LINE] + "…" for line in lines)
