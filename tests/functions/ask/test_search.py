"""What retrieval finds, by words, title and meaning, in any language."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from functions.ingest import maintain
from minirag.runtime import settings
from tests.tenants import TestTenant

TEXTS = {
    "Maintenance manual AB-1234": "The pump must be serviced once a year by trained staff, who keep a record of it.",
    "Notas sobre la lluvia": "La estación de las lluvias dura de junio a julio y los ríos crecen con mucha fuerza.",
    "梅雨について": "梅雨は日本の六月から七月にかけての雨の多い季節である。河川の水位が上がる。",
}


@pytest.fixture
def texts(api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any]) -> None:
    """A workspace of three languages."""
    for title, text in TEXTS.items():
        api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": title, "text": text})
    deliver()


def search(api: httpx.Client, tenant: TestTenant, query: str, **more: Any) -> list[dict[str, Any]]:
    response = api.post("/api/v1/search", headers=tenant.headers, json={"query": query, **more})
    assert response.status_code == 200, response.text
    chunks: list[dict[str, Any]] = response.json()["chunks"]
    return chunks


@pytest.mark.usefixtures("texts")
def test_a_document_is_found_by_the_words_of_its_title_and_text_in_its_own_language(
    api: httpx.Client, tenant: TestTenant
) -> None:
    for query, title in {
        "AB-1234": "Maintenance manual AB-1234",  # in the title alone
        "servicing of pumps": "Maintenance manual AB-1234",  # in other forms of the words
        "¿Cuánto duran las lluvias?": "Notas sobre la lluvia",
        "雨の多い季節はいつですか": "梅雨について",
    }.items():
        found = search(api, tenant, query)
        assert found[0]["source"]["name"] == title
        assert found[0]["ranks"]["keyword"] == 1


@pytest.mark.usefixtures("texts")
def test_the_language_of_a_document_is_told_and_can_be_asked_for(api: httpx.Client, tenant: TestTenant) -> None:
    listed = api.get("/api/v1/sources", headers=tenant.headers).json()["items"]
    assert {one["name"]: one["language"] for one in listed} == dict(zip(TEXTS, ["en", "es", "ja"], strict=True))
    found = search(api, tenant, "the pump and the rain", filters={"language": "es"})
    assert {one["source"]["name"] for one in found} <= {"Notas sobre la lluvia"}


HOSTILE = [
    "the of and who is it",
    "word " * 399,
    "\0",
    "pump\0pump",
    "😀",
    "'; DROP TABLE chunks; --",
    '{[(\\"*?&|!<->:',
    "مضخة",
    "насос",
    "ปั๊มน้ำ",
    "펌프",
    "पंप",
    "a" * 2000,
    "雨" * 2000,
    "\u200d\u202e\ufeff",
]


def test_a_document_whose_language_cannot_be_told_is_found_beside_others(
    api: httpx.Client,
    tenant: TestTenant,
    texts: None,  # noqa: ARG001
    deliver: Callable[[], Any],
    superuser: psycopg.Connection[Any],
) -> None:
    superuser.execute("UPDATE workspaces SET languages = '{es}' WHERE id = %s", (tenant.workspace_id,))
    body = {"title": "Readings", "text": "pumps 12345 67"}
    api.post("/api/v1/ingest/text", headers=tenant.headers, json=body)
    deliver()
    found = search(api, tenant, "pumping")
    assert (found[0]["source"]["name"], found[0]["ranks"]["keyword"]) == ("Readings", 1)


def test_a_document_of_a_regional_language_is_searched_by_meaning_too(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any]
) -> None:
    body = {"title": "Note", "text": "The lorry was parked behind the warehouse.", "language": "en-GB"}
    api.post("/api/v1/ingest/text", headers=tenant.headers, json=body)
    deliver()
    assert search(api, tenant, "the warehouses")[0]["ranks"] == {"keyword": 1, "vector": 1}


@pytest.mark.usefixtures("texts")
def test_any_question_in_any_script_is_answered_with_a_list(api: httpx.Client, tenant: TestTenant) -> None:
    for query in HOSTILE:
        assert isinstance(search(api, tenant, query), list), query


@pytest.mark.usefixtures("texts")
def test_the_same_question_finds_the_same_whether_it_was_embedded_before_or_not(
    api: httpx.Client, tenant: TestTenant
) -> None:
    first, again = (search(api, tenant, "Who services the pump, and how often?") for _ in range(2))
    assert first == again
    assert first[0]["ranks"] == {"keyword": 1, "vector": 1}


def test_what_an_older_analyzer_indexed_is_indexed_anew(
    api: httpx.Client,
    tenant: TestTenant,
    texts: None,  # noqa: ARG001
    superuser: psycopg.Connection[Any],
) -> None:
    owned = (tenant.workspace_id,)
    # As after an update of the analyzer, and as after an update from a version that had no segments.
    superuser.execute("UPDATE lexical_segments SET analyzer = 1 WHERE workspace_id = %s", owned)
    row = superuser.execute("SELECT source_id FROM lexical_runs WHERE workspace_id = %s LIMIT 1", owned).fetchone()
    assert row is not None
    superuser.execute(
        "DELETE FROM lexical_runs WHERE workspace_id = %s AND source_id = %s", (*owned, UUID(str(row[0])))
    )
    maintain.maintain(tenant.workspace_id, remaining_seconds=lambda: 300.0)
    versions = superuser.execute(
        "SELECT DISTINCT s.analyzer FROM lexical_runs r JOIN lexical_segments s ON s.id = r.segment_id"
        " WHERE r.workspace_id = %s",
        owned,
    ).fetchall()
    assert versions == [(2,)]
    for query, title in (("AB-1234", "Maintenance manual AB-1234"), ("lluvias", "Notas sobre la lluvia")):
        assert search(api, tenant, query)[0]["source"]["name"] == title


def test_segments_are_merged_as_documents_come_in(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], superuser: psycopg.Connection[Any]
) -> None:
    for number in range(22):
        body = {"title": f"Note {number}", "text": f"The valve number {number} was closed."}
        api.post("/api/v1/ingest/text", headers=tenant.headers, json=body)
    deliver()
    row = superuser.execute(
        "SELECT count(*), sum(chunks) FROM lexical_segments WHERE workspace_id = %s", (tenant.workspace_id,)
    ).fetchone()
    assert row == (3, 22)
    assert len(search(api, tenant, "valve", k=50)) == 22


def test_a_large_merge_is_left_to_a_message_and_done_by_the_worker(
    api: httpx.Client,
    tenant: TestTenant,
    deliver: Callable[[], Any],
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maintain, "_SMALL", 5)
    for number in range(20):
        body = {"title": f"Note {number}", "text": f"The valve number {number} was closed."}
        api.post("/api/v1/ingest/text", headers=tenant.headers, json=body)
    deliver()
    deliver()
    row = superuser.execute(
        "SELECT count(*), sum(chunks) FROM lexical_segments WHERE workspace_id = %s", (tenant.workspace_id,)
    ).fetchone()
    assert row == (1, 20)


def test_how_lists_are_fused_can_be_chosen(
    api: httpx.Client, tenant: TestTenant, texts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del texts
    scores = {}
    for fusion in ("attainable", "min_max", "reciprocal_rank"):
        monkeypatch.setenv("MINIRAG_FUSION", fusion)
        settings.current.cache_clear()
        scores[fusion] = tuple(one["score"] for one in search(api, tenant, "Is there a record of the rain in June?"))
    monkeypatch.undo()
    settings.current.cache_clear()
    assert len(set(scores.values())) == 3, scores


@pytest.mark.parametrize("query", ["truck", "cars", "pump repair costs", "war"])
def test_a_document_of_another_language_costs_a_question_nothing(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], query: str
) -> None:
    # "war" is a stop word in German, the others are the same words in both analyses.
    english = {
        "Vehicles": "The car and the lorry stand in the garage until they are sold.",
        "Pumps": "What the repair of a pump costs is told by the maintenance manual.",
        "1812": "The war of 1812 was fought between the United States and Great Britain.",
    }

    def find() -> list[tuple[str, Any]]:
        return [(one["source"]["name"], one["ranks"]["vector"]) for one in search(api, tenant, query)]

    for title, text in english.items():
        api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": title, "text": text})
    deliver()
    before = find()
    assert before
    assert before[0][1] == 1
    german = {"title": "Regen", "text": "Im Juni regnet es viel, und die Flüsse steigen.", "language": "de"}
    api.post("/api/v1/ingest/text", headers=tenant.headers, json=german)
    deliver()
    assert next(one for one in find() if one[0] in english) == before[0]


def test_documents_that_repeat_themselves_leave_room_for_others(
    api: httpx.Client, tenant: TestTenant, superuser: psycopg.Connection[Any], deliver: Callable[[], Any]
) -> None:
    # One paragraph over and over makes chunks that repeat each other.
    again = "\n\n".join(["The annual report on pumps is confidential and may not be copied. " * 30] * 30)
    api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": "Pumps", "text": again})
    for number in range(4):
        text = f"Site {number} has pumps, of which there is an annual report."
        api.post("/api/v1/ingest/text", headers=tenant.headers, json={"title": f"Site {number}", "text": text})
    deliver()
    row = superuser.execute(
        "SELECT max(chunks) FROM sources WHERE workspace_id = %s", (tenant.workspace_id,)
    ).fetchone()
    assert row is not None
    assert row[0] > 12
    found = {one["source"]["name"] for one in search(api, tenant, "annual report on pumps", k=5)}
    assert found == {"Pumps", *(f"Site {number}" for number in range(4))}
