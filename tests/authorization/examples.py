"""A request for every route, that does what it asks for when the right caller sends it: one table.

`{name}` stands for an id of the tenant (house.House.ids). A route that names no workspace in its path is sent
`workspace_id` in its query, if it is within one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from infra.routes import Route
from minirag.tenancy.roles import OPEN
from tests.authorization.callers import Caller

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Narrower:
    """A stated exception: whom the route refuses with 403 though its access would let them in, and why."""

    because: str
    refuses: Callable[[Caller], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """A stated exception: what the right request is answered with where a test cannot have it succeed, and why."""

    status: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One request.

    path: what its parameters stand for, where not for the id of the same name.
    spent: once it has succeeded, what it names is no more.
    documents: whether the tenant has any.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    upload: bool = False
    spent: bool = False
    documents: bool = True
    narrower: Narrower | None = None
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request with ids in it; `form`: the body is sent as a form, with a file."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    form: bool = False


def call(route: Route, example: Example, ids: Mapping[str, str]) -> Call:
    """The example's request with these ids for what it names."""
    template = _template(route, example)
    return Call(
        template.method,
        _fill(template.path, ids),
        {name: _fill(value, ids) for name, value in template.query.items()},
        None if template.body is None else json.loads(_fill(json.dumps(template.body), ids)),
        template.form,
    )


def names(route: Route, example: Example, name: str) -> bool:
    """Whether the example's request names this id."""
    template = _template(route, example)
    return f"{{{name}}}" in f"{template.path} {json.dumps(template.query)} {json.dumps(template.body)}"


def _template(route: Route, example: Example) -> Call:
    path = route.path
    for name, value in example.path.items():
        path = path.replace(f"{{{name}}}", f"{{{value}}}")
    query = dict(example.query)
    if route.access.within == "workspace" and "{workspace_id}" not in path:
        query["workspace_id"] = "{workspace_id}"
    return Call(route.method, path, query, None if example.body is None else dict(example.body), example.upload)


