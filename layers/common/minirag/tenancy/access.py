"""What a route asks of its caller, as FastAPI dependencies: the one place where it is enforced.

    caller: Annotated[Caller, needs(READ)]
    caller: Annotated[Caller, needs(READ, body=AskIn, counted=True)], body: Annotated[AskIn, body_of(AskIn)]

The order is that of what a stranger may learn: first that there is a credential at all (401), then the shape of the
request (422), then who it is and what they may do (401, 404, 403, 402, 429).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, cast
from uuid import UUID

from fastapi import Depends, Form, Path, Request
from pydantic import BaseModel

from minirag.runtime import rates, settings
from minirag.runtime.errors import TooMany, Unprocessable
from minirag.runtime.http import add_header, client_ip, read_model
from minirag.tenancy.credentials import credential
from minirag.tenancy.identity import Origin, Principal, identify
from minirag.tenancy.roles import Access
from minirag.tenancy.tokens import Session

_WINDOW_SECONDS: Final = 60


# All of these are async, or FastAPI would move the work to another thread for nothing: a function serves one event at a
# time.
async def presented(request: Request) -> bytes | Session:
    """The credential of a request, not looked up yet."""
    return credential(request.method, request.headers)


Presented = Annotated[bytes | Session, Depends(presented)]


@cache
def body_of(model: type[BaseModel]) -> Any:  # noqa: ANN401  FastAPI's own type for a dependency
    """The body as `model`, once there is a credential."""

    async def body(request: Request) -> BaseModel:
        return await _read_body(request, model)

    return Depends(body)


async def _read_body(request: Request, model: type[BaseModel]) -> BaseModel:
    # FastAPI takes longer for a dependency of a dependency than reading the credential again does.
    await presented(request)
    if not isinstance(getattr(request.state, "body", None), model):
        request.state.body = await read_model(request, model)
    return cast("BaseModel", request.state.body)


@dataclass(frozen=True, slots=True)
class _Named:
    """Where the request says it wants to be: a workspace, an organization, or nothing."""

    workspace_id: UUID | None = None
    organization_id: UUID | None = None


async def _in_query(workspace_id: UUID | None = None) -> _Named:
    return _Named(workspace_id)


async def _in_path(workspace_id: Annotated[UUID, Path()]) -> _Named:
    return _Named(workspace_id)


async def _organization_in_path(organization_id: Annotated[UUID, Path()]) -> _Named:
    return _Named(None, organization_id)


async def _in_form(
    in_form: Annotated[UUID | None, Form(alias="workspace_id")] = None, workspace_id: UUID | None = None
) -> _Named:
    return _Named(_one(in_form, workspace_id))


async def _nowhere() -> _Named:
    return _Named()


IN_PATH: Final = _in_path
ORGANIZATION_IN_PATH: Final = _organization_in_path
IN_FORM: Final = _in_form
NOWHERE: Final = _nowhere


@cache
def _in_body(model: type[BaseModel]) -> Callable[..., Any]:
    async def named(request: Request, workspace_id: UUID | None = None) -> _Named:
        body = await _read_body(request, model)
        return _Named(_one(getattr(body, "workspace_id", None), workspace_id), getattr(body, "organization_id", None))

    return named


def _one(named: UUID | None, asked: UUID | None) -> UUID | None:
    if named is not None and asked is not None and named != asked:
        raise Unprocessable("workspace_id differs between the query and the body.")
    return named or asked


def needs(
    access: Access,
    *,
    body: type[BaseModel] | None = None,
    named: Callable[..., Any] = _in_query,
    counted: bool = False,
) -> Any:  # noqa: ANN401  FastAPI's own type for a dependency
    """The caller, who has this `access` where the request wants to be.

    named: where that is said, if not in the query; with `body`, by its `workspace_id` or `organization_id` too.
    counted: it is a question: the caller's rate and the workspace's quota are taken from.
    """
    where = _in_body(body) if body is not None else named

    async def caller(request: Request, given: Presented, place: Annotated[_Named, Depends(where)]) -> Principal:
        if counted:
            _take_turn(request, given)
        return identify(
            given,
            access,
            origin_of(request),
            workspace_id=place.workspace_id,
            organization_id=place.organization_id,
            counted=counted,
        )

    # The route table is held against this by a test.
    cast("Any", caller).access = access
    return Depends(caller)


def origin_of(request: Request) -> Origin:
    """Where a request came from, for the audit log."""
    return Origin(request.state.request_id, client_ip(request), request.headers.get("user-agent"))


def _take_turn(request: Request, given: bytes | Session) -> None:
    """Take one of the questions that this caller has a minute, before anything is looked up."""
    who = f"key:{given.hex()[:32]}" if isinstance(given, bytes) else f"session:{given.id}"
    turn = rates.take(f"ask:{who}", limit=settings.current().ask_per_minute, window_seconds=_WINDOW_SECONDS)
    if turn is None:
        return
    add_header(request, "RateLimit-Limit", str(turn.limit))
    add_header(request, "RateLimit-Remaining", str(turn.remaining))
    add_header(request, "RateLimit-Reset", str(turn.reset_seconds))
    add_header(request, "RateLimit-Policy", f"{turn.limit};w={turn.window_seconds}")
    if not turn.allowed:
        raise TooMany(
            f"You may ask {turn.limit} questions a minute. The next one is free in {turn.retry_after} s.",
            code="rate_limit",
            retry_after=turn.retry_after,
        )
