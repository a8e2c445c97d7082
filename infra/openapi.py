"""`make openapi`: one OpenAPI description from the apps of all functions, served by the admin function."""

import json
from pathlib import Path
from typing import Any, Final

from fastapi.openapi.utils import get_openapi

from functions.admin.routes import app as admin
from functions.ask.routes import app as ask
from functions.ingest.routes import app as ingest
from minirag.runtime.settings import VERSION

TARGET: Final = Path(__file__).parent.parent / "functions" / "admin" / "openapi.json"

_KEY: Final = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
_BEARER: Final = {"type": "http", "scheme": "bearer"}
_OPEN: Final = frozenset({"/health", "/ready", "/version"})


def describe() -> dict[str, Any]:
    """The description of every route, with how to authenticate."""
    routes = [route for app in (ask, ingest, admin) for route in app.routes]
    description = get_openapi(title="Mini-RAG", version=VERSION, routes=routes)
    description["components"]["securitySchemes"] = {"key": _KEY, "bearer": _BEARER}
    description["security"] = [{"key": []}, {"bearer": []}]
    for path in _OPEN:
        for operation in description["paths"][path].values():
            operation["security"] = []
    return description


def text() -> str:
    """The description as the file holds it."""
    return json.dumps(describe(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
