"""Every route and every caller: who is let in, and with which status the others are refused."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httpx
import psycopg
import pytest

from infra.routes import ROUTES, Route
from minirag.runtime.problem import MEDIA_TYPE
from tests.authorization import house
from tests.authorization.callers import CALLERS, Caller
from tests.authorization.examples import EXAMPLES, Example, call, example_of, is_open, names
from tests.authorization.expected import expected
from tests.authorization.sending import send, state

_LET_IN: Final = frozenset({200, 201, 202, 204, 302, 303})


@dataclass
class Tally:
    """What was sent, and what was wrong."""

    routes: set[Route] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: int = 0


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    counted = Tally()
    yield counted
    told = ", ".join(f"{status}: {number}" for status, number in sorted(counted.statuses.items()))
    print(
        f"\n{len(counted.routes)} of {len(ROUTES)} routes, {len(CALLERS)} callers, {counted.statuses.total()} requests "
        f"({told}), failures {counted.failures}"
    )


def test_every_route_has_an_example_and_every_example_a_route() -> None:
    routes = {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        example_of(route)
    for method, path in EXAMPLES:
        assert (method, path) in routes, f"{method} {path} is no route: take its example out of examples.py"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_lets_in_whom_it_should_and_nobody_else(
    api: httpx.Client, superuser: psycopg.Connection[Any], tally: Tally, route: Route
) -> None:
    example = example_of(route)
    refused = [one for one in CALLERS if expected(route, example, one) is not None]
    let_in = [one for one in CALLERS if expected(route, example, one) is None]
    home = house.build(superuser, documents=example.documents)
    before = state(superuser)
    wrong = [_wrong(api, tally, route, home, caller) for caller in refused]
    if state(superuser) != before:
        wrong.append("a request that was refused has changed something")
    for caller in let_in:
        wrong.append(_wrong(api, tally, route, home, caller))
        if example.spent:
            home = house.build(superuser, documents=example.documents)
    found = [one for one in wrong if one is not None]
    tally.routes.add(route)
    tally.failures += len(found)
    assert let_in, "nobody is let in: what this tests of the route is worth nothing"
    if found:
        told = "\n".join(found)
        pytest.fail(f"{route.method} {route.path}, which asks for '{route.access.name}':\n{told}", pytrace=False)


def _wrong(api: httpx.Client, tally: Tally, route: Route, home: house.House, caller: Caller) -> str | None:
    """What is wrong with the answer to this caller, if anything."""
    example = example_of(route)
    wanted = expected(route, example, caller)
    response = send(api, call(route, example, home.ids(caller.person)), home.headers(caller))
    tally.statuses[response.status_code] += 1
    seen = f"{response.status_code} {response.text[:300]}"
    if wanted is None:
        good = {example.answer.status} if example.answer else _LET_IN
        return None if response.status_code in good else f"{caller.name}: is to be let in, but sees {seen}"
    if response.status_code != wanted:
        return f"{caller.name}: is to see {wanted}, but sees {seen}"
    if response.headers["content-type"] != MEDIA_TYPE or response.json()["status"] != wanted:
        return f"{caller.name}: the refusal is no problem document: {seen}"
    if ("www-authenticate" in response.headers) != (wanted == HTTPStatus.UNAUTHORIZED):
        return f"{caller.name}: a 401, and nothing else, says how to authenticate"
    return None


def test_an_example_names_where_it_wants_to_be() -> None:
    """Or no caller could be elsewhere."""
    for route in ROUTES:
        named = [name for name in ("workspace_id", "organization_id") if names(route, example_of(route), name)]
        if route.access.within != "nothing":
            assert named, f"{route.method} {route.path} is within a {route.access.within}; let its example name one"


def test_the_callers_are_told_apart_by_what_routes_ask() -> None:
    """Each access refuses somebody and lets somebody in; each refused status occurs."""
    seen: dict[str, set[int | None]] = {}
    for route in ROUTES:
        example: Example = example_of(route)
        seen.setdefault(route.access.name, set()).update(expected(route, example, one) for one in CALLERS)
        if not is_open(route):
            assert {None, 401} <= seen[route.access.name]
    assert {status for statuses in seen.values() for status in statuses} == {None, 401, 403, 404}
