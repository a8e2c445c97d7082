"""Members of a workspace, and invitations into it."""

from typing import Annotated
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response

from functions.admin.app import app
from functions.admin.bodies import (
    AcceptedOut,
    InvitationOut,
    InvitationsOut,
    MemberIn,
    MemberOut,
    PeopleOut,
    PersonOut,
    ReceivedOut,
    ReceivedPageOut,
    RoleIn,
)
from minirag.runtime import db
from minirag.runtime.errors import Forbidden, NotFound
from minirag.runtime.http import described
from minirag.tenancy import audit, invitations, members
from minirag.tenancy.access import IN_PATH, NOWHERE, body_of, needs, origin_of
from minirag.tenancy.identity import Caller, Principal
from minirag.tenancy.organizations import Person
from minirag.tenancy.roles import ACCOUNT, IDENTIFIED, READ, WORKSPACE_ADMIN

Reader = Annotated[Caller, needs(READ, named=IN_PATH)]
Admin = Annotated[Caller, needs(WORKSPACE_ADMIN, named=IN_PATH)]


@app.get("/api/v1/workspaces/{workspace_id}/members", response_model=PeopleOut)
async def list_members(caller: Reader) -> PeopleOut:
    """Who may be in the workspace; the organization's owners and admins always may."""
    with db.transaction(caller.tenant) as tx:
        return PeopleOut(items=[PersonOut.model_validate(one) for one in members.page(tx, caller.workspace_id)])


@app.post(
    "/api/v1/workspaces/{workspace_id}/members",
    status_code=201,
    response_model=MemberOut,
    openapi_extra=described(MemberIn),
)
async def add_member(request: Request, caller: Admin, body: Annotated[MemberIn, body_of(MemberIn)]) -> MemberOut:
    """Take somebody of the organization in, or invite an address; who is elsewhere is not told from who is nowhere."""
    with db.transaction(caller.tenant) as tx:
        user_id = members.person_by_email(tx, body.email)
        if user_id is not None:
            members.add(tx, caller.organization_id, caller.workspace_id, user_id, body.role)
            audit.record(tx, caller, "workspace.member.add", str(user_id), origin_of(request), role=body.role)
            return MemberOut(status="member", email=body.email, role=body.role, user_id=user_id)
        if caller.organization_role not in {"owner", "admin"} or caller.tied_to is not None:
            raise Forbidden(
                "Only owners and admins invite people from outside the organization, by no key tied to a workspace."
            )
        made = invitations.invite(
            tx,
            caller.workspace_id,
            caller.organization_id,
            email=body.email,
            role=body.role,
            organization_role=body.organization_role,
            invited_by=caller.user_id,
        )
        as_what = {"email": body.email, "role": body.role, "organization_role": body.organization_role}
        audit.record(tx, caller, "invitation.create", str(made.id), origin_of(request), **as_what)
    return MemberOut(
        status="invited", email=body.email, role=body.role, invitation_id=made.id, expires_at=made.expires_at
    )


@app.patch(
    "/api/v1/workspaces/{workspace_id}/members/{user_id}",
    response_model=PersonOut,
    openapi_extra=described(RoleIn),
)
async def change_member(
    request: Request, user_id: UUID, caller: Admin, body: Annotated[RoleIn, body_of(RoleIn)]
) -> PersonOut:
    """Give a member another role in the workspace."""
    with db.transaction(caller.tenant) as tx:
        if not members.set_role(tx, caller.workspace_id, user_id, body.role):
            raise NotFound("There is no such member.")
        audit.record(tx, caller, "workspace.member.change", str(user_id), origin_of(request), role=body.role)
        person: Person = next(one for one in members.page(tx, caller.workspace_id) if one.user_id == user_id)
    return PersonOut.model_validate(person)


@app.delete("/api/v1/workspaces/{workspace_id}/members/{user_id}", status_code=204, response_class=Response)
async def remove_member(request: Request, user_id: UUID, caller: Admin) -> Response:
    """Take a member out of the workspace; their keys are good for nothing in it."""
    with db.transaction(caller.tenant) as tx:
        if not members.remove(tx, caller.workspace_id, user_id):
            raise NotFound("There is no such member.")
        audit.record(tx, caller, "workspace.member.remove", str(user_id), origin_of(request))
    return Response(status_code=204)


@app.get("/api/v1/workspaces/{workspace_id}/invitations", response_model=InvitationsOut)
async def list_invitations(caller: Admin) -> InvitationsOut:
    """The workspace's open invitations."""
    with db.transaction(caller.tenant) as tx:
        items = [InvitationOut.model_validate(one) for one in invitations.page(tx, caller.workspace_id)]
    return InvitationsOut(items=items)


@app.delete("/api/v1/workspaces/{workspace_id}/invitations/{invitation_id}", status_code=204, response_class=Response)
async def withdraw_invitation(request: Request, invitation_id: UUID, caller: Admin) -> Response:
    """Take an invitation back."""
    with db.transaction(caller.tenant) as tx:
        if not invitations.withdraw(tx, caller.workspace_id, invitation_id):
            raise NotFound("There is no such invitation.")
        audit.record(tx, caller, "invitation.withdraw", str(invitation_id), origin_of(request))
    return Response(status_code=204)


@app.get("/api/v1/invitations", response_model=ReceivedPageOut)
async def list_received(caller: Annotated[Principal, needs(IDENTIFIED, named=NOWHERE)]) -> ReceivedPageOut:
    """The open invitations to the caller's address."""
    with db.transaction(caller.tenant) as tx:
        received = invitations.received(tx) if caller.tied_to is None else []
    return ReceivedPageOut(items=[ReceivedOut.model_validate(one) for one in received])


@app.post("/api/v1/invitations/{invitation_id}/accept", response_model=AcceptedOut)
async def accept_invitation(
    request: Request, invitation_id: UUID, caller: Annotated[Principal, needs(ACCOUNT, named=NOWHERE)]
) -> AcceptedOut:
    """Become a member, as invited; what the caller is already, they stay."""
    with db.transaction(caller.tenant) as tx:
        accepted = invitations.accept(tx, invitation_id, origin_of(request))
    if accepted is None:
        raise NotFound("There is no such invitation.")
    return AcceptedOut.model_validate(accepted)
