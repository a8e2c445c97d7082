"""All routes of the admin function: those of the modules imported here, and whether the system is well."""

from pathlib import Path
from typing import Literal

from fastapi.responses import Response
from pydantic import BaseModel

from functions.admin import keys, login, members, operators, organizations, trail, usage, workspaces
from functions.admin.app import app
from minirag.runtime import db, queue, settings

__all__ = ["app", "keys", "login", "members", "operators", "organizations", "trail", "usage", "workspaces"]

_OPENAPI = Path(__file__).with_name("openapi.json")


class HealthOut(BaseModel):
    status: Literal["ok"] = "ok"


class VersionOut(BaseModel):
    version: str


@app.get("/health", response_model=HealthOut)
async def health() -> HealthOut:
    """The function runs."""
    return HealthOut()


@app.get("/ready", response_model=HealthOut)
async def ready() -> HealthOut:
    """Database and queue answer, too; 503 if one does not."""
    with db.transaction(db.NOBODY):
        pass
    queue.check(settings.current().jobs_queue_url)
    return HealthOut()


@app.get("/version", response_model=VersionOut)
async def version() -> VersionOut:
    """Which version this is."""
    return VersionOut(version=settings.VERSION)


@app.get("/openapi.json", include_in_schema=False)
async def openapi() -> Response:
    """The OpenAPI description of all functions, as `make openapi` wrote it."""
    return Response(_OPENAPI.read_bytes(), media_type="application/json")
