"""Counts that hold: deliveries in disorder, poison among the good, limits, and what is deleted is gone."""

import json
import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from local.moto import BUCKET, JOBS, Moto
from minirag.runtime import batch
from tests.functions.ingest.test_ingestion import TEXT, found, job_of, paste, route, s3_event, sources, upload
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]
Count = Callable[[int, int], int]


def totals(superuser: psycopg.Connection[Any], tenant: TestTenant) -> tuple[int, int, int, int]:
    """Counted and real chunks, counted and real bytes."""
    row = superuser.execute(
        """SELECT t.chunks, (SELECT count(*) FROM chunks c WHERE c.workspace_id = t.workspace_id),
                  t.bytes, (SELECT coalesce(sum(s.bytes), 0) FROM sources s
                            WHERE s.workspace_id = t.workspace_id AND s.deleted_at IS NULL AND s.chunks > 0)
           FROM workspace_totals t WHERE t.workspace_id = %s""",
        (tenant.workspace_id,),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2]), int(row[3])


def test_events_thrice_and_shuffled_end_in_the_state_of_the_highest_sequencer(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Deliver,
    s3: Any,
    superuser: psycopg.Connection[Any],
    count: Count,
) -> None:
    rng, paths = random.Random(4), count(3, 40)
    events: list[dict[str, Any]] = []
    final: dict[str, str | None] = {}
    for path in range(paths):
        key = f"drop/{tenant.workspace_id}/{path}.txt"
        for version in range(4):
            removed = version == 3 and path % 3 == 0
            name = "ObjectRemoved:Delete" if removed else "ObjectCreated:Put"
            events += [s3_event(name, key, f"00{version}A")] * 3
            final[key] = None if removed else f"Note {path} in its version {version}."
        # All of them find the newest content; the storage of the tests tells of it by an event of its own, too.
        if (content := final[key]) is not None:
            s3.put_object(Bucket=BUCKET, Key=key, Body=content.encode())
    rng.shuffle(events)
    for event in events:
        route(event)
    deliver()
    deliver()
    contents = {one["uri"].removeprefix("drop:"): one["status"] for one in sources(api, tenant)}
    assert contents == {key.rsplit("/", 1)[1]: "ready" for key, content in final.items() if content is not None}
    shown = set(found(api, tenant, "note version"))
    assert {content for content in final.values() if content is not None} >= shown
    counted, real, size, real_size = totals(superuser, tenant)
    assert (counted, size) == (real, real_size) == (len(contents), real_size)
    print(f"{len(events)} events of {paths} paths: the last version of each, once")


def test_a_poison_message_harms_no_other_and_ends_where_poison_goes(
    api: httpx.Client, tenant: TestTenant, sqs: Any, moto: Moto, monkeypatch: pytest.MonkeyPatch, deliver: Deliver
) -> None:
    from functions.ingest import index, worker

    monkeypatch.setattr(batch, "_RETRY_SECONDS", 0)
    good = [paste(api, tenant, f"Note {number}.")["id"] for number in range(9)]
    bad = paste(api, tenant, "Poison.")["id"]
    whole = index.index

    def poisoned(workspace_id: Any, job: Any, **more: Any) -> Any:
        if str(job.id) == bad:
            raise RuntimeError("poison")
        return whole(workspace_id, job, **more)

    monkeypatch.setattr(worker, "index", poisoned)
    for _ in range(5):
        deliver()
    assert [job_of(api, tenant, one)["status"] for one in good] == ["done"] * 9
    assert [job_of(api, tenant, one)["attempts"] for one in good] == [1] * 9
    failed = job_of(api, tenant, bad)
    assert (failed["status"], failed["error"]["code"], failed["attempts"]) == ("failed", "internal", 3)
    dead = sqs.receive_message(QueueUrl=moto.queue_url(f"{JOBS}-dead"), MaxNumberOfMessages=10).get("Messages", [])
    assert bad in {json.loads(message["Body"])["job_id"] for message in dead}


