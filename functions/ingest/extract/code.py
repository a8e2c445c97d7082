"""Source code: the canonical text is the source itself; the names of its classes and functions are headings."""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Final

from functions.ingest.extract.charset import decode
from functions.ingest.extract.document import Document, Heading, normalise

# Parsing takes a hundred times the memory of the source; nothing that long was written by hand.
_MAX_PARSED: Final = 1_000_000

_PYTHON: Final = re.compile(r"^(?:async def|def|class)\s+\w+", re.MULTILINE)
# A definition at the start of a line in C#, Dart, Go, Java, JavaScript, Kotlin, PHP, Rust, Scala, Swift or TypeScript:
# these have a keyword for it.
_DEFINITION: Final = re.compile(
    r"^(?:(?:export|default|public|internal|private|abstract|final|sealed|open|data|static|async|unsafe"
    r"|pub(?:\([^()\n]{0,50}\))?)[ \t]+)*+"
    r"(?:class|interface|enum|struct|trait|object|func|fun|fn|function)[ \t]+"
    r"(?:\([^()\n]{0,100}\)[ \t]*)?+"  # Go's receiver
    r"(?P<name>[A-Za-z_$][\w$]*+)(?=[ \t]*(?:[<({:]|extends\b|implements\b|where\b|$))"
    r"|^type[ \t]+(?P<type>[A-Za-z_]\w*+)(?=[ \t]+(?:struct|interface)[ \t]*\{)",
    re.MULTILINE,
)
# In C and C++ only types have a keyword; the functions between them would seem to belong to them.
_C: Final = re.compile(r"^[ \t]*#[ \t]*(?:include|define|ifn?def)\b", re.MULTILINE)
_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)


def extract(data: bytes) -> Document:
    """The source, normalised; definitions at the top level are headings where they can be told for certain."""
    text = normalise(decode(data))
    return Document("code", text, headings=tuple(_headings(text)) if len(text) <= _MAX_PARSED else ())


def _headings(text: str) -> Iterator[Heading]:
    if _PYTHON.search(text):
        module = _parse(text)
        if module:
            yield from _python(module, text)
            return
    if _C.search(text):
        return
    comments = _COMMENT.finditer(text)
    comment = next(comments, None)
    for found in _DEFINITION.finditer(text):
        while comment and comment.end() <= found.start():
            comment = next(comments, None)
        if comment is None or found.start() < comment.start():
            yield Heading(found.start(), 1, (found["name"] or found["type"])[:300])


def _parse(text: str) -> ast.Module | None:
    """The module, or None if this is no Python, or not that of this interpreter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the source's author could do better
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _python(module: ast.Module, text: str) -> Iterator[Heading]:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield Heading(starts[line - 1], 1, node.name[:300])
