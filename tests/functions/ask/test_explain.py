"""Why a document did or did not come up."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.tenants import TestTenant

TEXTS = {
    "Ducks": "Ducks swim in ponds and dive for food.",
    "Geese": "Geese swim in lakes and fly south before winter.",
    "Swans": "Swans swim on rivers, in pairs for life.",
    "Boats": "Boats are built of wood or steel.",
    "Taxes": "The annual return must be filed by the end of May.",
}


@pytest.fixture
def ids(api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any]) -> dict[str, str]:
    """Documents by title."""
    for title, text in TEXTS.items():
        body = {"title": title, "text": text, "tags": ["birds"] if title in {"Ducks", "Geese", "Swans"} else []}
        api.post("/api/v1/ingest/text", headers=tenant.headers, json=body)
    api.post("/api/v1/ingest/files", headers=tenant.headers, files={"files": ("Broken.pdf", b"%PDF-1.7 nothing")})
    deliver()
    listed = api.get("/api/v1/sources", headers=tenant.headers).json()["items"]
    return {one["name"]: one["id"] for one in listed}


def explain(api: httpx.Client, tenant: TestTenant, source_id: str, **more: Any) -> dict[str, Any]:
    body = {"query": "Where do ducks swim?", "k": 2, "explain": {"source_id": source_id}, **more}
    response = api.post("/api/v1/search", headers=tenant.headers, json=body)
    assert response.status_code == 200, response.text
    explanation: dict[str, Any] = response.json()["explanation"]
    assert explanation["source_id"] == source_id
    return explanation


def test_what_was_returned_tells_its_ranks_in_both_lists(
    api: httpx.Client, tenant: TestTenant, ids: dict[str, str]
) -> None:
    told = explain(api, tenant, ids["Ducks"])
    assert told["outcome"] == "returned"
    assert told["keyword"]["rank"] == told["vector"]["rank"] == told["fused"]["rank"] == 1
    assert not told["vector"]["estimated"]
    assert told["unmet_filters"] == []


def test_what_scored_less_than_k_others_is_told_so_with_its_rank(
    api: httpx.Client, tenant: TestTenant, ids: dict[str, str]
) -> None:
    told = explain(api, tenant, ids["Taxes"])
    assert told["outcome"] == "below_k"
    assert told["keyword"] is None  # none of its words
    assert told["vector"]["rank"] == told["fused"]["rank"] == 5
    assert told["fused"]["score"] == pytest.approx(0.45 * max(0.0, told["vector"]["score"]), abs=1e-5)


def test_what_is_beyond_the_candidates_of_both_lists_is_told_so(
    api: httpx.Client, tenant: TestTenant, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.ask.retrieve.CANDIDATES", 2)
    told = explain(api, tenant, ids["Taxes"])
    assert told["outcome"] == "beyond_candidates"
    assert told["fused"] is None
    assert told["vector"]["rank"] == 5
    assert told["vector"]["estimated"]


def test_a_filter_that_keeps_a_document_out_is_named_and_its_ranks_without_it_are_told(
    api: httpx.Client, tenant: TestTenant, ids: dict[str, str]
) -> None:
    filters = {"tags": ["none", "other"], "types": ["pdf"], "created_after": "2020-01-01T00:00:00Z"}
    told = explain(api, tenant, ids["Ducks"], filters=filters)
    assert told["outcome"] == "filtered"
    assert told["unmet_filters"] == ["types", "tags"]
    assert told["keyword"]["rank"] == told["vector"]["rank"] == 1
    assert told["fused"] is None
    others: list[dict[str, Any]] = [
        {"source_ids": [ids["Geese"]]},
        {"language": "es"},
        {"created_after": "2100-01-01T00:00:00Z"},
        {"created_before": "2020-01-01T00:00:00Z"},
    ]
    for one in others:
        assert explain(api, tenant, ids["Ducks"], filters=one)["unmet_filters"] == list(one)


def test_the_ranks_within_filters_are_those_among_what_they_let_through(
    api: httpx.Client, tenant: TestTenant, ids: dict[str, str]
) -> None:
    told = explain(api, tenant, ids["Geese"], filters={"source_ids": [ids["Geese"], ids["Taxes"]]})
    assert told["outcome"] == "returned"
    assert told["keyword"]["rank"] == told["vector"]["rank"] == told["fused"]["rank"] == 1


def test_a_document_that_could_not_be_read_is_told_to_have_no_passages(
    api: httpx.Client, tenant: TestTenant, ids: dict[str, str]
) -> None:
    told = explain(api, tenant, ids["Broken.pdf"])
    assert told["outcome"] == "not_indexed"
    assert told["keyword"] is told["vector"] is told["fused"] is None


def test_without_any_vector_a_document_without_the_words_is_told_not_to_match(
    api: httpx.Client, tenant: TestTenant, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.ask.compose.choose_embedder", lambda *_: None)
    told = explain(api, tenant, ids["Taxes"])
    assert told["outcome"] == "no_match"
    assert told["vector"] is None


@pytest.mark.usefixtures("ids")
def test_another_tenants_document_cannot_be_told_from_one_that_is_not_there(
    api: httpx.Client, tenant: TestTenant, make_tenant: Callable[..., TestTenant], ids: dict[str, str]
) -> None:
    answers = []
    for headers, source_id in ((make_tenant().headers, ids["Ducks"]), (tenant.headers, str(uuid4()))):
        body = {"query": "ducks", "explain": {"source_id": source_id}}
        response = api.post("/api/v1/search", headers=headers, json=body)
        answers.append((response.status_code, response.json()["detail"]))
    assert answers[0] == answers[1] == (404, "There is no such source.")


def test_only_search_explains(api: httpx.Client, tenant: TestTenant) -> None:
    body = {"query": "ducks", "explain": {"source_id": str(uuid4())}}
    response = api.post("/api/v1/ask", headers=tenant.headers, json=body)
    assert response.status_code == 422
    assert "explain" in response.text
