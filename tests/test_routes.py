"""The route table, the apps and the published description say the same."""

import importlib

from fastapi.routing import APIRoute

from infra import openapi
from infra.routes import ROUTES


def test_the_route_table_equals_the_apps_both_ways() -> None:
    served = {
        (method, route.path, name)
        for name in ("ask", "ingest", "admin")
        for route in importlib.import_module(f"functions.{name}.routes").app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert served == set(ROUTES)


def test_the_published_openapi_description_is_the_apps_own() -> None:
    assert openapi.TARGET.read_text("utf-8") == openapi.text(), "run `make openapi`"
