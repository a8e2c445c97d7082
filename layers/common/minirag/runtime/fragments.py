"""JSON objects that are written ahead, as bytes, and joined when they are needed."""

from functools import cache
from typing import Any

from pydantic import TypeAdapter


def write(value: object) -> bytes:
    """A dataclass as a JSON object."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value)


def join(first: bytes, second: bytes) -> bytes:
    """One object with the members of two, neither of which is empty or has a name of the other."""
    return b"%b,%b" % (first[:-1], second[1:])


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
