"""Workspaces: the caller's, making, renaming and deleting them, and letting go what was cached for one."""

from typing import Annotated

from fastapi import Request
from fastapi.responses import Response

from functions.admin.app import app
from functions.admin.bodies import CacheOut, NameIn, WorkspaceIn, WorkspaceOut, WorkspacesOut
from functions.admin.organizations import memberships_of, workspaces_of
from minirag.runtime import db, settings
from minirag.runtime.errors import Conflict, Forbidden, NotFound
from minirag.runtime.http import described
from minirag.tenancy import audit, workspaces
from minirag.tenancy.access import IN_PATH, NOWHERE, body_of, needs, origin_of
from minirag.tenancy.identity import Caller, Member, Principal
from minirag.tenancy.roles import IDENTIFIED, ORGANIZATION_ADMIN, READ, WORKSPACE_ADMIN


@app.get("/api/v1/workspaces", response_model=WorkspacesOut)
async def list_workspaces(caller: Annotated[Principal, needs(IDENTIFIED, named=NOWHERE)]) -> WorkspacesOut:
    """The workspaces open to the caller, in all their organizations; of a tied key, its one."""
    with db.transaction(caller.tenant) as tx:
        return WorkspacesOut(items=workspaces_of(memberships_of(tx, caller)))


@app.post("/api/v1/workspaces", status_code=201, response_model=WorkspaceOut, openapi_extra=described(WorkspaceIn))
async def create_workspace(
    request: Request,
    caller: Annotated[Member, needs(ORGANIZATION_ADMIN, body=WorkspaceIn)],
    body: Annotated[WorkspaceIn, body_of(WorkspaceIn)],
) -> WorkspaceOut:
    """Make a workspace in the organization named, or in that of the caller's workspace; they are its admin."""
    workspace_id = workspaces.new_id()
    tenant = db.Tenant(workspace_id, caller.organization_id, caller.user_id)
    with db.transaction(tenant) as tx:
        if (held := workspaces.count(tx, caller.organization_id)) >= settings.current().max_workspaces:
            raise Conflict(f"The organization has {held} workspaces already, which is as many as it may.")
        workspace = workspaces.create(
            tx,
            workspace_id,
            organization_id=caller.organization_id,
            name=body.name.strip(),
            creator=caller.user_id,
        )
        audit.record(tx, caller, "workspace.create", str(workspace_id), origin_of(request))
    shown = WorkspaceOut.model_validate(workspace)
    shown.role = "admin"
    return shown


@app.get("/api/v1/workspaces/{workspace_id}", response_model=WorkspaceOut)
async def get_workspace(caller: Annotated[Caller, needs(READ, named=IN_PATH)]) -> WorkspaceOut:
    """One workspace."""
    with db.transaction(caller.tenant) as tx:
        return _shown(workspaces.find(tx, caller.workspace_id), caller)


@app.patch("/api/v1/workspaces/{workspace_id}", response_model=WorkspaceOut, openapi_extra=described(NameIn))
async def rename_workspace(
    request: Request,
    caller: Annotated[Caller, needs(WORKSPACE_ADMIN, named=IN_PATH)],
    body: Annotated[NameIn, body_of(NameIn)],
) -> WorkspaceOut:
    """Call the workspace something else."""
    with db.transaction(caller.tenant) as tx:
        workspace = workspaces.rename(tx, caller.workspace_id, body.name.strip())
        audit.record(tx, caller, "workspace.rename", str(caller.workspace_id), origin_of(request))
    return _shown(workspace, caller)


@app.delete("/api/v1/workspaces/{workspace_id}", status_code=204, response_class=Response)
async def delete_workspace(
    request: Request, caller: Annotated[Caller, needs(WORKSPACE_ADMIN, named=IN_PATH)]
) -> Response:
    """Delete a workspace without documents; its members are out and its keys revoked when this returns."""
    if caller.organization_role not in {"owner", "admin"} or caller.tied_to is not None:
        raise Forbidden("Only owners and admins of the organization delete workspaces, by no key tied to one.")
    with db.transaction(caller.tenant) as tx:
        if not workspaces.delete(tx, caller.workspace_id):
            raise NotFound("There is no such workspace.")
        audit.record(tx, caller, "workspace.delete", str(caller.workspace_id), origin_of(request))
    return Response(status_code=204)


@app.post("/api/v1/workspaces/{workspace_id}/cache/clear", response_model=CacheOut)
async def clear_workspace_cache(
    request: Request, caller: Annotated[Caller, needs(WORKSPACE_ADMIN, named=IN_PATH)]
) -> CacheOut:
    """Let no answer or list of documents be found any more that was cached for the workspace."""
    with db.transaction(caller.tenant) as tx:
        audit.record(tx, caller, "workspace.cache.clear", str(caller.workspace_id), origin_of(request))
        workspaces.clear_cache(tx, caller.workspace_id)
    return CacheOut(workspaces=1)


def _shown(workspace: workspaces.Workspace | None, caller: Caller) -> WorkspaceOut:
    if workspace is None:
        raise NotFound("There is no such workspace.")
    shown = WorkspaceOut.model_validate(workspace)
    shown.role = caller.workspace_role
    return shown
