"""What operators see and do across tenants: platform admins only, each change in the audit log."""

from dataclasses import replace
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import Response

from functions.admin.app import Limit, app
from functions.admin.bodies import BillingOut, CacheOut, Email, KeyOut, KeyPage, LimitsBody
from functions.admin.operator_bodies import (
    AdminBillingIn,
    AdminBillingOut,
    AdminOrganizationOut,
    AdminWorkspaceOut,
    AdminWorkspacePage,
    BillingEventOut,
    CacheIn,
    OrganizationIn,
    OrganizationPage,
    StatsOut,
    UserChangeIn,
    UserIn,
    UserOut,
    UserPage,
)
from functions.admin.organizations import found
from minirag.runtime import db, page
from minirag.runtime.errors import Conflict, NotFound
from minirag.runtime.http import cached, described
from minirag.tenancy import api_keys, audit, billing, operators, organizations, quotas, users, workspaces
from minirag.tenancy.access import NOWHERE, body_of, needs, origin_of
from minirag.tenancy.identity import Principal
from minirag.tenancy.roles import PLATFORM

Operator = Annotated[Principal, needs(PLATFORM, named=NOWHERE)]

_EVENTS = 50
_STATS: Final = "stats:system"
_STATS_SECONDS: Final = 300


def _everywhere(caller: Principal) -> db.Tenant:
    """For transactions that look across tenants."""
    return db.Tenant(user_id=caller.user_id, operator=True)