def test_what_is_deleted_is_gone_everywhere(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any], s3: Any
) -> None:
    kept = paste(api, tenant, "The temple of Artemis stood at Ephesus.")["source_id"]
    gone = [upload(api, tenant, f"{n}.txt", f"{TEXT} {n}".encode()).json()["jobs"][0]["source_id"] for n in range(3)]
    deliver()
    for source_id in gone:
        assert api.delete(f"/api/v1/sources/{source_id}", headers=tenant.headers).status_code == 204
    for table in ("chunks", "chunk_vectors", "source_texts", "lexical_runs", "staged_vectors"):
        row = superuser.execute(
            f"SELECT count(*) FROM {table} WHERE workspace_id = %s AND source_id = ANY(%s)".encode(),
            (tenant.workspace_id, gone),
        ).fetchone()
        assert row == (0,), table
    objects = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"uploads/{tenant.workspace_id}/").get("Contents", [])
    assert [one["Key"].split("/")[2] for one in objects] == [kept]
    assert not any(TEXT in one for one in found(api, tenant, "lighthouse Pharos Alexandria"))
    assert totals(superuser, tenant)[0] == 1


def test_of_a_document_that_is_replaced_one_object_is_kept(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, s3: Any
) -> None:
    source_id = paste(api, tenant)["source_id"]
    deliver()
    for version in range(3):
        last = paste(api, tenant, f"{TEXT} {version // 2}", source_id=source_id)
        deliver()
    objects = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"uploads/{tenant.workspace_id}/").get("Contents", [])
    assert [one["Key"].rsplit("/", 1)[1] for one in objects] == [last["id"]]


def test_a_workspace_holds_no_more_than_it_may(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any], s3: Any
) -> None:
    superuser.execute(
        "INSERT INTO workspace_quota_settings (workspace_id, chunk_limit) VALUES (%s, 1)", (tenant.workspace_id,)
    )
    first = paste(api, tenant)
    second = paste(api, tenant, "The temple of Artemis stood at Ephesus.")
    deliver()
    assert {job_of(api, tenant, one["id"])["status"] for one in (first, second)} == {"done", "failed"}
    assert {(job_of(api, tenant, one["id"])["error"] or {}).get("code") for one in (first, second)} == {
        None,
        "chunk_limit",
    }
    full = api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": "t", "text": "more"})
    assert (full.status_code, full.json()["type"]) == (429, "urn:minirag:problem:chunk_limit")
    s3.put_object(Bucket=BUCKET, Key=f"drop/{tenant.workspace_id}/a.txt", Body=b"more")
    deliver()
    dropped = next(one for one in sources(api, tenant) if one["uri"] == "drop:a.txt")
    assert (dropped["status"], dropped["error"]["code"]) == ("failed", "chunk_limit")
    assert totals(superuser, tenant)[:2] == (1, 1)


def test_who_does_not_pay_adds_nothing_by_the_drop_folder_either(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any], s3: Any
) -> None:
    superuser.execute("UPDATE organizations SET billing_status = 'canceled' WHERE id = %s", (tenant.organization_id,))
    s3.put_object(Bucket=BUCKET, Key=f"drop/{tenant.workspace_id}/a.txt", Body=b"more")
    deliver()
    (source,) = sources(api, tenant)
    assert (source["status"], source["error"]["code"]) == ("failed", "billing_inactive")


def test_totals_are_exact_whatever_is_added_replaced_and_deleted(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, superuser: psycopg.Connection[Any], count: Count
) -> None:
    rng = random.Random(5)
    ids: list[str] = []
    for _ in range(count(25, 300)):
        step = rng.random()
        if step < 0.2 and ids:
            api.delete(f"/api/v1/sources/{ids.pop(rng.randrange(len(ids)))}", headers=tenant.headers)
        elif step < 0.5 and ids:
            paste(api, tenant, f"{uuid4()} " * rng.randrange(1, 60), source_id=rng.choice(ids))
        else:
            ids.append(paste(api, tenant, f"{uuid4()} " * rng.randrange(1, 60))["source_id"])
        if rng.random() < 0.5:
            deliver()
    deliver()
    counted, real, size, real_size = totals(superuser, tenant)
    assert (counted, size) == (real, real_size)
