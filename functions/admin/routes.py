"""Administration: workspaces and API keys; and whether the system is well."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from minirag.runtime import db, queue, settings
from minirag.runtime.errors import Forbidden, Unprocessable
from minirag.runtime.http import Text, client_ip, create_app, read_model, workspace_of
from minirag.tenancy import api_keys, audit, workspaces
from minirag.tenancy.identity import credential, identify

app = create_app("admin")

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
_OPENAPI = Path(__file__).with_name("openapi.json")


class WorkspaceIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[Text, Field(min_length=1, max_length=200, pattern=r"\S")]


class WorkspaceOut(BaseModel):
    id: UUID
    name: str
    organization_id: UUID
    created_at: datetime


class ApiKeyIn(BaseModel):
    """A key to be made. Without a workspace it is tied to the caller's key's, or to none if that is tied to none."""

    model_config = ConfigDict(extra="forbid")

    workspace_id: UUID | None = None
    scopes: Annotated[list[Literal["read", "write", "admin"]], Field(min_length=1, max_length=3)]
    description: Annotated[Text, Field(max_length=500)] = ""
    expires_at: AwareDatetime | None = None


class ApiKeyOut(BaseModel):
    """A new key: `key` is shown this once."""

    id: UUID
    key: str
    prefix: str
    scopes: list[str]
    workspace_id: UUID | None
    description: str
    created_at: datetime
    expires_at: datetime | None


class HealthOut(BaseModel):
    status: Literal["ok"] = "ok"


class VersionOut(BaseModel):
    version: str


@app.post(
    "/api/v1/workspaces",
    status_code=201,
    response_model=WorkspaceOut,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": WorkspaceIn.model_json_schema()}}}},
)
async def create_workspace(request: Request) -> WorkspaceOut:
    """Make a workspace in the caller's organization, with the caller as its admin."""
    key = credential(request.headers)
    body = await read_model(request, WorkspaceIn)
    caller = identify(key, None, scope="admin")
    if caller.tied_to_workspace:
        raise Forbidden("This API key is tied to one workspace and cannot make others.")
    if caller.organization_role not in {"owner", "admin"}:
        raise Forbidden("Only owners and admins of the organization make workspaces.")
    workspace_id = workspaces.new_id()
    tenant = db.Tenant(workspace_id, caller.organization_id, caller.user_id)
    with db.transaction(tenant) as tx:
        workspace = workspaces.create(
            tx,
            workspace_id,
            organization_id=caller.organization_id,
            name=body.name.strip(),
            creator=caller.user_id,
        )
        audit.record(
            tx,
            caller,
            "workspace.create",
            str(workspace_id),
            request_id=request.state.request_id,
            ip=client_ip(request),
        )
    return WorkspaceOut(
        id=workspace.id,
        name=workspace.name,
        organization_id=workspace.organization_id,
        created_at=workspace.created_at,
    )


@app.post(
    "/api/v1/api-keys",
    status_code=201,
    response_model=ApiKeyOut,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": ApiKeyIn.model_json_schema()}}}},
)
async def create_api_key(request: Request) -> ApiKeyOut:
    """Make an API key for the caller, with no more scopes than the caller has."""
    key = credential(request.headers)
    body = await read_model(request, ApiKeyIn)
    caller = identify(key, workspace_of(request, body.workspace_id), scope="admin")
    beyond = sorted(set(body.scopes) - caller.scopes)
    if beyond:
        raise Forbidden(f"You cannot give a key scopes that you lack: {', '.join(beyond)}.")
    if body.expires_at is not None and not datetime.now(UTC) < body.expires_at < _LATEST:
        raise Unprocessable(f"expires_at must lie in the future, before {_LATEST:%Y}.")
    tied = body.workspace_id is not None or caller.tied_to_workspace
    new = api_keys.new_key()
    with db.transaction(caller.tenant) as tx:
        stored = api_keys.create(
            tx,
            new,
            user_id=caller.user_id,
            workspace_id=caller.workspace_id if tied else None,
            scopes=frozenset(body.scopes),
            description=body.description,
            # A key that ends must not leave one behind that does not.
            expires_at=min((end for end in (body.expires_at, caller.expires_at) if end), default=None),
        )
        audit.record(
            tx,
            caller,
            "api_key.create",
            str(stored.id),
            request_id=request.state.request_id,
            ip=client_ip(request),
        )
    return ApiKeyOut(
        id=stored.id,
        key=new.key,
        prefix=stored.prefix,
        scopes=stored.scopes,
        workspace_id=stored.workspace_id,
        description=stored.description,
        created_at=stored.created_at,
        expires_at=stored.expires_at,
    )


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
