"""What PostgreSQL cannot store is refused at the edge, everywhere."""

from typing import Any

import httpx
import pytest

from tests.tenants import TestTenant

NUL = "a\0b"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/ingest/text", {"title": "t", "text": "t", "tags": [NUL]}),
        ("/api/v1/ask", {"query": "x", "filters": {"tags": [NUL]}}),
        ("/api/v1/search", {"query": "x", "filters": {"types": [NUL]}}),
        ("/api/v1/search", {"query": "x", "filters": {"language": NUL}}),
        ("/api/v1/workspaces", {"name": NUL}),
        ("/api/v1/api-keys", {"scopes": ["read"], "description": NUL}),
    ],
)
def test_a_nul_is_refused_where_it_would_be_stored(
    api: httpx.Client, tenant: TestTenant, path: str, body: dict[str, Any]
) -> None:
    assert api.post(path, headers=tenant.headers, json=body).status_code == 422


def test_a_nul_in_a_question_or_a_text_is_only_a_character(api: httpx.Client, tenant: TestTenant) -> None:
    assert api.post("/api/v1/ask", headers=tenant.headers, json={"query": NUL}).status_code == 200
    body = {"title": NUL, "text": NUL}
    assert api.post("/api/v1/ingest/text", headers=tenant.headers, json=body).status_code == 202


@pytest.mark.parametrize("value", ["-1", "2147483648", "99999999999999999999", "x"])
def test_an_offset_out_of_bounds_is_refused(api: httpx.Client, tenant: TestTenant, value: str) -> None:
    path = "/api/v1/sources/00000000-0000-4000-8000-000000000000/text"
    assert api.get(path, headers=tenant.headers, params={"start": value}).status_code == 422
