"""JSON (RFC 8259) and JSON Lines: what is in it as lines of text, each with its path.

Lines such as `order.items[2].name: Kettle` read well wherever a passage is cut: each says by itself what it is about,
which indented text does not. Lists of like objects are tables, with their keys in the first row.
"""

import json
from collections.abc import Iterator
from typing import Final, TypeAlias, Union

from functions.ingest.extract.blocks import Block, assemble
from functions.ingest.extract.charset import decode
from functions.ingest.extract.document import Document, one_line
from minirag.runtime.errors import ExtractionFailed

# A longer value, or one of several lines, is a paragraph of its own.
_LONG: Final = 300
_MAX_COLUMNS: Final = 50


class Number(str):
    """A number as it is written, however long."""

    __slots__ = ()


class Members(tuple[tuple[str, "Value"], ...]):
    """An object's names and values in order; names that occur twice are there twice."""

    __slots__ = ()

    def get(self, name: str) -> "Value":
        """The last value of that name, as most readers have it; None if there is none."""
        return next((value for key, value in reversed(self) if key == name), None)


Value: TypeAlias = Union[str, bool, list["Value"], Members, None]  # noqa: UP007 - "Value" is not defined yet


def extract(data: bytes) -> Document:
    """The text of a JSON file, or of one with a value per line; an object's longer members stand under headings.

    Numbers are kept as they are written. Raises ExtractionFailed with code `broken_json`, saying line and column, or
    `too_deep`.
    """
    try:
        values = parse(decode(data), "JSON file")
        root: Value = values[0] if len(values) == 1 else values
        title = root.get("title") if isinstance(root, Members) else None
        return assemble("json", _root(root), title=one_line(title) if isinstance(title, str) else None)
    except RecursionError as error:
        raise ExtractionFailed(
            "This JSON file is nested too deeply to be read. Save its inner parts as files of their own.",
            code="too_deep",
        ) from error


def parse(text: str, what: str) -> list[Value]:
    """The values that follow each other in a text: one, or one per line.

    Raises ExtractionFailed with code `broken_json`, where `what` is what it calls the text, and RecursionError.
    """
    decoder = json.JSONDecoder(object_pairs_hook=Members, parse_float=Number, parse_int=Number, parse_constant=Number)
    values: list[Value] = []
    text = text.replace("\ufeff", " ")  # byte order marks of joined files
    end = _after_blanks(text, 0)
    try:
        while end < len(text) or not values:
            value, end = decoder.raw_decode(text, end)
            values.append(value)
            end = _after_blanks(text, end)
    except json.JSONDecodeError as error:
        raise ExtractionFailed(
            f"This {what} is broken at line {error.lineno}, column {error.colno}: {_reason(error)}. "
            "Correct it and upload it again.",
            code="broken_json",
        ) from error
    return values


def _after_blanks(text: str, start: int) -> int:
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start


def _reason(error: json.JSONDecodeError) -> str:
    return error.msg[:1].lower() + error.msg[1:].removesuffix(" at")


def _root(root: Value) -> Iterator[Block]:
    if not isinstance(root, Members):
        yield from _blocks("", root, "")
        return
    sections = [member for member in root if _is_section(member[1])]
    yield from _blocks("", Members(member for member in root if not _is_section(member[1])), "")
    for name, value in sections:
        yield Block(one_line(name) or '""', level=1)
        path = _step("", name)
        yield from _list(path, value, path, label="") if isinstance(value, list) else _blocks(path, value, path)


def _is_section(value: Value) -> bool:
    """Whether a value takes more than a line."""
    return (isinstance(value, list) and not _is_enumeration(value)) or (isinstance(value, Members) and bool(value))


def _blocks(path: str, value: Value, run: str) -> Iterator[Block]:
    """The lines of a value: those of one `run`, a record of a list, stand together as far as they are short."""
    if isinstance(value, Members):
        for name, inner in value:
            yield from _blocks(_step(path, name), inner, run)
    elif isinstance(value, list):
        yield from _list(path, value, run, label=f"{path}:" if path else "")
    else:
        text = _text(value)
        if len(text) > _LONG or "\n" in text.strip():
            yield Block(f"{path}:\n{text}" if path else text)
        elif text.strip():
            yield Block(f"{path}: {text}" if path else text, run=("object", run))


def _list(path: str, values: list[Value], run: str, label: str) -> Iterator[Block]:
    columns = _columns(values)
    if columns:
        yield Block(label, run=("table", path))
        yield from _table(path, values, columns)
    elif _is_matrix(values):
        yield Block(label, run=("table", path))
        for row in values:
            yield Block(" | ".join(map(_text, row if isinstance(row, list) else ())), run=("table", path), row=True)
    elif _is_enumeration(values):
        line = ", ".join(map(_text, values))
        if line:
            yield Block(f"{path}: {line}" if path else line, run=("object", run))
    else:
        for position, value in enumerate(values):
            place = f"{path}[{position}]"
            yield from _blocks(place, value, place if isinstance(value, (list, Members)) else path)


def _columns(values: list[Value]) -> list[str]:
    """The names of the members of like, flat objects; none if the list holds anything else."""
    if len(values) < 2:
        return []
    columns: dict[str, int] = {}
    for value in values:
        if not isinstance(value, Members) or not all(_is_short(inner) for _, inner in value):
            return []
        names = {name for name, _ in value}
        if len(names) < len(value):
            return []
        for name, _ in value:
            columns[name] = columns.get(name, 0) + 1
        if len(columns) > _MAX_COLUMNS:
            return []
    # Half of the cells filled, or it is no table.
    return list(columns) if 2 * sum(columns.values()) >= len(columns) * len(values) else []


def _table(path: str, values: list[Value], columns: list[str]) -> Iterator[Block]:
    run = ("table", path)
    yield Block(" | ".join(columns), run=run, row=True)
    for value in values:
        cells = dict(value) if isinstance(value, Members) else {}
        texts = [_text(cells[name]) if cells.get(name) is not None else "" for name in columns]
        if any(texts):
            yield Block(" | ".join(texts), run=run, row=True)


def _is_short(value: Value) -> bool:
    return not isinstance(value, (list, Members)) and len(text := _text(value)) <= _LONG and "\n" not in text


def _is_matrix(values: list[Value]) -> bool:
    """Whether all are lists of equally many short values."""
    width = len(values[0]) if values and isinstance(values[0], list) else 0
    return (
        len(values) > 1
        and 0 < width <= _MAX_COLUMNS
        and all(isinstance(row, list) and len(row) == width and all(map(_is_short, row)) for row in values)
    )


def _is_enumeration(values: list[Value]) -> bool:
    """Whether all are numbers, or few and short enough for one line."""
    if all(isinstance(value, (Number, bool)) for value in values):
        return True
    return all(map(_is_short, values)) and sum(len(_text(value)) for value in values) <= _LONG


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else ""


def _step(path: str, name: str) -> str:
    """The path one member further: `a.b`, or `a["b.c"]` for a name that would be mistaken for a path."""
    name = one_line(name) or ""
    if not name or set(name) & set('.[]:"'):
        return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name
