"""Tenants with a row in every table, made by the product where it has a way to make it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import httpx
import psycopg

from minirag.runtime import db
from minirag.tenancy import audit, billing, invitations, quotas, tokens, users
from minirag.tenancy.identity import Origin
from tests import tenants
from tests.tenants import TestTenant

_TEXT: Final = "The lighthouse of Alexandria stood on the island of Pharos. It was about one hundred metres high."

# What ingestion leaves behind only between its steps, or after much has been removed.
_STAGED_VECTOR: Final = """
INSERT INTO staged_vectors (workspace_id, source_id, model, hash, embedding)
SELECT workspace_id, source_id, model, sha256('staged'), embedding FROM chunk_vectors WHERE workspace_id = %s LIMIT 1
"""
_TOMBSTONE: Final = """
INSERT INTO lexical_tombstones (workspace_id, segment_id, start, size, length)
SELECT workspace_id, segment_id, start, size, length FROM lexical_runs WHERE workspace_id = %s LIMIT 1
"""


def fill(
    tenant: TestTenant, api: httpx.Client, deliver: Callable[[], object], superuser: psycopg.Connection[Any], url: str
) -> None:
    """Give the tenant a row in every table; `url` is the database as the superuser."""
    origin = Origin("req_isolation")
    everywhere = db.Tenant(tenant.workspace_id, tenant.organization_id, tenant.user_id)
    name = f"Pharos {tenant.workspace_id}"
    sent = api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": name, "text": f"{_TEXT} {name}"})
    assert sent.status_code == 202, sent.text
    deliver()
    asked = api.post("/api/v1/ask", headers=tenant.headers, json={"query": "How high was the lighthouse?"}).json()
    assert len(asked["chunks"]) == 1
    rated = f"/api/v1/answers/{asked['answer_id']}/feedback"
    assert api.post(rated, headers=tenant.headers, json={"verdict": "up"}).status_code == 200
    tenants.add_key(url, tenant, scopes=["read"], tied=True)
    with db.transaction(everywhere) as tx:
        quotas.set_limits(tx, tenant.workspace_id, quotas.Limits(cost_limit_usd_a_month=Decimal(1_000_000)))
        invitations.invite(
            tx, tenant.workspace_id, tenant.organization_id,
            email=f"{uuid4()}@example.com", role="reader", organization_role="member", invited_by=tenant.user_id,
        )  # fmt: skip
        session = tokens.new_session(tenant.user_id, email="", role="user", epoch=0, now=datetime.now(UTC))
        users.end_session(tx, session)
        users.use_login_state(tx, uuid4().bytes)
        email = f"{tenant.user_id}@example.com"
        users.sign_in(tx, issuer="https://id.test", subject=email, email=email, name="", may_join=False)
        billing.record_event(
            tx, event_id=f"evt_{uuid4()}", event_type="test", customer_id=tenant.customer_id, payload={},
            request_id=origin.request_id, ip=None,
        )  # fmt: skip
        whose = (tenant.organization_id, tenant.workspace_id, tenant.user_id, None)
        audit.append(tx, *whose, "test.isolation", "everything", origin, {})
        audit.seal(tx, most=1000)
    superuser.execute(_STAGED_VECTOR, (tenant.workspace_id,))
    superuser.execute(_TOMBSTONE, (tenant.workspace_id,))


def ids(tenant: TestTenant) -> list[str]:
    """What a row may say it is this tenant's by."""
    return [str(tenant.workspace_id), str(tenant.organization_id), str(tenant.user_id)]
