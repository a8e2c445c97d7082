"""API keys: making, listing, rotating and revoking them."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response

from functions.admin.app import Limit, app
from functions.admin.bodies import ApiKeyIn, KeyOut, KeyPage, NewKeyOut, RotateIn
from minirag.runtime import db, page
from minirag.runtime.errors import Conflict, Forbidden, NotFound, Unprocessable
from minirag.runtime.http import described
from minirag.tenancy import api_keys, audit
from minirag.tenancy.access import body_of, needs, origin_of
from minirag.tenancy.api_keys import ApiKey, NewKey
from minirag.tenancy.identity import Caller
from minirag.tenancy.roles import WORKSPACE_ADMIN

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)

Admin = Annotated[Caller, needs(WORKSPACE_ADMIN)]


@app.get("/api/v1/api-keys", response_model=KeyPage)
async def list_api_keys(caller: Admin, limit: Limit = page.DEFAULT_LIMIT, cursor: str | None = None) -> KeyPage:
    """The workspace's keys, and the caller's own that are tied to none; newest first."""
    after = page.decode(cursor)
    with db.transaction(caller.tenant) as tx:
        rows = api_keys.page(tx, caller.workspace_id, _own(caller), after=after, limit=limit + 1)
    items = [KeyOut.model_validate(one) for one in rows[:limit]]
    return KeyPage(items=items, next_cursor=page.next_cursor(rows, limit))


@app.post("/api/v1/api-keys", status_code=201, response_model=NewKeyOut, openapi_extra=described(ApiKeyIn))
async def create_api_key(
    request: Request,
    caller: Annotated[Caller, needs(WORKSPACE_ADMIN, body=ApiKeyIn)],
    body: Annotated[ApiKeyIn, body_of(ApiKeyIn)],
) -> NewKeyOut:
    """Make an API key for the caller, with no more scopes than the caller has."""
    beyond = sorted(set(body.scopes) - caller.scopes)
    if beyond:
        raise Forbidden(f"You cannot give a key scopes that you lack: {', '.join(beyond)}.")
    if body.expires_at is not None and not datetime.now(UTC) < body.expires_at < _LATEST:
        raise Unprocessable(f"expires_at must lie in the future, before {_LATEST:%Y}.")
    tied = body.workspace_id is not None or caller.tied_to is not None
    new = api_keys.new_key()
    with db.transaction(caller.tenant) as tx:
        stored = api_keys.create(
            tx,
            new,
            user_id=caller.user_id,
            workspace_id=caller.workspace_id if tied else None,
            scopes=frozenset(body.scopes),
            description=body.description,
            expires_at=_bounded(caller, body.expires_at),
        )
        scopes = " ".join(stored.scopes)
        audit.record(tx, caller, "api_key.create", str(stored.id), origin_of(request), scopes=scopes)
    return _new(new, stored)


@app.post(
    "/api/v1/api-keys/{key_id}/rotate", status_code=201, response_model=NewKeyOut, openapi_extra=described(RotateIn)
)
async def rotate_api_key(
    request: Request, key_id: UUID, caller: Admin, body: Annotated[RotateIn, body_of(RotateIn)]
) -> NewKeyOut:
    """Make a key like one of the caller's own, which ends, at once or after a grace."""
    new = api_keys.new_key()
    with db.transaction(caller.tenant) as tx:
        old = _find(tx, caller, key_id)
        if old.user_id != caller.user_id:
            # A key acts as its user: its new secret is for nobody else.
            raise Forbidden("This key is another user's. Revoke it instead, and let them make a new one.")
        if not old.good_at(datetime.now(UTC)):
            raise Conflict("This key has ended. Make a new one instead.")
        if not set(old.scopes) <= caller.scopes:
            raise Forbidden("This key has scopes that you lack here.")
        stored = api_keys.create(
            tx,
            new,
            user_id=caller.user_id,
            workspace_id=old.workspace_id,
            scopes=frozenset(old.scopes),
            description=old.description,
            expires_at=_bounded(caller, old.expires_at),
        )
        if body.grace_seconds:
            api_keys.expire(tx, old.id, seconds=body.grace_seconds)
        else:
            api_keys.revoke(tx, old.id)
        audit.record(tx, caller, "api_key.rotate", str(old.id), origin_of(request), new=str(stored.id))
    return _new(new, stored)


@app.delete("/api/v1/api-keys/{key_id}", status_code=204, response_class=Response)
async def revoke_api_key(request: Request, key_id: UUID, caller: Admin) -> Response:
    """End a key: no request is answered by it once this returns."""
    with db.transaction(caller.tenant) as tx:
        key = _find(tx, caller, key_id)
        api_keys.revoke(tx, key.id)
        audit.record(tx, caller, "api_key.revoke", str(key.id), origin_of(request))
    return Response(status_code=204)


def _bounded(caller: Caller, wanted: datetime | None) -> datetime | None:
    """When a new key ends: one that ends must not leave another behind that does not; a session is none."""
    bound = None if caller.session is not None else caller.expires_at
    return min((end for end in (wanted, bound) if end), default=None)


def _own(caller: Caller) -> UUID | None:
    """Whose keys that are tied to no workspace are the caller's business: none by a key that is tied to one."""
    return caller.user_id if caller.tied_to is None else None


def _find(tx: db.Connection, caller: Caller, key_id: UUID) -> ApiKey:
    key = api_keys.lock(tx, key_id, caller.workspace_id, _own(caller))
    if key is None:
        raise NotFound("There is no such API key.")
    return key


def _new(new: NewKey, stored: ApiKey) -> NewKeyOut:
    return NewKeyOut(**KeyOut.model_validate(stored).model_dump(), key=new.key)
