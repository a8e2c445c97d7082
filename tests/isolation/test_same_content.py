"""The same document in two tenants is two documents: neither tells of, changes or shares anything with the other."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg

from tests.functions.ingest.test_ingestion import paste, sources
from tests.tenants import TestTenant

TEXT = "The lighthouse of Alexandria stood on the island of Pharos. Sostratus of Cnidus built it."
QUESTION = {"query": "Who built the lighthouse?"}


def test_the_same_document_in_two_tenants_is_two_documents(
    api: httpx.Client,
    make_tenant: Callable[..., TestTenant],
    deliver: Callable[[], list[dict[str, Any]]],
    superuser: psycopg.Connection[Any],
) -> None:
    one, other = make_tenant(), make_tenant()
    for tenant in (one, other):
        paste(api, tenant, TEXT)
    deliver()
    hashes = superuser.execute(
        "SELECT workspace_id, encode(content_hash, 'hex') FROM chunks WHERE workspace_id = ANY(%s)",
        ([one.workspace_id, other.workspace_id],),
    ).fetchall()
    assert len(hashes) == 2
    assert len({content for _, content in hashes}) == 1, "the same content has the same hash"
    (mine,), (theirs,) = sources(api, one), sources(api, other)
    assert mine["id"] != theirs["id"]
    # Each sees its own, and is not told that there is another one.
    for tenant, own in ((one, mine), (other, theirs)):
        found = api.post("/api/v1/search", headers=tenant.headers, json=QUESTION).json()["chunks"]
        assert [chunk["source_id"] for chunk in found] == [own["id"]]
        assert api.post("/api/v1/dedupe", headers=tenant.headers).status_code == 202
    deliver()
    assert [source["duplicate_of"] for tenant in (one, other) for source in sources(api, tenant)] == [None, None]
    assert api.delete(f"/api/v1/sources/{mine['id']}", headers=one.headers).status_code == 204
    assert api.post("/api/v1/search", headers=one.headers, json=QUESTION).json()["count"] == 0
    assert api.post("/api/v1/search", headers=other.headers, json=QUESTION).json()["count"] == 1
    assert api.get("/api/v1/usage", headers=one.headers).json()["held"]["chunks"] == 0
    assert api.get("/api/v1/usage", headers=other.headers).json()["held"]["chunks"] == 1