def _fill(text: str, ids: Mapping[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text


_PLAIN: Final = Example()
_QUESTION: Final = Example(body={"query": "Who invented the dial recorder?"})
_NAME: Final = Example(body={"name": "Contracts"})
_SESSIONS_ONLY: Final = Narrower("a key is no session", lambda caller: caller.by == "key")
_WHOLE_ORGANIZATION: Final = Narrower(
    "deleting a workspace takes an owner or admin of its organization, by no key tied to a workspace",
    lambda caller: caller.person.organization_role not in {"owner", "admin"} or caller.tied is not None,
)
_OUR_PAGE_ONLY: Final = Narrower(
    "nobody is signed in by the page of another site, as somebody else than they think",
    lambda caller: not caller.from_our_page,
)
_NO_PROVIDER: Final = Answer(503, "no identity provider is set up in the tests")

EXAMPLES: Final[Mapping[tuple[str, str], Example]] = {
    ("POST", "/api/v1/ask"): _QUESTION,
    ("POST", "/api/v1/search"): _QUESTION,
    ("GET", "/api/v1/answers"): _PLAIN,
    ("GET", "/api/v1/answers/{answer_id}"): _PLAIN,
    ("POST", "/api/v1/answers/{answer_id}/feedback"): Example(body={"verdict": "up"}),
    ("POST", "/api/v1/answers/{answer_id}/replay"): _PLAIN,
    ("POST", "/api/v1/ingest/files"): Example(body={}, upload=True),
    ("POST", "/api/v1/ingest/text"): Example(body={"title": "Note", "text": "The valve was closed."}),
    ("POST", "/api/v1/ingest/uploads"): Example(body={"name": "report.pdf", "bytes": 1000}),
    ("POST", "/api/v1/ingest/urls"): Example(body={"urls": ["https://example.com/report"]}),
    ("POST", "/api/v1/dedupe"): _PLAIN,
    ("POST", "/api/v1/rebuild"): _PLAIN,
    ("GET", "/api/v1/jobs"): _PLAIN,
    ("GET", "/api/v1/jobs/{job_id}"): _PLAIN,
    ("POST", "/api/v1/jobs/{job_id}/retry"): Example(spent=True),
    ("GET", "/api/v1/sources"): _PLAIN,
    ("GET", "/api/v1/sources/{source_id}"): _PLAIN,
    ("GET", "/api/v1/sources/{source_id}/text"): _PLAIN,
    ("GET", "/api/v1/sources/{source_id}/chunks"): _PLAIN,
    ("DELETE", "/api/v1/sources/{source_id}"): Example(spent=True),
    ("GET", "/auth/google"): Example(answer=_NO_PROVIDER),
    ("GET", "/auth/callback"): Example(answer=Answer(401, "nobody is signed in without the provider's code")),
    ("POST", "/auth/callback"): Example(
        body={"code": "code", "state": "state"}, narrower=_OUR_PAGE_ONLY, answer=_NO_PROVIDER
    ),
    ("POST", "/auth/logout"): Example(body={}, narrower=_SESSIONS_ONLY),
    ("GET", "/auth/me"): _PLAIN,
    ("GET", "/api/v1/organizations"): _PLAIN,
    ("POST", "/api/v1/organizations"): _NAME,
    ("PATCH", "/api/v1/organizations/{organization_id}"): _NAME,
    ("GET", "/api/v1/organizations/{organization_id}/members"): _PLAIN,
    ("PATCH", "/api/v1/organizations/{organization_id}/members/{user_id}"): Example(body={"role": "admin"}),
    ("DELETE", "/api/v1/organizations/{organization_id}/members/{user_id}"): Example(spent=True),
    ("GET", "/api/v1/workspaces"): _PLAIN,
    ("POST", "/api/v1/workspaces"): Example(body={"name": "Contracts", "organization_id": "{organization_id}"}),
    ("GET", "/api/v1/workspaces/{workspace_id}"): _PLAIN,
    ("PATCH", "/api/v1/workspaces/{workspace_id}"): _NAME,
    ("DELETE", "/api/v1/workspaces/{workspace_id}"): Example(spent=True, documents=False, narrower=_WHOLE_ORGANIZATION),
    ("POST", "/api/v1/workspaces/{workspace_id}/cache/clear"): _PLAIN,
    ("GET", "/api/v1/workspaces/{workspace_id}/members"): _PLAIN,
    ("POST", "/api/v1/workspaces/{workspace_id}/members"): Example(body={"email": "{email}", "role": "reader"}),
    ("PATCH", "/api/v1/workspaces/{workspace_id}/members/{user_id}"): Example(body={"role": "editor"}),
    ("DELETE", "/api/v1/workspaces/{workspace_id}/members/{user_id}"): Example(spent=True),
    ("GET", "/api/v1/workspaces/{workspace_id}/invitations"): _PLAIN,
    ("DELETE", "/api/v1/workspaces/{workspace_id}/invitations/{invitation_id}"): Example(spent=True),
    ("GET", "/api/v1/invitations"): _PLAIN,
    ("POST", "/api/v1/invitations/{invitation_id}/accept"): Example(path={"invitation_id": "received_id"}, spent=True),
    ("GET", "/api/v1/api-keys"): _PLAIN,
    ("POST", "/api/v1/api-keys"): Example(body={"scopes": ["admin"]}),
    ("DELETE", "/api/v1/api-keys/{key_id}"): _PLAIN,
    ("POST", "/api/v1/api-keys/{key_id}/rotate"): Example(body={}, spent=True),
    ("GET", "/api/v1/usage"): _PLAIN,
    ("GET", "/api/v1/billing"): Example(query={"workspace_id": "{workspace_id}"}),
    ("GET", "/api/v1/admin/users"): _PLAIN,
    ("POST", "/api/v1/admin/users"): Example(body={"email": "{new}@example.com"}),
    ("GET", "/api/v1/admin/users/{user_id}"): _PLAIN,
    ("PATCH", "/api/v1/admin/users/{user_id}"): Example(body={"status": "active"}),
    ("GET", "/api/v1/admin/organizations"): _PLAIN,
    ("POST", "/api/v1/admin/organizations"): Example(body={"name": "Contracts", "owner_id": "{user_id}"}),
    ("GET", "/api/v1/admin/organizations/{organization_id}"): _PLAIN,
    ("GET", "/api/v1/admin/workspaces"): _PLAIN,
    ("GET", "/api/v1/admin/quotas/{workspace_id}"): _PLAIN,
    ("PUT", "/api/v1/admin/quotas/{workspace_id}"): Example(body={"chunk_limit": 1000}),
    ("GET", "/api/v1/admin/api-keys"): _PLAIN,
    ("DELETE", "/api/v1/admin/api-keys/{key_id}"): _PLAIN,
    ("GET", "/api/v1/admin/audit"): _PLAIN,
    ("GET", "/api/v1/admin/audit/export"): _PLAIN,
    ("GET", "/api/v1/admin/audit/verify"): _PLAIN,
    ("GET", "/api/v1/admin/stats"): _PLAIN,
    ("POST", "/api/v1/admin/cache/clear"): Example(body={"workspace_id": "{workspace_id}"}),
    ("GET", "/api/v1/admin/billing/{organization_id}"): _PLAIN,
    ("PATCH", "/api/v1/admin/billing/{organization_id}"): Example(body={"status": "active"}),
    ("GET", "/health"): _PLAIN,
    ("GET", "/ready"): _PLAIN,
    ("GET", "/version"): _PLAIN,
    ("GET", "/openapi.json"): _PLAIN,
}


def example_of(route: Route) -> Example:
    """The example of a route; fails with what to do if it has none."""
    example = EXAMPLES.get((route.method, route.path))
    assert example is not None, (
        f"{route.method} {route.path} has no example: add one to tests/authorization/examples.py"
    )
    return example


def is_open(route: Route) -> bool:
    return route.access == OPEN
