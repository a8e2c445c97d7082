"""A replay tells what would be different now: passages that moved, are new or gone, and whether the prompt is one."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.functions.ingest.test_ingestion import paste, sources
from tests.tenants import TestTenant, add_member

Deliver = Callable[[], list[dict[str, Any]]]
TEXT = "The lighthouse of Alexandria stood on the island of Pharos. It was built by Sostratus of Cnidus."
QUESTION = "Who built the lighthouse of Alexandria?"


@pytest.fixture
def document(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> str:
    paste(api, tenant, TEXT)
    deliver()
    return str(sources(api, tenant)[0]["id"])


def ask(api: httpx.Client, tenant: TestTenant, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.post("/api/v1/ask", headers=tenant.headers, json={"query": QUESTION, **more}).json()
    return answer


def replay(api: httpx.Client, tenant: TestTenant, answer: dict[str, Any]) -> dict[str, Any]:
    response = api.post(f"/api/v1/answers/{answer['answer_id']}/replay", headers=tenant.headers)
    assert response.status_code == 200, response.text
    replayed: dict[str, Any] = response.json()
    return replayed


def changes(replayed: dict[str, Any]) -> list[str]:
    return [passage["change"] for passage in replayed["passages"]]


@pytest.mark.usefixtures("document")
def test_while_nothing_changes_a_replay_is_the_same(api: httpx.Client, tenant: TestTenant) -> None:
    replayed = replay(api, tenant, ask(api, tenant))
    assert (replayed["same_prompt"], changes(replayed)) == (True, ["same"])
    assert replayed["then"] == {**replayed["now"], "answerability": pytest.approx(replayed["now"]["answerability"])}
    [passage] = replayed["passages"]
    assert passage["then"] == passage["now"]


def test_a_replay_tells_new_passages_from_moved_and_gone_ones(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, document: str
) -> None:
    answer = ask(api, tenant, k=1)
    paste(api, tenant, "Who built the lighthouse of Alexandria? Sostratus built the lighthouse of Alexandria.")
    deliver()
    outranked = replay(api, tenant, answer)
    assert (outranked["same_prompt"], sorted(changes(outranked))) == (False, ["new", "outranked"])
    assert outranked["now"]["generation"] > outranked["then"]["generation"]
    api.delete(f"/api/v1/sources/{document}", headers=tenant.headers)
    gone = replay(api, tenant, answer)
    assert sorted(changes(gone)) == ["gone", "new"]
    assert [one["now"] is None for one in gone["passages"]] == [True, False]


def test_a_passage_that_only_stands_elsewhere_has_moved(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, document: str
) -> None:
    answer = ask(api, tenant)
    paste(api, tenant, "Who built the lighthouse of Alexandria? Sostratus built the lighthouse of Alexandria.")
    deliver()
    replayed = replay(api, tenant, answer)
    moved = next(one for one in replayed["passages"] if one["source_id"] == document)
    assert (moved["change"], moved["then"]["rank"], moved["now"]["rank"]) == ("moved", 1, 2)


@pytest.mark.usefixtures("document")
def test_filters_count_in_a_replay_as_they_did(api: httpx.Client, tenant: TestTenant, deliver: Deliver) -> None:
    filters = {
        "types": ["text"],
        "created_after": "2020-01-01T00:00:00Z",
        "source_ids": [sources(api, tenant)[0]["id"]],
    }
    answer = ask(api, tenant, filters=filters)
    paste(api, tenant, "Who built the lighthouse of Alexandria? Sostratus built the lighthouse of Alexandria.")
    deliver()
    assert sources(api, tenant)[0]["id"] not in filters["source_ids"]
    assert [one["source_id"] for one in replay(api, tenant, answer)["passages"]] == filters["source_ids"]


@pytest.mark.usefixtures("document")
def test_nobody_replays_what_they_may_not_see(
    api: httpx.Client, tenant: TestTenant, postgres: Any, make_tenant: Callable[..., TestTenant]
) -> None:
    path = f"/api/v1/answers/{ask(api, tenant)['answer_id']}/replay"
    reader = {"X-API-Key": add_member(postgres.superuser_url, tenant, role="reader", scopes=("read",))}
    assert api.post(path, headers=reader).status_code == 404
    assert api.post(path, headers=make_tenant().headers).status_code == 404
    assert api.post(path).status_code == 401
