"""What a workspace uses and may use, and how its organization pays."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from functions.admin.app import app
from functions.admin.bodies import BillingOut, HeldOut, LimitsBody, UsageOut, UsedOut
from minirag.runtime import db, settings
from minirag.runtime.errors import NotFound
from minirag.tenancy import billing, quotas
from minirag.tenancy.access import needs
from minirag.tenancy.identity import Caller, Member
from minirag.tenancy.roles import ORGANIZATION_ADMIN, READ


@app.get("/api/v1/usage", response_model=UsageOut)
async def get_usage(caller: Annotated[Caller, needs(READ)]) -> UsageOut:
    """What the workspace used today and this month, what it holds, and its limits."""
    with db.transaction(caller.tenant) as tx:
        used = quotas.usage(tx, caller.workspace_id)
        held = quotas.totals(tx, caller.workspace_id)
        limits = quotas.limits(tx, caller.workspace_id)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return UsageOut(
        workspace_id=caller.workspace_id,
        day=midnight.date().isoformat(),
        used=UsedOut.model_validate(used),
        held=HeldOut.model_validate(held),
        limits=LimitsBody.model_validate(limits),
        questions_a_minute=settings.current().ask_per_minute,
        day_ends_at=midnight + timedelta(days=1),
        month_ends_at=(midnight.replace(day=1) + timedelta(days=32)).replace(day=1),
    )


@app.get("/api/v1/billing", response_model=BillingOut)
async def get_billing(caller: Annotated[Member, needs(ORGANIZATION_ADMIN)]) -> BillingOut:
    """The organization's plan and whether it is paid."""
    with db.transaction(caller.tenant) as tx:
        found = billing.find(tx, caller.organization_id)
    if found is None:
        raise NotFound("There is no such organization.")
    return BillingOut.model_validate(found)
