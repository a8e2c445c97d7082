"""The route table, the apps and the published description say the same."""

import importlib

from fastapi.routing import APIRoute

from infra import openapi
from infra.routes import ROUTES, Route
from minirag.tenancy.roles import OPEN, Access


def _access(route: APIRoute) -> Access:
    """What the route's dependencies ask of its caller; nothing if none of them does."""
    calls = [one.call for one in route.dependant.dependencies]
    asked: list[Access] = [getattr(call, "access") for call in calls if hasattr(call, "access")]  # noqa: B009
    assert len(asked) <= 1, f"{route.path} asks twice"
    return asked[0] if asked else OPEN


def test_the_route_table_equals_the_apps_both_ways() -> None:
    served = {
        Route(method, route.path, name, _access(route))
        for name in ("ask", "ingest", "admin")
        for route in importlib.import_module(f"functions.{name}.routes").app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert served == set(ROUTES)


def test_the_published_openapi_description_is_the_apps_own() -> None:
    assert openapi.TARGET.read_text("utf-8") == openapi.text(), "run `make openapi`"
