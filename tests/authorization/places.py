"""Every place of every request where an id can be named: in its path, and what the published description knows of.

Found, not listed, so that a new parameter is tried by the test that it belongs to.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from infra.openapi import TARGET
from infra.routes import ROUTES, Route
from tests.authorization.examples import Call, call, example_of

_IN_PATH: Final = re.compile(r"\{(\w+)\}")
_EVERY: Final = "*"
# What stands for the id of a whole list.
_OF_LIST: Final = {"source_ids": "source_id", "owner_id": "user_id"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an id goes: the name of a parameter, or the way to it in the body."""

    part: str
    way: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name that the id goes by."""
        last = [step for step in self.way if step != _EVERY][-1]
        return _OF_LIST.get(last, last)

    def __str__(self) -> str:
        return f"{self.part} {'.'.join(self.way)}"


def places(route: Route) -> list[Place]:
    """The places of a route, those in its path first."""
    found = [Place("path", (name,)) for name in _IN_PATH.findall(route.path)]
    operation = _description()["paths"].get(route.path, {}).get(route.method.lower(), {})
    found += [
        Place("query", (parameter["name"],))
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and _is_id(parameter["schema"])
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        found += [Place("body", way) for way in _ids_in(content["schema"], {})]
    return list(dict.fromkeys(found))


def every_place() -> list[tuple[Route, Place]]:
    return [(route, place) for route in ROUTES for place in places(route)]


def with_id(route: Route, place: Place, ids: Mapping[str, str], wanted: str) -> Call:
    """The route's example, with `ids` for all that it names but for `wanted` in this place."""
    example = example_of(route)
    name = example.path.get(place.name, place.name)
    if place.part == "path":
        return call(route, example, {**ids, name: wanted})
    made = call(route, example, ids)
    if place.part == "query":
        # Said once, or query and body would contradict each other.
        body = {key: value for key, value in (made.body or {}).items() if key not in {place.name, "organization_id"}}
        return replace(made, query={**made.query, place.name: wanted}, body=None if made.body is None else body)
    query = {key: value for key, value in made.query.items() if key != place.name}
    return replace(made, query=query, body=_put(made.body or {}, place.way, wanted))


def _put(body: Mapping[str, Any], way: tuple[str, ...], wanted: str) -> dict[str, Any]:
    first, *rest = way
    if not rest:
        return {**body, first: wanted}
    if rest == [_EVERY]:
        return {**body, first: [wanted]}
    return {**body, first: _put(body.get(first, {}), tuple(rest), wanted)}


@cache
def _description() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(TARGET.read_text("utf-8"))
    return described


def _is_id(schema: Mapping[str, Any]) -> bool:
    return any(one.get("format") == "uuid" for one in (schema, *schema.get("anyOf", ())))


def _ids_in(schema: Mapping[str, Any], local: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The ways to the ids in what a schema describes."""
    local = schema.get("$defs", local)
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        yield from _ids_in(local[name] if name in local else _description()["components"]["schemas"][name], local)
    if schema.get("format") == "uuid":
        yield ()
    for one in schema.get("anyOf", ()):
        yield from _ids_in(one, local)
    for way in _ids_in(schema.get("items", {}), local) if "items" in schema else ():
        yield (_EVERY, *way)
    for name, one in schema.get("properties", {}).items():
        for way in _ids_in(one, local):
            yield (name, *way)
