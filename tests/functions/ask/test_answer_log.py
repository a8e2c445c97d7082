"""The answers that were given belong to who asked: they and admins of the workspace see them, nobody else does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from functions.ask.prompt import VERSION
from functions.ingest import sweep
from local.postgres import Postgres
from minirag.knowledge import answers
from minirag.runtime import db, fragments
from tests.functions.ingest.test_ingestion import paste, sources
from tests.layers.tenancy.test_quotas import WAITING
from tests.tenants import TestTenant, add_key, add_member

Part = TypeVar("Part", answers.Asked, answers.Made)

Deliver = Callable[[], list[dict[str, Any]]]
TEXT = "The lighthouse of Alexandria stood on the island of Pharos. It was built by Sostratus of Cnidus."
QUESTION = "Who built the lighthouse of Alexandria?"


@pytest.fixture
def join(postgres: Postgres, tenant: TestTenant) -> Callable[[str], dict[str, str]]:
    """Take somebody else into the tenant's workspace, with this role; returns how they call."""
    scopes = ("read", "write", "admin")
    return lambda role: {"X-API-Key": add_member(postgres.superuser_url, tenant, role=role, scopes=scopes)}


@pytest.fixture
def document(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> str:
    paste(api, tenant, TEXT)
    deliver()
    return str(sources(api, tenant)[0]["id"])


def ask(api: httpx.Client, headers: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = api.post("/api/v1/ask", headers=headers, json={"query": QUESTION}).json()
    return answer


def listed(api: httpx.Client, headers: dict[str, str]) -> list[str]:
    return [one["id"] for one in api.get("/api/v1/answers", headers=headers).json()["items"]]


@pytest.mark.usefixtures("document")
def test_answers_and_feedback_are_seen_by_who_asked_and_by_admins_only(
    api: httpx.Client, tenant: TestTenant, join: Callable[[str], dict[str, str]], postgres: Postgres
) -> None:
    reader, editor, admin = join("reader"), join("editor"), join("admin")
    mine, theirs = ask(api, reader)["answer_id"], ask(api, editor)["answer_id"]
    assert listed(api, reader) == [mine]
    assert listed(api, editor) == [theirs]
    assert listed(api, admin) == listed(api, tenant.headers) == [theirs, mine]
    narrow = {"X-API-Key": add_key(postgres.superuser_url, tenant, scopes=("read",))}
    assert listed(api, narrow) == [], "a key that may read alone shows nobody else's"
    rating = {"verdict": "down", "comment": "too short"}
    for caller, status in ((reader, 200), (editor, 404), (admin, 200)):
        assert api.get(f"/api/v1/answers/{mine}", headers=caller).status_code == status
        rated = api.post(f"/api/v1/answers/{mine}/feedback", headers=caller, json=rating)
        assert rated.status_code == status
    # The reader sees their own word, the admin both.
    assert len(api.get(f"/api/v1/answers/{mine}", headers=reader).json()["feedback"]) == 1
    assert len(api.get(f"/api/v1/answers/{mine}", headers=admin).json()["feedback"]) == 2


@pytest.mark.usefixtures("document")
def test_an_answer_is_kept_with_what_it_rests_on(api: httpx.Client, tenant: TestTenant) -> None:
    given = ask(api, tenant.headers)
    kept = api.get(f"/api/v1/answers/{given['answer_id']}", headers=tenant.headers).json()
    assert (kept["question"], kept["answer"], kept["outcome"]) == (QUESTION, given["answer"], "answered")
    assert [one["chunk_id"] for one in kept["passages"]] == [one["id"] for one in given["chunks"]]
    assert [one["start"] for one in kept["citations"]] == [one["start"] for one in given["citations"]]
    assert UUID(kept["user_id"]) == tenant.user_id
    assert (kept["cached"], kept["prompt_version"], len(kept["prompt_hash"])) == ("miss", VERSION, 64)
    assert kept["answerability"] == pytest.approx(given["answerability"], abs=1e-4)
    assert set(kept["timings"]) == {"gather", "complete", "verify"}
    assert kept["prices"] == given["usage"]["prices"]
    up = api.post(f"/api/v1/answers/{given['answer_id']}/feedback", headers=tenant.headers, json={"verdict": "up"})
    assert up.json()["verdict"] == "up"
    again = {"verdict": "down", "comment": "on reflection"}
    api.post(f"/api/v1/answers/{given['answer_id']}/feedback", headers=tenant.headers, json=again)
    feedback = api.get(f"/api/v1/answers/{given['answer_id']}", headers=tenant.headers).json()["feedback"]
    assert [(one["verdict"], one["comment"]) for one in feedback] == [("down", "on reflection")]


def test_what_was_answered_from_a_deleted_document_is_gone_with_it(
    api: httpx.Client, tenant: TestTenant, document: str, join: Callable[[str], dict[str, str]]
) -> None:
    editor = join("editor")
    given = ask(api, tenant.headers)
    assert "Sostratus" in given["answer"]
    # Deleted by somebody who does not see the answer.
    assert api.delete(f"/api/v1/sources/{document}", headers=editor).status_code == 204
    kept = api.get(f"/api/v1/answers/{given['answer_id']}", headers=tenant.headers).json()
    assert (kept["answer"], kept["citations"], kept["question"]) == (None, [], QUESTION)


@pytest.mark.usefixtures("document")
def test_what_an_answer_costs_is_counted_and_a_month_that_is_spent_is_said(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute(
        "INSERT INTO workspace_quota_settings (workspace_id, cost_limit_usd_a_month) VALUES (%s, 0.5)",
        (tenant.workspace_id,),
    )
    assert api.post("/api/v1/ask", headers=tenant.headers, json={"query": QUESTION}).status_code == 200
    superuser.execute(
        "UPDATE workspace_usage_counters SET cost_usd = 0.5 WHERE workspace_id = %s AND kind = 'questions'",
        (tenant.workspace_id,),
    )
    refused = api.post("/api/v1/ask", headers=tenant.headers, json={"query": QUESTION})
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:minirag:problem:cost_limit")
    assert 0 < int(refused.headers["Retry-After"]) <= 31 * 24 * 3600
    usage = api.get("/api/v1/usage", headers=tenant.headers).json()
    assert (usage["used"]["requests_today"], usage["limits"]["cost_limit_usd_a_month"]) == (1, 0.5)


@pytest.mark.usefixtures("document")
def test_answers_are_forgotten_after_their_time_and_what_was_thought_of_them_with_them(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any]
) -> None:
    old, new = (ask(api, tenant.headers)["answer_id"] for _ in range(2))
    api.post(f"/api/v1/answers/{old}/feedback", headers=tenant.headers, json={"verdict": "up"})
    superuser.execute("UPDATE answers SET created_at = now() - interval '89 days' WHERE id = %s", (old,))
    sweep.handler({}, None)
    assert listed(api, tenant.headers) == [new, old]
    superuser.execute("UPDATE answers SET created_at = now() - interval '91 days' WHERE id = %s", (old,))
    sweep.handler({}, None)
    assert listed(api, tenant.headers) == [new]
    left = superuser.execute("SELECT count(*) FROM answer_feedback WHERE answer_id = %s", (old,)).fetchone()
    assert left == (0,)


def test_an_answer_that_comes_while_its_document_is_being_deleted_is_kept_without_its_text_and_at_once(
    api: httpx.Client, tenant: TestTenant, document: str, postgres: Postgres
) -> None:
    with psycopg.connect(postgres.superuser_url) as deleting:
        deleting.execute("SELECT FROM sources WHERE id = %s FOR UPDATE", (document,))
        given = ask(api, tenant.headers)
        assert "Sostratus" in given["answer"]
        deleting.execute("UPDATE sources SET deleted_at = now() WHERE id = %s", (document,))
    kept = api.get(f"/api/v1/answers/{given['answer_id']}", headers=tenant.headers).json()
    assert (kept["answer"], kept["citations"], kept["question"]) == (None, [], QUESTION)


def test_a_deletion_waits_for_an_answer_that_is_being_kept_and_then_empties_it(
    tenant: TestTenant, document: str, api: httpx.Client, postgres: Postgres, superuser: psycopg.Connection[Any]
) -> None:
    given = ask(api, tenant.headers)
    mine = db.Tenant(tenant.workspace_id, tenant.organization_id, tenant.user_id)
    with db.transaction(mine) as tx:
        known = answers.find(tx, tenant.workspace_id, UUID(given["answer_id"]))
    assert known is not None
    late = replace(part_of(known, answers.Asked), id=uuid4())
    with ThreadPoolExecutor(1) as other, db.transaction(mine) as tx:
        answers.record(
            tx,
            tenant.workspace_id,
            late,
            fragments.write(part_of(known, answers.Made)),
            api_key_id=None,
            source_ids=[UUID(document)],
        )
        deletion = other.submit(delete, postgres, tenant, document)
        while superuser.execute(WAITING, ("%FOR UPDATE",)).fetchone() != (1,):
            assert not deletion.done()
    with db.transaction(mine) as tx:
        kept = answers.find(tx, tenant.workspace_id, late.id)
    assert deletion.result() == 2
    assert kept is not None
    assert kept.answer is None


def part_of(whole: answers.Logged, part: type[Part]) -> Part:
    return part(**{one.name: getattr(whole, one.name) for one in fields(part)})


def delete(postgres: Postgres, tenant: TestTenant, document: str) -> int:
    """What a deletion does with answers, on a connection of its own; returns how many it emptied."""
    with psycopg.connect(postgres.app_url) as connection:
        connection.execute("SELECT set_config('app.workspace_id', %s, false)", (str(tenant.workspace_id),))
        connection.execute("SELECT FROM sources WHERE id = %s FOR UPDATE", (document,))
        row = connection.execute("SELECT empty_answers(%s)", (document,)).fetchone()
    assert row is not None
    return int(row[0])
