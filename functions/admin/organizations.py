"""Organizations: the caller's own, making one, and who is in it with which role."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from functions.admin.app import app
from functions.admin.bodies import (
    MyOrganizationsOut,
    NameIn,
    OrganizationOut,
    OrganizationRoleIn,
    PeopleOut,
    PersonOut,
    WorkspaceOut,
)
from minirag.runtime import db, settings
from minirag.runtime.errors import Conflict, Forbidden, NotFound
from minirag.runtime.http import described
from minirag.tenancy import audit, billing, organizations, users, workspaces
from minirag.tenancy.access import NOWHERE, ORGANIZATION_IN_PATH, body_of, needs, origin_of
from minirag.tenancy.identity import Member, Origin, Principal
from minirag.tenancy.roles import ACCOUNT, IDENTIFIED, ORGANIZATION_ADMIN

_FIRST_WORKSPACE = "Documents"

Admin = Annotated[Member, needs(ORGANIZATION_ADMIN, named=ORGANIZATION_IN_PATH)]


@app.get("/api/v1/organizations", response_model=MyOrganizationsOut)
async def list_organizations(caller: Annotated[Principal, needs(IDENTIFIED, named=NOWHERE)]) -> MyOrganizationsOut:
    """The caller's organizations; of a key tied to a workspace, the one that this is in."""
    with db.transaction(caller.tenant) as tx:
        return MyOrganizationsOut(items=of_memberships(memberships_of(tx, caller)))


@app.post("/api/v1/organizations", status_code=201, response_model=OrganizationOut, openapi_extra=described(NameIn))
async def create_organization(
    request: Request,
    caller: Annotated[Principal, needs(ACCOUNT, named=NOWHERE)],
    body: Annotated[NameIn, body_of(NameIn)],
) -> OrganizationOut:
    """Make an organization that the caller owns, with a first workspace."""
    with db.transaction(caller.tenant) as tx:
        owned = {one.organization_id: one for one in users.memberships(tx) if one.organization_role == "owner"}
    if len(owned) >= settings.current().max_organizations:
        raise Conflict(f"You own {len(owned)} organizations already, which is as many as one may.")
    for one in owned.values():
        # Nobody leaves a bill behind by founding the next.
        billing.check_status(one.billing_status)
    organization_id = found(caller.user_id, body.name.strip(), origin_of(request), by=caller)
    return OrganizationOut(id=organization_id, name=body.name.strip(), role="owner")


@app.patch("/api/v1/organizations/{organization_id}", response_model=OrganizationOut, openapi_extra=described(NameIn))
async def rename_organization(
    request: Request, caller: Admin, body: Annotated[NameIn, body_of(NameIn)]
) -> OrganizationOut:
    """Call the organization something else."""
    with db.transaction(caller.tenant) as tx:
        organizations.rename(tx, caller.organization_id, body.name.strip())
        audit.record(tx, caller, "organization.rename", str(caller.organization_id), origin_of(request))
    return OrganizationOut(id=caller.organization_id, name=body.name.strip(), role=caller.organization_role)


@app.get("/api/v1/organizations/{organization_id}/members", response_model=PeopleOut)
async def list_people(caller: Admin) -> PeopleOut:
    """Who is in the organization."""
    with db.transaction(caller.tenant) as tx:
        return PeopleOut(items=[PersonOut.model_validate(one) for one in organizations.people(tx)])


@app.patch(
    "/api/v1/organizations/{organization_id}/members/{user_id}",
    response_model=PersonOut,
    openapi_extra=described(OrganizationRoleIn),
)
async def change_person(
    request: Request,
    user_id: UUID,
    caller: Admin,
    body: Annotated[OrganizationRoleIn, body_of(OrganizationRoleIn)],
) -> PersonOut:
    """Give somebody another role in the organization; only owners make owners and change them."""
    with db.transaction(caller.tenant) as tx:
        before = _role_of(tx, caller, user_id)
        if "owner" in {before, body.role} and caller.organization_role != "owner":
            raise Forbidden("Only owners of the organization make owners and change them.")
        organizations.set_role(tx, caller.organization_id, user_id, body.role)
        change = {"before": before, "after": body.role}
        audit.record(tx, caller, "organization.member.change", str(user_id), origin_of(request), **change)
        person = next(one for one in organizations.people(tx) if one.user_id == user_id)
    return PersonOut.model_validate(person)


@app.delete("/api/v1/organizations/{organization_id}/members/{user_id}", status_code=204, response_class=Response)
async def remove_person(request: Request, user_id: UUID, caller: Admin) -> Response:
    """Take somebody out of the organization and all its workspaces; their keys are good for nothing there."""
    with db.transaction(caller.tenant) as tx:
        if _role_of(tx, caller, user_id) == "owner" and caller.organization_role != "owner":
            raise Forbidden("Only owners of the organization remove owners.")
        organizations.remove(tx, caller.organization_id, user_id)
        audit.record(tx, caller, "organization.member.remove", str(user_id), origin_of(request))
    return Response(status_code=204)


def _role_of(tx: db.Connection, caller: Member, user_id: UUID) -> str:
    role = organizations.role_of(tx, caller.organization_id, user_id)
    if role is None:
        raise NotFound("There is no such member.")
    return role


def found(owner: UUID, name: str, origin: Origin, *, by: Principal | None = None) -> UUID:
    """Make an organization with a first workspace for its owner; `by` whom, if not by themselves signing up."""
    action = "organization.create" if by is None or by.user_id == owner else "admin.organization.create"
    actor, key_id = (by.user_id, by.api_key_id) if by else (owner, None)
    organization_id, workspace_id = uuid4(), workspaces.new_id()
    with db.transaction(db.Tenant(workspace_id, organization_id, owner)) as tx:
        organizations.create(tx, organization_id, name=name, owner=owner)
        workspaces.create(tx, workspace_id, organization_id=organization_id, name=_FIRST_WORKSPACE, creator=owner)
        audit.append(
            tx,
            organization_id,
            workspace_id,
            actor,
            key_id,
            action,
            str(organization_id),
            origin,
            {"owner": str(owner)},
        )
    return organization_id


def memberships_of(tx: db.Connection, caller: Principal) -> list[users.Membership]:
    """What the caller belongs to; by a key that is tied to a workspace, that alone."""
    return [one for one in users.memberships(tx) if caller.tied_to in {None, one.workspace_id}]


def of_memberships(memberships: Sequence[users.Membership]) -> list[OrganizationOut]:
    """Each organization once."""
    each = {
        one.organization_id: OrganizationOut(
            id=one.organization_id,
            name=one.organization_name,
            created_at=one.organization_created_at,
            role=one.organization_role,
        )
        for one in memberships
    }
    return list(each.values())


def workspaces_of(memberships: Sequence[users.Membership]) -> list[WorkspaceOut]:
    """The workspaces."""
    return [
        WorkspaceOut(
            id=one.workspace_id,
            name=one.workspace_name or "",
            organization_id=one.organization_id,
            created_at=one.workspace_created_at or one.organization_created_at,
            role=one.workspace_role,
        )
        for one in memberships
        if one.workspace_id is not None
    ]
