"""The one route table: (method, path, function).

API Gateway, the gateway of one machine and the docs are built from it; a test holds it equal to the FastAPI
apps, both ways. Data only, so that it can be read without the CDK.
"""

from typing import Final, NamedTuple


class Route(NamedTuple):
    """One HTTP operation and the function that serves it."""

    method: str
    path: str
    function: str


ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/api/v1/ask", "ask"),
    Route("POST", "/api/v1/search", "ask"),
    Route("POST", "/api/v1/ingest/files", "ingest"),
    Route("POST", "/api/v1/ingest/text", "ingest"),
    Route("POST", "/api/v1/ingest/uploads", "ingest"),
    Route("POST", "/api/v1/ingest/urls", "ingest"),
    Route("POST", "/api/v1/dedupe", "ingest"),
    Route("POST", "/api/v1/rebuild", "ingest"),
    Route("GET", "/api/v1/jobs", "ingest"),
    Route("GET", "/api/v1/jobs/{job_id}", "ingest"),
    Route("POST", "/api/v1/jobs/{job_id}/retry", "ingest"),
    Route("GET", "/api/v1/sources", "ingest"),
    Route("GET", "/api/v1/sources/{source_id}", "ingest"),
    Route("GET", "/api/v1/sources/{source_id}/text", "ingest"),
    Route("GET", "/api/v1/sources/{source_id}/chunks", "ingest"),
    Route("DELETE", "/api/v1/sources/{source_id}", "ingest"),
    Route("POST", "/api/v1/workspaces", "admin"),
    Route("POST", "/api/v1/api-keys", "admin"),
    Route("GET", "/health", "admin"),
    Route("GET", "/ready", "admin"),
    Route("GET", "/version", "admin"),
    Route("GET", "/openapi.json", "admin"),
)
