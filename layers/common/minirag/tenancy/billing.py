"""Billing: what Stripe tells of an organization."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from minirag.runtime.db import Connection
from minirag.runtime.errors import BillingInactive

IN_GOOD_STANDING: Final = frozenset({"active", "trialing"})

_STATUS: Final = "SELECT billing_status FROM organizations"
_GET: Final = """
SELECT id AS organization_id, plan, billing_status AS status, current_period_end,
       stripe_customer_id IS NOT NULL AS has_customer
FROM organizations WHERE id = %s
"""
_EVENTS: Final = """
SELECT id, event_id, event_type, created_at FROM organization_billing_events
WHERE organization_id = %s ORDER BY created_at DESC, id DESC LIMIT %s
"""
_RECORD: Final = "SELECT record_billing_event(%s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Billing:
    """How an organization pays."""

    organization_id: UUID
    plan: str
    status: str
    current_period_end: datetime | None
    has_customer: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event of Stripe's, without its payload."""

    id: UUID
    event_id: str
    event_type: str
    created_at: datetime


def find(tx: Connection, organization_id: UUID) -> Billing | None:
    """How the organization that the transaction runs for pays."""
    with tx.cursor(row_factory=class_row(Billing)) as cursor:
        return cursor.execute(_GET, (organization_id,)).fetchone()


def events(tx: Connection, organization_id: UUID, *, limit: int) -> list[Event]:
    """The newest of Stripe's events about the organization that the transaction runs for."""
    with tx.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(_EVENTS, (organization_id, limit)).fetchall()


def record_event(
    tx: Connection,
    *,
    event_id: str,
    event_type: str,
    customer_id: str | None,
    payload: Mapping[str, Any],
    request_id: str,
    ip: str | None,
) -> bool:
    """Record a Stripe event once, with the organization of its customer if there is one; True if it was new."""
    values = (event_id, event_type, customer_id, Jsonb(payload), request_id, ip)
    row = tx.execute(_RECORD, values).fetchone()
    return row is not None and bool(row[0])


def check(tx: Connection) -> None:
    """Raise BillingInactive unless the organization this transaction runs for may have documents added."""
    row = tx.execute(_STATUS).fetchone()
    if row is not None:
        check_status(row[0])


def check_status(status: str) -> None:
    """Raise BillingInactive unless an organization of this billing status may have documents added."""
    if status not in IN_GOOD_STANDING:
        raise BillingInactive(
            f"The organization's billing status is '{status}'. Documents can be added again once it is active."
        )
