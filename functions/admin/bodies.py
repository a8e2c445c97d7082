"""What administration takes and gives over HTTP."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from minirag.runtime.http import Text
from minirag.tenancy import addresses
from minirag.tenancy.roles import OrganizationRole, Scope, WorkspaceRole


class In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


# Whether an address can be reached is for the provider to say, who vouches for it when somebody signs in.
Email = Annotated[
    Text, Field(max_length=addresses.LONGEST, json_schema_extra={"format": "email"}), AfterValidator(addresses.normal)
]
Name = Annotated[Text, Field(min_length=1, max_length=200, pattern=r"\S")]
# Exact inside, a number over HTTP.
Dollars = Annotated[Decimal, PlainSerializer(float, return_type=float)]
Money = Annotated[Dollars, Field(ge=0, le=10_000_000, decimal_places=4)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class NameIn(In):
    name: Name


class WorkspaceIn(In):
    """A workspace to be made, in the organization named or in that of the caller's workspace."""

    name: Name
    organization_id: UUID | None = None


class WorkspaceOut(Out):
    """A workspace; `role` is the caller's in it, where that is asked for."""

    id: UUID
    name: str
    organization_id: UUID
    created_at: datetime
    role: str | None = None


class OrganizationOut(Out):
    """An organization of the caller's, and their role in it."""

    id: UUID
    name: str
    created_at: datetime | None = None
    role: str


class PersonOut(Out):
    user_id: UUID
    email: str
    name: str
    role: str
    created_at: datetime


class MemberIn(In):
    """Somebody by their address: of the organization, or to be invited into it."""

    email: Email
    role: WorkspaceRole = "reader"
    organization_role: Literal["member", "admin"] = "member"


class RoleIn(In):
    role: WorkspaceRole


class OrganizationRoleIn(In):
    role: OrganizationRole


class MemberOut(BaseModel):
    """What became of it: a member now, or invited until they accept."""

    status: Literal["member", "invited"]
    email: str
    role: str
    user_id: UUID | None = None
    invitation_id: UUID | None = None
    expires_at: datetime | None = None


class InvitationOut(Out):
    id: UUID
    email: str
    role: str
    organization_role: str
    created_at: datetime
    expires_at: datetime


class ReceivedOut(Out):
    """An invitation of the caller's."""

    id: UUID
    workspace_id: UUID
    workspace_name: str
    organization_name: str
    role: str
    invited_by: str
    created_at: datetime
    expires_at: datetime


class AcceptedOut(Out):
    workspace_id: UUID
    organization_id: UUID
    role: str


class ApiKeyIn(In):
    """A key to be made. Without a workspace it is tied to the caller's key's, or to none if that is tied to none."""

    workspace_id: UUID | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    description: Annotated[Text, Field(max_length=500)] = ""
    expires_at: AwareDatetime | None = None


class RotateIn(In):
    """How long the old key stays good beside the new one; a week at most."""

    grace_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 0


class KeyOut(Out):
    """A key without its secret."""

    id: UUID
    prefix: str
    user_id: UUID
    workspace_id: UUID | None
    scopes: list[str]
    description: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKeyOut(KeyOut):
    """A new key: `key` is shown this once."""

    key: str


class MeUserOut(BaseModel):
    id: UUID
    email: str
    name: str
    role: str


class CredentialOut(BaseModel):
    """By what the caller is known: `kind` is key or session."""

    kind: Literal["key", "session"]
    scopes: list[str]
    workspace_id: UUID | None
    expires_at: datetime | None


class MeOut(BaseModel):
    user: MeUserOut
    credential: CredentialOut
    organizations: list[OrganizationOut]
    workspaces: list[WorkspaceOut]
    invitations: list[ReceivedOut]


class CallbackIn(In):
    code: Annotated[Text, Field(min_length=1, max_length=4096)]
    state: Annotated[Text, Field(min_length=1, max_length=1024)]


class LogoutIn(In):
    everywhere: bool = False


class LimitsBody(In):
    """What a workspace may hold and use; null: no limit. What is left out stays. Days and months are those of UTC."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    chunk_limit: Count | None = None
    storage_bytes_limit: Count | None = None
    request_limit_per_day: Count | None = None
    cost_limit_usd_a_month: Money | None = None


class UsedOut(Out):
    requests_today: int
    chunks_today: int
    cost_today_usd: Dollars
    cost_this_month_usd: Dollars


class HeldOut(Out):
    chunks: int
    bytes: int


class UsageOut(BaseModel):
    """What the workspace used and holds, beside its limits; `day` and the moments are those of UTC."""

    workspace_id: UUID
    day: str
    used: UsedOut
    held: HeldOut
    limits: LimitsBody
    questions_a_minute: int
    day_ends_at: datetime
    month_ends_at: datetime


class BillingOut(Out):
    organization_id: UUID
    plan: str
    status: str
    current_period_end: datetime | None


class CacheOut(BaseModel):
    """Of how many workspaces no answer or list that was cached is found any more."""

    workspaces: int


class MyOrganizationsOut(BaseModel):
    items: list[OrganizationOut]
    next_cursor: None = None


class WorkspacesOut(BaseModel):
    items: list[WorkspaceOut]
    next_cursor: None = None


class PeopleOut(BaseModel):
    items: list[PersonOut]
    next_cursor: None = None


class InvitationsOut(BaseModel):
    items: list[InvitationOut]
    next_cursor: None = None


class ReceivedPageOut(BaseModel):
    items: list[ReceivedOut]
    next_cursor: None = None


class KeyPage(BaseModel):
    items: list[KeyOut]
    next_cursor: str | None
