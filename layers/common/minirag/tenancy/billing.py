"""Billing: what Stripe tells of an organization."""

from collections.abc import Mapping
from typing import Any, Final

from psycopg.types.json import Jsonb

from minirag.runtime.db import Connection

_RECORD: Final = "SELECT record_billing_event(%s, %s, %s, %s)"


def record_event(
    tx: Connection, *, event_id: str, event_type: str, customer_id: str | None, payload: Mapping[str, Any]
) -> bool:
    """Record a Stripe event once, with the organization of its customer if there is one; True if it was new."""
    row = tx.execute(_RECORD, (event_id, event_type, customer_id, Jsonb(payload))).fetchone()
    return row is not None and bool(row[0])
