"""JSON objects that are written ahead, as bytes, and joined when they are needed."""

import json
from functools import cache
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter


def write(value: object) -> bytes:
    """A dataclass, or a model, as a JSON object."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value)


def join(*objects: bytes) -> bytes:
    """One object with the members of all, in their order; none is empty or has a name of another."""
    return b"{%b}" % b",".join(one[1:-1] for one in objects)


@cache
def form(*kinds: type, layout: int = 1) -> str:
    """What tells bytes that are written of these types, and put together in this `layout`, from those of others."""
    schemas = [_adapter(kind).json_schema(mode="serialization") for kind in kinds]
    return sha256(json.dumps([layout, *schemas], sort_keys=True).encode()).hexdigest()[:16]


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
