"""Billing: what Stripe tells of an organization."""

from collections.abc import Mapping
from typing import Any, Final

from psycopg.types.json import Jsonb

from minirag.runtime.db import Connection
from minirag.runtime.errors import BillingInactive

IN_GOOD_STANDING: Final = frozenset({"active", "trialing"})

_STATUS: Final = "SELECT billing_status FROM organizations"
_RECORD: Final = "SELECT record_billing_event(%s, %s, %s, %s)"


def record_event(
    tx: Connection, *, event_id: str, event_type: str, customer_id: str | None, payload: Mapping[str, Any]
) -> bool:
    """Record a Stripe event once, with the organization of its customer if there is one; True if it was new."""
    row = tx.execute(_RECORD, (event_id, event_type, customer_id, Jsonb(payload))).fetchone()
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
