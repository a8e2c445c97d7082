"""`make openapi`: one OpenAPI description from the apps of all functions, served by the admin function."""

import json
from pathlib import Path
from typing import Any, Final

from fastapi.openapi.utils import get_openapi

from functions.admin.routes import app as admin
from functions.ask.routes import app as ask
from functions.ingest.routes import app as ingest
from infra.routes import ROUTES
from minirag.runtime import problem
from minirag.runtime.settings import VERSION
from minirag.tenancy.roles import OPEN

TARGET: Final = Path(__file__).parent.parent / "functions" / "admin" / "openapi.json"

_SCHEMES: Final = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    # Its name has the prefix __Host- where the public address is HTTPS.
    "session": {"type": "apiKey", "in": "cookie", "name": "minirag_session"},
}
_TEXT: Final = {"type": "string"}
_PROBLEM: Final = {
    "title": "Problem",
    "description": "RFC 9457; `type` ends with a code for programs, `detail` says what to do.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "request_id": _TEXT,
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"pointer": _TEXT, "detail": _TEXT}},
        },
    },
}
_ERROR: Final = {
    "description": "What went wrong",
    "content": {problem.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe() -> dict[str, Any]:
    """The description of every route, with how to authenticate."""
    routes = [route for app in (ask, ingest, admin) for route in app.routes]
    description = get_openapi(title="Mini-RAG", version=VERSION, routes=routes)
    schemas = description["components"]["schemas"]
    description["components"]["securitySchemes"] = _SCHEMES
    description["security"] = [{name: []} for name in _SCHEMES]
    for route in ROUTES:
        operation = description["paths"].get(route.path, {}).get(route.method.lower())
        if operation is None:
            continue  # the description itself
        if route.access is OPEN:
            operation["security"] = []
        # Every error is a problem, of which the apps themselves know nothing.
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = _ERROR
        for kind in operation.get("requestBody", {}).get("content", {}).values():
            schemas.update(kind["schema"].pop("$defs", {}))
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    return description


def text() -> str:
    """The description as the file holds it."""
    return json.dumps(describe(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