@app.get("/api/v1/admin/users", response_model=UserPage)
async def list_users(
    caller: Operator,
    email: Email | None = None,
    status: Annotated[str | None, Query(pattern="^(active|suspended)$")] = None,
    limit: Limit = page.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> UserPage:
    """All users, newest first."""
    after = page.decode(cursor)
    with db.transaction(_everywhere(caller)) as tx:
        rows = users.page(tx, user_id=None, email=email, status=status, after=after, limit=limit + 1)
    items = [UserOut.model_validate(one) for one in rows[:limit]]
    return UserPage(items=items, next_cursor=page.next_cursor(rows, limit))


@app.post("/api/v1/admin/users", status_code=201, response_model=UserOut, openapi_extra=described(UserIn))
async def create_user(request: Request, caller: Operator, body: Annotated[UserIn, body_of(UserIn)]) -> UserOut:
    """Make a user who has not signed in yet."""
    with db.transaction(_everywhere(caller)) as tx:
        user_id = users.create(tx, email=body.email, name=body.name)
        if user_id is None:
            raise Conflict("Somebody has this address already.")
        audit.record(tx, caller, "admin.user.create", str(user_id), origin_of(request))
        return _user(tx, user_id)


@app.get("/api/v1/admin/users/{user_id}", response_model=UserOut)
async def get_user(user_id: UUID, caller: Operator) -> UserOut:
    """One user."""
    with db.transaction(_everywhere(caller)) as tx:
        return _user(tx, user_id)


@app.patch("/api/v1/admin/users/{user_id}", response_model=UserOut, openapi_extra=described(UserChangeIn))
async def change_user(
    request: Request, user_id: UUID, caller: Operator, body: Annotated[UserChangeIn, body_of(UserChangeIn)]
) -> UserOut:
    """Suspend a user, take them back, or make them an operator; their sessions end, and a suspended one's keys rest."""
    if user_id == caller.user_id:
        raise Conflict("You cannot change your own role or status: another operator has to.")
    with db.transaction(_everywhere(caller)) as tx:
        if body.role is None and body.status is None:
            return _user(tx, user_id)
        users.change(tx, user_id, role=body.role, status=body.status)
        change = {"role": body.role, "status": body.status}
        audit.record(tx, caller, "admin.user.change", str(user_id), origin_of(request), **change)
        return _user(tx, user_id)


@app.get("/api/v1/admin/organizations", response_model=OrganizationPage)
async def list_all_organizations(
    caller: Operator, limit: Limit = page.DEFAULT_LIMIT, cursor: str | None = None
) -> OrganizationPage:
    """All organizations, newest first."""
    after = page.decode(cursor)
    with db.transaction(_everywhere(caller)) as tx:
        rows = organizations.page(tx, organization_id=None, after=after, limit=limit + 1)
    items = [AdminOrganizationOut.model_validate(one) for one in rows[:limit]]
    return OrganizationPage(items=items, next_cursor=page.next_cursor(rows, limit))


@app.post(
    "/api/v1/admin/organizations",
    status_code=201,
    response_model=AdminOrganizationOut,
    openapi_extra=described(OrganizationIn),
)
async def create_organization_for(
    request: Request, caller: Operator, body: Annotated[OrganizationIn, body_of(OrganizationIn)]
) -> AdminOrganizationOut:
    """Make an organization, with a first workspace, that a user owns."""
    with db.transaction(_everywhere(caller)) as tx:
        _user(tx, body.owner_id)
    organization_id = found(body.owner_id, body.name.strip(), origin_of(request), by=caller)
    with db.transaction(_everywhere(caller)) as tx:
        return _organization(tx, organization_id)


@app.get("/api/v1/admin/organizations/{organization_id}", response_model=AdminOrganizationOut)
async def get_organization(organization_id: UUID, caller: Operator) -> AdminOrganizationOut:
    """One organization."""
    with db.transaction(_everywhere(caller)) as tx:
        return _organization(tx, organization_id)


@app.get("/api/v1/admin/workspaces", response_model=AdminWorkspacePage)
async def list_all_workspaces(
    caller: Operator,
    organization_id: UUID | None = None,
    limit: Limit = page.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> AdminWorkspacePage:
    """All workspaces, newest first."""
    after = page.decode(cursor)
    with db.transaction(_everywhere(caller)) as tx:
        rows = workspaces.page(tx, workspace_id=None, organization_id=organization_id, after=after, limit=limit + 1)
    items = [AdminWorkspaceOut.model_validate(one) for one in rows[:limit]]
    return AdminWorkspacePage(items=items, next_cursor=page.next_cursor(rows, limit))


@app.get("/api/v1/admin/quotas/{workspace_id}", response_model=LimitsBody)
async def get_quotas(workspace_id: UUID, caller: Operator) -> LimitsBody:
    """What a workspace may hold and use."""
    with db.transaction(_inside(caller, workspace_id)) as tx:
        return LimitsBody.model_validate(quotas.limits(tx, workspace_id))


@app.put("/api/v1/admin/quotas/{workspace_id}", response_model=LimitsBody, openapi_extra=described(LimitsBody))
async def set_quotas(
    request: Request, workspace_id: UUID, caller: Operator, body: Annotated[LimitsBody, body_of(LimitsBody)]
) -> LimitsBody:
    """Set limits of a workspace, from now on: those that are named, null for none."""
    with db.transaction(_inside(caller, workspace_id)) as tx:
        before = quotas.limits(tx, workspace_id)
        given = {name: getattr(body, name) for name in body.model_fields_set}
        quotas.set_limits(tx, workspace_id, replace(before, **given))
        change = {name: f"{getattr(before, name)} -> {value}" for name, value in given.items()}
        audit.record(tx, caller, "admin.quotas.set", str(workspace_id), origin_of(request), **change)
        return LimitsBody.model_validate(quotas.limits(tx, workspace_id))


@app.get("/api/v1/admin/api-keys", response_model=KeyPage)
async def list_all_api_keys(
    caller: Operator,
    user_id: UUID | None = None,
    workspace_id: UUID | None = None,
    limit: Limit = page.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> KeyPage:
    """All keys, newest first."""
    after = page.decode(cursor)
    with db.transaction(_everywhere(caller)) as tx:
        rows = api_keys.find_all(tx, user_id=user_id, workspace_id=workspace_id, after=after, limit=limit + 1)
    items = [KeyOut.model_validate(one) for one in rows[:limit]]
    return KeyPage(items=items, next_cursor=page.next_cursor(rows, limit))


@app.delete("/api/v1/admin/api-keys/{key_id}", status_code=204, response_class=Response)
async def revoke_any_api_key(request: Request, key_id: UUID, caller: Operator) -> Response:
    """End any key: no request is answered by it once this returns."""
    with db.transaction(_everywhere(caller)) as tx:
        if not api_keys.revoke_any(tx, key_id):
            raise NotFound("There is no such API key.")
        audit.record(tx, caller, "admin.api_key.revoke", str(key_id), origin_of(request))
    return Response(status_code=204)


@app.get("/api/v1/admin/stats", response_model=StatsOut)
async def get_stats(caller: Operator) -> Response:
    """How much there is and was used; counted in the last five minutes."""

    def count() -> StatsOut:
        with db.transaction(_everywhere(caller)) as tx:
            return StatsOut.model_validate(operators.count(tx))

    return cached(_STATS, count, StatsOut, seconds=_STATS_SECONDS)


@app.post("/api/v1/admin/cache/clear", response_model=CacheOut, openapi_extra=described(CacheIn))
async def clear_cache(request: Request, caller: Operator, body: Annotated[CacheIn, body_of(CacheIn)]) -> CacheOut:
    """Let no answer or list of documents be found any more that was cached for a workspace, or for all."""
    if body.workspace_id is None:
        with db.transaction(_everywhere(caller)) as tx:
            count = workspaces.clear_caches(tx)
            audit.record(tx, caller, "admin.cache.clear", "all", origin_of(request))
        return CacheOut(workspaces=count)
    with db.transaction(_inside(caller, body.workspace_id)) as tx:
        audit.record(tx, caller, "admin.cache.clear", str(body.workspace_id), origin_of(request))
        workspaces.clear_cache(tx, body.workspace_id)
    return CacheOut(workspaces=1)


@app.get("/api/v1/admin/billing/{organization_id}", response_model=AdminBillingOut)
async def get_any_billing(organization_id: UUID, caller: Operator) -> AdminBillingOut:
    """How an organization pays, and the newest of Stripe's events about it."""
    with db.transaction(db.Tenant(None, organization_id, caller.user_id, operator=True)) as tx:
        return _billing(tx, organization_id)


@app.patch(
    "/api/v1/admin/billing/{organization_id}",
    response_model=AdminBillingOut,
    openapi_extra=described(AdminBillingIn),
)
async def change_billing(
    request: Request,
    organization_id: UUID,
    caller: Operator,
    body: Annotated[AdminBillingIn, body_of(AdminBillingIn)],
) -> AdminBillingOut:
    """Set plan or status by hand, until Stripe's next event says otherwise."""
    with db.transaction(db.Tenant(None, organization_id, caller.user_id, operator=True)) as tx:
        if not organizations.change(tx, organization_id, name=None, plan=body.plan, billing_status=body.status):
            raise NotFound("There is no such organization.")
        change = {"plan": body.plan, "status": body.status}
        audit.record(tx, caller, "admin.billing.change", str(organization_id), origin_of(request), **change)
        return _billing(tx, organization_id)


def _inside(caller: Principal, workspace_id: UUID) -> db.Tenant:
    """For transactions in one workspace of any tenant. Raises NotFound if there is no such workspace."""
    with db.transaction(_everywhere(caller)) as tx:
        workspace = workspaces.overview(tx, workspace_id)
    if workspace is None or workspace.deleted_at is not None:
        raise NotFound("There is no such workspace.")
    return db.Tenant(workspace_id, workspace.organization_id, caller.user_id)


def _user(tx: db.Connection, user_id: UUID) -> UserOut:
    user = users.find(tx, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return UserOut.model_validate(user)


def _organization(tx: db.Connection, organization_id: UUID) -> AdminOrganizationOut:
    organization = organizations.find(tx, organization_id)
    if organization is None:
        raise NotFound("There is no such organization.")
    return AdminOrganizationOut.model_validate(organization)


def _billing(tx: db.Connection, organization_id: UUID) -> AdminBillingOut:
    current = billing.find(tx, organization_id)
    if current is None:
        raise NotFound("There is no such organization.")
    events = [BillingEventOut.model_validate(one) for one in billing.events(tx, organization_id, limit=_EVENTS)]
    shown = BillingOut.model_validate(current).model_dump()
    return AdminBillingOut(**shown, has_customer=current.has_customer, events=events)
