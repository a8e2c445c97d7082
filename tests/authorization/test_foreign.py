"""Another tenant's ids: nobody reaches what they stand for, or can tell them from ids that stand for nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, product
from statistics import median
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import httpx
import psycopg
import pytest

from infra.routes import ROUTES, Route
from tests.authorization import house
from tests.authorization.callers import (
    CALLERS,
    CHIEF,
    EDITOR,
    ORGANIZATION_ADMIN,
    OWNER,
    READER,
    WORKSPACE_ADMIN,
)
from tests.authorization.examples import Call, call, example_of
from tests.authorization.house import House
from tests.authorization.places import Place, every_place, places, with_id
from tests.authorization.sending import send, state

# Stated exceptions: what a list or a search is confined to need not exist. Nothing is found in it, which is checked.
_NARROWING: Final = frozenset({("filters", "source_ids", "*"), ("user_id",)})
_ROUTES: Final = tuple(route for route in ROUTES if places(route))
_OWNERS: Final = tuple(caller for caller in CALLERS if caller.person == OWNER)
_BY_KEY: Final = next(caller for caller in _OWNERS if caller.by == "key")
# How far apart the medians of all samples may lie, either way.
_FARTHEST: Final = 2.0


@dataclass(frozen=True, slots=True)
class Houses:
    """Whose ids are named, and the one whose owner names them."""

    theirs: House
    ours: House

    def call(self, route: Route, place: Place, wanted: str) -> Call:
        return with_id(route, place, self.ours.ids(OWNER), wanted)

    def foreign(self, route: Route, place: Place) -> str:
        """The id that is named in this place by those whose it is."""
        return self.theirs.ids(CHIEF)[example_of(route).path.get(place.name, place.name)]


@pytest.fixture
def houses(superuser: psycopg.Connection[Any]) -> Houses:
    return Houses(house.build(superuser), house.build(superuser))


@pytest.fixture(scope="module")
def times() -> Iterator[dict[str, tuple[list[float], list[float]]]]:
    """By route, how long unknown and foreign ids took, in milliseconds."""
    measured: dict[str, tuple[list[float], list[float]]] = {}
    yield measured
    print(f"\n{'route':70} {'unknown ms':>10} {'foreign ms':>10} {'ratio':>6}")
    for route, (unknown, foreign) in measured.items():
        middle = median(unknown), median(foreign)
        print(f"{route:70} {middle[0]:10.2f} {middle[1]:10.2f} {middle[1] / middle[0]:6.2f}")


def test_every_route_and_every_foreign_id_404_each(
    api: httpx.Client, superuser: psycopg.Connection[Any], houses: Houses
) -> None:
    before, wrong, sent = state(superuser), [], 0
    # Questions that are confined to foreign documents come last: they are answered, which is kept.
    for answered, group in groupby(sorted(every_place(), key=_narrows), key=_narrows):
        for (route, place), caller in product(group, _OWNERS):
            response = send(api, houses.call(route, place, houses.foreign(route, place)), houses.ours.headers(caller))
            sent += 1
            if not _as_promised(route, place, response):
                seen = f"{response.status_code} {response.text[:300]}"
                wrong.append(f"{caller.name}, {route.method} {route.path}, {place}: {seen}")
        if not answered and state(superuser) != before:
            wrong.append("a request that named another tenant's id has changed something")
    print(
        f"\nevery route × foreign ids: 404 each: {len(_ROUTES)} routes that take an id, {len(every_place())} places, "
        f"{sent} requests, failures {len(wrong)}"
    )
    assert not wrong, "\n".join(wrong)


def _as_promised(route: Route, place: Place, response: httpx.Response) -> bool:
    if route.access.platform_admin:
        # Operators alone come as far as an id.
        return response.status_code == 403
    if _narrows((route, place)):
        body = response.json()
        return response.status_code == 200 and not any(body.get(name) for name in ("items", "chunks", "citations"))
    return response.status_code == 404


def _narrows(named: tuple[Route, Place]) -> bool:
    route, place = named
    return not route.access.platform_admin and place.part != "path" and place.way in _NARROWING


def test_the_same_requests_with_ones_own_ids_are_answered(
    api: httpx.Client, superuser: psycopg.Connection[Any], houses: Houses
) -> None:
    """Or the 404s above could have any reason."""
    wrong = []
    for route, place in every_place():
        ours = house.build(superuser, documents=example_of(route).documents)
        own = Houses(houses.theirs, ours)
        wanted = ours.ids(OWNER)[example_of(route).path.get(place.name, place.name)]
        response = send(api, own.call(route, place, wanted), ours.headers(_BY_KEY))
        good = response.status_code == 403 if route.access.platform_admin else response.is_success
        if not good:
            wrong.append(f"{route.method} {route.path}, {place}: {response.status_code} {response.text[:300]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("route", _ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_foreign_id_looks_like_one_of_nothing(
    api: httpx.Client,
    houses: Houses,
    times: dict[str, tuple[list[float], list[float]]],
    count: Callable[[int, int], int],
    route: Route,
) -> None:
    headers = houses.ours.headers(_BY_KEY)
    taken: tuple[list[float], list[float]] = ([], [])
    tries = max(count(30, 200), len(places(route)))
    for number in range(tries):
        place = places(route)[number % len(places(route))]
        wanted = {"unknown": str(uuid4()), "foreign": houses.foreign(route, place)}
        seen = {}
        # Each is the first of the two every second time.
        for kind in sorted(wanted, reverse=bool(number // len(places(route)) % 2)):
            request = houses.call(route, place, wanted[kind])
            started = perf_counter()
            response = send(api, request, headers)
            taken[kind == "foreign"].append(1000 * (perf_counter() - started))
            seen[kind] = _shown(response)
        assert seen["unknown"] == seen["foreign"], f"{place} tells another tenant's id from one of nothing"
    times[f"{route.method} {route.path}"] = taken


def _shown(response: httpx.Response) -> object:
    """All that a response says but which request it answers, and how that answer is called."""
    body = {name: value for name, value in response.json().items() if name not in {"request_id", "answer_id"}}
    headers = sorted((name, value) for name, value in response.headers.multi_items() if name != "x-request-id")
    return response.status_code, body, headers


def test_a_search_confined_to_a_foreign_document_finds_nothing(
    api: httpx.Client, houses: Houses, deliver: Callable[[], object]
) -> None:
    """Of documents that are found by those whose they are."""
    text = {"title": "Recorder", "text": "The dial recorder was invented by Alexander Dey in 1888."}
    documents = {}
    for home in (houses.theirs, houses.ours):
        taken = api.post("/api/v1/ingest/text", headers=home.headers(_BY_KEY), json=text)
        documents[id(home)] = taken.json()["jobs"][0]["source_id"]
    deliver()
    for home, found in ((houses.theirs, 1), (houses.ours, 0)):
        filters = {"source_ids": [documents[id(houses.theirs)]]}
        body = {"query": "Who invented the dial recorder?", "filters": filters}
        searched = api.post("/api/v1/search", headers=home.headers(_BY_KEY), json=body)
        assert searched.json()["count"] == found
        answered = api.post("/api/v1/ask", headers=home.headers(_BY_KEY), json=body)
        assert len(answered.json()["citations"]) == found


def test_an_answer_is_seen_by_who_asked_and_by_admins_of_the_workspace_alone(api: httpx.Client, houses: Houses) -> None:
    path, home = f"/api/v1/answers/{houses.ours.ids(CHIEF)['answer_id']}", houses.ours
    # Admins of the organization have a second workspace.
    where = {"workspace_id": home.shared["workspace_id"]}
    wanted = {READER: 404, EDITOR: 404, WORKSPACE_ADMIN: 200, ORGANIZATION_ADMIN: 200, OWNER: 200}
    for caller in CALLERS:
        if caller.person in wanted:
            seen = api.get(path, params=where, headers=home.headers(caller))
            assert seen.status_code == wanted[caller.person], caller.name


def test_an_address_of_another_tenant_looks_like_one_of_nobody(api: httpx.Client, houses: Houses) -> None:
    route = next(one for one in ROUTES if one.method == "POST" and one.path.endswith("{workspace_id}/members"))
    ids, headers = houses.ours.ids(OWNER), houses.ours.headers(_BY_KEY)
    seen = []
    for email in (f"{uuid4()}@example.com", houses.theirs.ids(CHIEF)["email"]):
        response = send(api, call(route, example_of(route), {**ids, "email": email}), headers)
        body: Mapping[str, Any] = response.json()
        assert (body["status"], body["email"], body["user_id"]) == ("invited", email, None)
        seen.append((response.status_code, list(body), body["role"], sorted(response.headers)))
    assert seen[0] == seen[1]


def test_foreign_ids_take_as_long_as_those_of_nothing(times: dict[str, tuple[list[float], list[float]]]) -> None:
    if not times:
        pytest.skip("nothing was measured: run the whole file")
    unknown = median([one for taken, _ in times.values() for one in taken])
    foreign = median([one for _, taken in times.values() for one in taken])
    print(f"\nmedians over all routes: unknown {unknown:.2f} ms, foreign {foreign:.2f} ms, {foreign / unknown:.2f}")
    assert 1 / _FARTHEST <= foreign / unknown <= _FARTHEST
