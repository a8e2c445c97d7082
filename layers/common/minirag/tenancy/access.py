"""What a route asks of its caller, as FastAPI dependencies: `caller: Annotated[Caller, needs("read")]`."""

from typing import Any
from uuid import UUID

from fastapi import Depends, Request

from minirag.tenancy.identity import Caller, credential, identify


def needs(scope: str) -> Any:  # noqa: ANN401  FastAPI's own type for a dependency
    """A caller with `scope` in the workspace of the query's `workspace_id`, or in their first one."""

    # async, or FastAPI would move the work to another thread for nothing: a function serves one event at a time.
    async def caller(request: Request, workspace_id: UUID | None = None) -> Caller:
        return identify(credential(request.headers), workspace_id, scope=scope)

    return Depends(caller)
