"""The one route table: (method, path, function, access).

API Gateway, the gateway of one machine, the docs and the tests of who may do what are built from it; a test holds it
equal to the FastAPI apps, both ways. Data only, so that it can be read without the CDK.
"""

from typing import Final, NamedTuple

from minirag.tenancy.roles import (
    ACCOUNT,
    IDENTIFIED,
    OPEN,
    ORGANIZATION_ADMIN,
    PLATFORM,
    READ,
    WORKSPACE_ADMIN,
    WRITE,
    Access,
)


class Route(NamedTuple):
    """One HTTP operation, the function that serves it, and what it asks of its caller."""

    method: str
    path: str
    function: str
    access: Access


ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/api/v1/ask", "ask", READ),
    Route("POST", "/api/v1/search", "ask", READ),
    Route("GET", "/api/v1/answers", "ask", READ),
    Route("GET", "/api/v1/answers/{answer_id}", "ask", READ),
    Route("POST", "/api/v1/answers/{answer_id}/feedback", "ask", READ),
    Route("POST", "/api/v1/answers/{answer_id}/replay", "ask", READ),
    Route("POST", "/api/v1/ingest/files", "ingest", WRITE),
    Route("POST", "/api/v1/ingest/text", "ingest", WRITE),
    Route("POST", "/api/v1/ingest/uploads", "ingest", WRITE),
    Route("POST", "/api/v1/ingest/urls", "ingest", WRITE),
    Route("POST", "/api/v1/dedupe", "ingest", WRITE),
    Route("POST", "/api/v1/rebuild", "ingest", WRITE),
    Route("GET", "/api/v1/jobs", "ingest", READ),
    Route("GET", "/api/v1/jobs/{job_id}", "ingest", READ),
    Route("POST", "/api/v1/jobs/{job_id}/retry", "ingest", WRITE),
    Route("GET", "/api/v1/sources", "ingest", READ),
    Route("GET", "/api/v1/sources/{source_id}", "ingest", READ),
    Route("GET", "/api/v1/sources/{source_id}/text", "ingest", READ),
    Route("GET", "/api/v1/sources/{source_id}/chunks", "ingest", READ),
    Route("DELETE", "/api/v1/sources/{source_id}", "ingest", WRITE),
    Route("GET", "/auth/google", "admin", OPEN),
    Route("GET", "/auth/callback", "admin", OPEN),
    Route("POST", "/auth/callback", "admin", OPEN),
    Route("POST", "/auth/logout", "admin", IDENTIFIED),
    Route("GET", "/auth/me", "admin", IDENTIFIED),
    Route("GET", "/api/v1/organizations", "admin", IDENTIFIED),
    Route("POST", "/api/v1/organizations", "admin", ACCOUNT),
    Route("PATCH", "/api/v1/organizations/{organization_id}", "admin", ORGANIZATION_ADMIN),
    Route("GET", "/api/v1/organizations/{organization_id}/members", "admin", ORGANIZATION_ADMIN),
    Route("PATCH", "/api/v1/organizations/{organization_id}/members/{user_id}", "admin", ORGANIZATION_ADMIN),
    Route("DELETE", "/api/v1/organizations/{organization_id}/members/{user_id}", "admin", ORGANIZATION_ADMIN),
    Route("GET", "/api/v1/workspaces", "admin", IDENTIFIED),
    Route("POST", "/api/v1/workspaces", "admin", ORGANIZATION_ADMIN),
    Route("GET", "/api/v1/workspaces/{workspace_id}", "admin", READ),
    Route("PATCH", "/api/v1/workspaces/{workspace_id}", "admin", WORKSPACE_ADMIN),
    Route("DELETE", "/api/v1/workspaces/{workspace_id}", "admin", WORKSPACE_ADMIN),
    Route("POST", "/api/v1/workspaces/{workspace_id}/cache/clear", "admin", WORKSPACE_ADMIN),
    Route("GET", "/api/v1/workspaces/{workspace_id}/members", "admin", READ),
    Route("POST", "/api/v1/workspaces/{workspace_id}/members", "admin", WORKSPACE_ADMIN),
    Route("PATCH", "/api/v1/workspaces/{workspace_id}/members/{user_id}", "admin", WORKSPACE_ADMIN),
    Route("DELETE", "/api/v1/workspaces/{workspace_id}/members/{user_id}", "admin", WORKSPACE_ADMIN),
    Route("GET", "/api/v1/workspaces/{workspace_id}/invitations", "admin", WORKSPACE_ADMIN),
    Route("DELETE", "/api/v1/workspaces/{workspace_id}/invitations/{invitation_id}", "admin", WORKSPACE_ADMIN),
    Route("GET", "/api/v1/invitations", "admin", IDENTIFIED),
    Route("POST", "/api/v1/invitations/{invitation_id}/accept", "admin", ACCOUNT),
    Route("GET", "/api/v1/api-keys", "admin", WORKSPACE_ADMIN),
    Route("POST", "/api/v1/api-keys", "admin", WORKSPACE_ADMIN),
    Route("DELETE", "/api/v1/api-keys/{key_id}", "admin", WORKSPACE_ADMIN),
    Route("POST", "/api/v1/api-keys/{key_id}/rotate", "admin", WORKSPACE_ADMIN),
    Route("GET", "/api/v1/usage", "admin", READ),
    Route("GET", "/api/v1/billing", "admin", ORGANIZATION_ADMIN),
    Route("GET", "/api/v1/admin/users", "admin", PLATFORM),
    Route("POST", "/api/v1/admin/users", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/users/{user_id}", "admin", PLATFORM),
    Route("PATCH", "/api/v1/admin/users/{user_id}", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/organizations", "admin", PLATFORM),
    Route("POST", "/api/v1/admin/organizations", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/organizations/{organization_id}", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/workspaces", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/quotas/{workspace_id}", "admin", PLATFORM),
    Route("PUT", "/api/v1/admin/quotas/{workspace_id}", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/api-keys", "admin", PLATFORM),
    Route("DELETE", "/api/v1/admin/api-keys/{key_id}", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/audit", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/audit/export", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/audit/verify", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/stats", "admin", PLATFORM),
    Route("POST", "/api/v1/admin/cache/clear", "admin", PLATFORM),
    Route("GET", "/api/v1/admin/billing/{organization_id}", "admin", PLATFORM),
    Route("PATCH", "/api/v1/admin/billing/{organization_id}", "admin", PLATFORM),
    Route("GET", "/health", "admin", OPEN),
    Route("GET", "/ready", "admin", OPEN),
    Route("GET", "/version", "admin", OPEN),
    Route("GET", "/openapi.json", "admin", OPEN),
)
