"""The scripts: a corpus moves out and in, and dead letters are seen and sent again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.moto import JOBS, Moto
from scripts import chunks_jsonl, dead_letters
from tests.functions.ingest.test_ingestion import found, paste, sources
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]
LONG = "\n\n".join(f"Wonder {part}. " + f"The wonder number {part} stood by the sea. " * 30 for part in range(6))


class Client(chunks_jsonl.Api):
    """The same API over events instead of sockets."""

    def __init__(self, api: httpx.Client, tenant: TestTenant) -> None:
        self._api, self._tenant = api, tenant

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        response = self._api.get(f"/api/v1{path}", params=given, headers=self._tenant.headers)
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._api.post(f"/api/v1{path}", json=body, headers=self._tenant.headers)
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer


def test_a_corpus_moves_from_one_workspace_into_another(
    api: httpx.Client, tenant: TestTenant, make_tenant: Callable[..., TestTenant], deliver: Deliver, tmp_path: Path
) -> None:
    paste(api, tenant, LONG, tags=["wonders"], language="en")
    deliver()
    file = tmp_path / "chunks.jsonl"
    written = chunks_jsonl.export(Client(api, tenant), file, embeddings=True)
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert written == len(lines) > 1
    assert set(lines[0]) == {"id", "source", "content", "metadata", "embedding"}
    assert lines[0]["source"] == {"type": "text", "path": "Pharos"}
    assert lines[0]["metadata"]["workspace_id"] == str(tenant.workspace_id)
    assert sum(value**2 for value in lines[0]["embedding"]) == pytest.approx(1.0, abs=1e-3)
    other = make_tenant()
    assert chunks_jsonl.load(Client(api, other), file) == 1
    deliver()
    (source,) = sources(api, other)
    assert (source["name"], source["tags"], source["language"]) == ("Pharos", ["wonders"], "en")
    text = api.get(f"/api/v1/sources/{source['id']}/text", headers=other.headers).json()["text"]
    assert text.split() == LONG.split()
    assert found(api, other, "wonder number 5")


def test_what_is_no_chunk_is_named_by_its_line(tmp_path: Path, api: httpx.Client, tenant: TestTenant) -> None:
    file = tmp_path / "chunks.jsonl"
    file.write_text('{"source": {"path": "a"}, "content": "x"}\n{"content": "y"}\n', "utf-8")
    with pytest.raises(SystemExit, match="line 2"):
        chunks_jsonl.load(Client(api, tenant), file)


@pytest.fixture
def dead(sqs: Any, moto: Moto) -> Iterator[str]:
    url = moto.queue_url(f"{JOBS}-dead")
    yield url
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_dead_letters_are_shown_and_sent_again(
    sqs: Any,
    moto: Moto,
    dead: str,
    lose_messages: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_letters, "_HIDDEN_SECONDS", 0)
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    lose_messages()
    for number in range(3):
        sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"job_id": f"test-{number}"}), MessageGroupId="group")
    assert dead_letters.main(["--endpoint", moto.endpoint, "show", dead]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["body"]["job_id"] for one in shown} >= {"test-0", "test-1", "test-2"}
    target = moto.queue_url(JOBS)
    assert dead_letters.main(["--endpoint", moto.endpoint, "redrive", dead, target, "--job", "test-1"]) == 0
    (message,) = sqs.receive_message(QueueUrl=target, AttributeNames=["All"])["Messages"]
    assert json.loads(message["Body"]) == {"job_id": "test-1"}
    assert message["Attributes"]["MessageGroupId"] == "group"
    sqs.delete_message(QueueUrl=target, ReceiptHandle=message["ReceiptHandle"])
    capsys.readouterr()
    dead_letters.main(["--endpoint", moto.endpoint, "show", dead])
    assert "test-1" not in capsys.readouterr().out
