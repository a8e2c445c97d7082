"""Exact duplicates are kept once, with all their origins, and none is lost when one of them goes."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg

from tests.functions.ingest.test_ingestion import TEXT, found, job_of, paste, sources
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]


def dedupe(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> dict[str, Any]:
    job_id = api.post("/api/v1/dedupe", headers=tenant.headers).json()["job_id"]
    deliver()
    return job_of(api, tenant, job_id)


def totals(superuser: psycopg.Connection[Any], tenant: TestTenant) -> tuple[int, int, int]:
    row = superuser.execute(
        "SELECT t.chunks, t.bytes, (SELECT count(*) FROM chunks c WHERE c.workspace_id = t.workspace_id)"
        " FROM workspace_totals t WHERE t.workspace_id = %s",
        (tenant.workspace_id,),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def test_exact_duplicates_are_kept_once_and_come_back_when_the_one_they_repeat_goes(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any]
) -> None:
    kept, second, third = (paste(api, tenant)["source_id"] for _ in range(3))
    other = paste(api, tenant, "The temple of Artemis stood at Ephesus.")["source_id"]
    deliver()
    size = 3 * len(TEXT) + len("The temple of Artemis stood at Ephesus.")
    assert totals(superuser, tenant) == (4, size, 4)
    job = dedupe(api, tenant, deliver)
    assert (job["status"], job["notes"]) == ("done", ["2 documents repeated others exactly."])
    origins = {one["id"]: (one["status"], one["chunks"], one["duplicate_of"]) for one in sources(api, tenant)}
    assert origins == {
        kept: ("ready", 1, None),
        second: ("ready", 0, kept),
        third: ("ready", 0, kept),
        other: ("ready", 1, None),
    }
    assert found(api, tenant, "lighthouse").count(TEXT) == 1
    # What was cited of a duplicate can still be checked, and a search says what became of it.
    assert api.get(f"/api/v1/sources/{second}/text", headers=tenant.headers).json()["text"] == TEXT
    body = {"query": "lighthouse", "explain": {"source_id": second}}
    answer = api.post("/api/v1/search", headers=tenant.headers, json=body).json()
    assert answer["explanation"]["outcome"] == "duplicate"
    assert totals(superuser, tenant) == (2, size, 2)
    # A duplicate goes as any document, and so does the one it repeats.
    assert api.delete(f"/api/v1/sources/{third}", headers=tenant.headers).status_code == 204
    assert found(api, tenant, "lighthouse").count(TEXT) == 1
    assert api.delete(f"/api/v1/sources/{kept}", headers=tenant.headers).status_code == 204
    assert TEXT not in found(api, tenant, "lighthouse")
    deliver()
    assert found(api, tenant, "lighthouse").count(TEXT) == 1
    assert {one["id"]: one["duplicate_of"] for one in sources(api, tenant)} == {second: None, other: None}
    assert totals(superuser, tenant) == (2, size - 2 * len(TEXT), 2)


def test_a_duplicate_is_a_document_of_its_own_again_when_either_changes(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any]
) -> None:
    kept, second = (paste(api, tenant)["source_id"] for _ in range(2))
    deliver()
    dedupe(api, tenant, deliver)
    paste(api, tenant, "The colossus of Rhodes was a statue.", source_id=kept)
    deliver()
    deliver()
    assert {one["id"]: (one["chunks"], one["duplicate_of"]) for one in sources(api, tenant)} == {
        kept: (1, None),
        second: (1, None),
    }
    assert found(api, tenant, "lighthouse").count(TEXT) == 1
    paste(api, tenant, source_id=kept)
    deliver()
    dedupe(api, tenant, deliver)
    paste(api, tenant, "The mausoleum stood at Halicarnassus.", source_id=second)
    deliver()
    assert found(api, tenant, "mausoleum")[0] == "The mausoleum stood at Halicarnassus."
    assert totals(superuser, tenant)[0] == totals(superuser, tenant)[2] == 2


def test_duplicates_of_different_tenants_are_strangers(
    api: httpx.Client, tenant: TestTenant, make_tenant: Callable[..., TestTenant], deliver: Deliver
) -> None:
    other = make_tenant()
    paste(api, tenant)
    paste(api, other)
    deliver()
    assert dedupe(api, tenant, deliver)["notes"] == ["0 documents repeated others exactly."]
    assert found(api, other, "lighthouse") == [TEXT]
