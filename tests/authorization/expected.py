"""The status that a caller must see, from what the route asks (roles.Access) and nothing else; stated exceptions aside.

Pure. This says the rules a second time, in other words than the product does.
"""

from collections.abc import Iterator
from typing import Final

from infra.routes import Route
from minirag.tenancy.roles import ORGANIZATION_ROLES, SCOPES_OF_ROLE, WORKSPACE_ROLES
from tests.authorization.callers import STRANGER, Caller
from tests.authorization.examples import Example, is_open, names

_SAFE: Final = frozenset({"GET", "HEAD"})
_IDS: Final = (
    "workspace_id", "organization_id", "user_id", "source_id", "job_id", "key_id", "invitation_id", "received_id",
    "answer_id",
)  # fmt: skip


def expected(route: Route, example: Example, caller: Caller) -> int | None:
    """The status of the refusal, or None: the caller is let in."""
    if is_open(route):
        return 403 if example.narrower and example.narrower.refuses(caller) else None
    if caller.fault is not None:
        return 401
    if caller.by == "session" and route.method not in _SAFE and not caller.from_our_page:
        return 403
    if not _reaches(route, example, caller):
        return 404
    if any(_lacks(route, caller)) or (example.narrower and example.narrower.refuses(caller)):
        return 403
    return 404 if _names_what_is_not_theirs(route, example, caller) else None


def _reaches(route: Route, example: Example, caller: Caller) -> bool:
    """Whether the workspace or organization that the request names is the caller's."""
    if route.access.within == "nothing":
        return True
    if names(route, example, "workspace_id"):
        return caller.person.workspace_role is not None and caller.tied != "elsewhere"
    return caller.person.organization_role is not None


def _lacks(route: Route, caller: Caller) -> Iterator[bool]:
    """What is asked of the caller, and whether they lack it."""
    access, person = route.access, caller.person
    if access.scope is not None:
        yield access.scope not in caller.scopes
        yield access.within != "workspace" and caller.tied is not None
    if access.within == "workspace" and access.scope is not None:
        yield access.scope not in SCOPES_OF_ROLE[str(person.workspace_role)]
    if access.workspace_role is not None:
        yield _below(person.workspace_role, access.workspace_role, WORKSPACE_ROLES)
    if access.organization_role is not None:
        yield _below(person.organization_role, access.organization_role, ORGANIZATION_ROLES)
    if access.platform_admin:
        yield not person.platform_admin


def _below(role: str | None, least: str, roles: tuple[str, ...]) -> bool:
    return role is None or roles.index(role) < roles.index(least)


def _names_what_is_not_theirs(route: Route, example: Example, caller: Caller) -> bool:
    """Of routes within nothing: what the stranger names is this tenant's, as everybody's requests."""
    return caller.person == STRANGER and any(names(route, example, name) for name in _IDS)
