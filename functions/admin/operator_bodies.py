"""What the operators' routes take and give over HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from functions.admin.bodies import BillingOut, Dollars, Email, In, Name, Out
from minirag.runtime.http import Text


class BillingEventOut(Out):
    event_id: str
    event_type: str
    created_at: datetime


class AdminBillingOut(BillingOut):
    has_customer: bool
    events: list[BillingEventOut]


class AdminBillingIn(In):
    plan: Annotated[Text, Field(min_length=1, max_length=100)] | None = None
    status: Literal["trialing", "active", "past_due", "canceled", "unpaid", "incomplete"] | None = None


class UserIn(In):
    email: Email
    name: Annotated[Text, Field(max_length=200)] = ""


class UserChangeIn(In):
    role: Literal["user", "admin"] | None = None
    status: Literal["active", "suspended"] | None = None


class UserOut(Out):
    id: UUID
    email: str
    name: str
    role: str
    status: str
    created_at: datetime
    last_sign_in_at: datetime | None


class OrganizationIn(In):
    """An organization to be made, for a user who owns it; with a first workspace."""

    name: Name
    owner_id: UUID


class AdminOrganizationOut(Out):
    id: UUID
    name: str
    slug: str
    plan: str
    billing_status: str
    stripe_customer_id: str | None
    current_period_end: datetime | None
    created_at: datetime
    members: int
    workspaces: int


class AdminWorkspaceOut(Out):
    id: UUID
    organization_id: UUID
    name: str
    generation: int
    chunks: int
    bytes: int
    created_at: datetime
    deleted_at: datetime | None


class AuditOut(Out):
    """A row of the audit log; `link` is the end of the chain at this row, null until it is sealed."""

    id: int
    organization_id: UUID | None
    workspace_id: UUID | None
    user_id: UUID | None
    api_key_id: UUID | None
    action: str
    target: str
    detail: dict[str, Any]
    request_id: str
    ip: str | None
    user_agent: str | None
    created_at: datetime
    link: str | None


class AuditProblemOut(Out):
    audit_id: int
    problem: str


class AuditVerdictOut(BaseModel):
    """Whether the log is as it was sealed, what does not fit if it is not, and where the chain ends.

    `position` and `head` are what the function that seals has logged at its last run that found something; `unsealed`
    rows are newer.
    """

    intact: bool
    position: int
    head: str
    unsealed: int
    problems: Sequence[AuditProblemOut]


class StatsOut(Out):
    """How much there was, and was used, at the moment `as_of`."""

    as_of: datetime
    users: int
    organizations: int
    workspaces: int
    api_keys: int
    chunks: int
    bytes: int
    open_jobs: int
    requests_today: int
    cost_this_month: Dollars


class CacheIn(In):
    workspace_id: UUID | None = None


class OrganizationPage(BaseModel):
    items: list[AdminOrganizationOut]
    next_cursor: str | None


class UserPage(BaseModel):
    items: list[UserOut]
    next_cursor: str | None


class AdminWorkspacePage(BaseModel):
    items: list[AdminWorkspaceOut]
    next_cursor: str | None


class AuditPage(BaseModel):
    items: list[AuditOut]
    next_cursor: str | None
