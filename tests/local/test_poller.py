import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from local.poller import Mapping, Poller, failures
from local.pool import FunctionConfig, Pool
from tests.local.handlers_for_test import read_notes
from tests.local.pool_for_test import children

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

FUNCTION = "tests.local.handlers_for_test:queue"


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sqs(server: ThreadedMotoServer) -> "Iterator[SQSClient]":
    host, port = server.get_host_and_port()
    client = boto3.client(
        "sqs",
        endpoint_url=f"http://{host}:{port}",
        region_name="eu-west-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


class Journal:
    """A queue of its own and the file in which the function notes what it got."""

    def __init__(self, sqs: "SQSClient", folder: Path, *, visibility: int = 60) -> None:
        self._sqs = sqs
        self._file = folder / uuid4().hex
        name = uuid4().hex
        self.dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        attributes: Any = {"VisibilityTimeout": str(visibility), "RedrivePolicy": redrive}
        self.url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def body(self, name: str, **order: object) -> str:
        return json.dumps({"name": name, "journal": str(self._file), **order})

    def send(self, *names: str, group: str | None = None, **order: object) -> None:
        options: Any = {} if group is None else {"MessageGroupId": group}
        entries: list[Any] = [
            {"Id": str(n), "MessageBody": self.body(name, **order), **options} for n, name in enumerate(names)
        ]
        for start in range(0, len(entries), 10):
            self._sqs.send_message_batch(QueueUrl=self.url, Entries=entries[start : start + 10])

    def notes(self) -> list[dict[str, Any]]:
        return read_notes(self._file)

    def names(self) -> list[str]:
        return [note["order"]["name"] for note in self.notes()]

    def counts(self, url: str | None = None) -> tuple[int, int]:
        """Messages that can be received, and messages that are hidden."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    async def until(self, noted: int | None = None, counts: tuple[int, int] | None = None) -> None:
        """Wait until so many messages have been noted and the queue holds this."""
        while (noted is not None and len(self.notes()) < noted) or (counts is not None and self.counts() != counts):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_poller(
    folder: Path, sqs: "SQSClient", *mappings: Mapping, environments: int = 1
) -> AsyncIterator[Poller]:
    functions = [FunctionConfig("queue", FUNCTION, 20), FunctionConfig("twin", FUNCTION, 20)]
    pool = Pool(functions, groups={"http": environments}, env={"PATH": os.defpath}, log_dir=folder / "logs")
    poller = Poller(pool, sqs, mappings)
    await poller.start()
    try:
        yield poller
    finally:
        await poller.stop(grace_seconds=0)
        await pool.close()


def test_messages_become_an_sqs_event_and_are_deleted_when_done(sqs: "SQSClient", tmp_path: Path) -> None:
    queue = Journal(sqs, tmp_path)
    body = queue.body("one")
    attributes: Any = {
        "text": {"DataType": "String", "StringValue": "é"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = sqs.send_message(QueueUrl=queue.url, MessageBody=body, MessageAttributes=attributes, MessageGroupId="g")

    async def check() -> None:
        async with open_poller(tmp_path, sqs, Mapping(queue.url, "queue")):
            await queue.until(noted=1, counts=(0, 0))

    asyncio.run(check())
    (note,) = queue.notes()
    record = note["record"]
    assert record["messageId"] == sent["MessageId"]
    assert record["receiptHandle"]
    assert record["body"] == body
    assert record["md5OfBody"] == sent["MD5OfMessageBody"]
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["attributes"]["MessageGroupId"] == "g"
    assert int(record["attributes"]["SentTimestamp"]) > 1.7e12
    assert record["messageAttributes"] == {
        "text": {"dataType": "String", "stringValue": "é", "stringListValues": [], "binaryListValues": []},
        "bytes": {"dataType": "Binary", "binaryValue": "AP8=", "stringListValues": [], "binaryListValues": []},
    }
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == f"arn:aws:sqs:eu-west-1:123456789012:{queue.url.rpartition('/')[2]}"
    assert record["awsRegion"] == "eu-west-1"


def test_failed_messages_come_back_and_end_in_the_dead_letter_queue_after_three_receives(
    sqs: "SQSClient", tmp_path: Path
) -> None:
    partial, whole, nonsense = (Journal(sqs, tmp_path, visibility=1) for _ in range(3))
    partial.send(*(f"good {n}" for n in range(4)))
    partial.send("poison", do="fail")
    whole.send("innocent", do="sleep")
    whole.send("poison", do="raise")
    nonsense.send("poison", do="answer", answer={"batchItemFailures": [{"itemIdentifier": "another's"}]})
    queues = (partial, whole, nonsense)

    async def check() -> None:
        mappings = [Mapping(queue.url, "queue", batch_size=5) for queue in queues]
        async with open_poller(tmp_path, sqs, *mappings, environments=2):
            for queue in queues:
                await queue.until(counts=(0, 0))

    asyncio.run(check())
    assert sorted(partial.names()) == [*(f"good {n}" for n in range(4)), *["poison"] * 3]
    receives = [
        note["record"]["attributes"]["ApproximateReceiveCount"]
        for note in partial.notes()
        if note["order"]["name"] == "poison"
    ]
    assert receives == ["1", "2", "3"]
    assert partial.counts(partial.dead) == (1, 0)
    assert whole.names().count("poison") == 3
    assert whole.counts(whole.dead) == (2, 0), "of a failed batch nothing may be deleted"
    assert nonsense.names() == ["poison"] * 3
    assert nonsense.counts(nonsense.dead) == (1, 0)


def test_a_group_with_many_messages_does_not_starve_another(sqs: "SQSClient", tmp_path: Path) -> None:
    queue, gate = Journal(sqs, tmp_path), tmp_path / "gate"
    queue.send(*(f"noisy {n}" for n in range(40)), group="noisy", do="wait", **{"for": str(gate)})
    queue.send("quiet", group="quiet")

    async def check() -> None:
        async with open_poller(tmp_path, sqs, Mapping(queue.url, "queue", batch_size=1, group_turns=True)):
            await queue.until(noted=1, counts=(0, 41))
            gate.touch()
            await queue.until(noted=41)

    asyncio.run(check())
    names = queue.names()
    assert names.index("quiet") == 2
    assert [name for name in names if name != "quiet"] == [f"noisy {n}" for n in range(40)]


def test_a_group_that_comes_new_finds_an_environment_while_another_has_many_messages(
    sqs: "SQSClient", tmp_path: Path
) -> None:
    queue, gate = Journal(sqs, tmp_path), tmp_path / "gate"
    queue.send(*(f"noisy {n}" for n in range(12)), group="noisy", do="wait", **{"for": str(gate)})

    async def check() -> None:
        mapping = Mapping(queue.url, "queue", batch_size=1, group_turns=True)
        async with open_poller(tmp_path, sqs, mapping, environments=3):
            await queue.until(noted=2, counts=(0, 12))
            queue.send("quiet", group="quiet")
            await queue.until(noted=3)
            assert queue.names()[2] == "quiet"
            gate.touch()
            await queue.until(noted=13, counts=(0, 0))

    asyncio.run(check())


def test_the_queues_of_one_group_of_environments_take_turns(sqs: "SQSClient", tmp_path: Path) -> None:
    busy, quiet, gate = Journal(sqs, tmp_path), Journal(sqs, tmp_path), tmp_path / "gate"
    busy.send(*(str(n) for n in range(10)), do="wait", **{"for": str(gate)})
    mappings = [Mapping(busy.url, "queue", batch_size=1), Mapping(quiet.url, "twin", batch_size=1)]

    async def check() -> None:
        async with open_poller(tmp_path, sqs, *mappings):
            await busy.until(noted=1, counts=(0, 10))
            quiet.send("quiet")
            await quiet.until(counts=(0, 1))
            gate.touch()
            await quiet.until(noted=1)
            assert len(busy.notes()) <= 3

    asyncio.run(check())


def test_a_batch_is_as_large_as_asked_for(sqs: "SQSClient", tmp_path: Path) -> None:
    queue, gate = Journal(sqs, tmp_path), tmp_path / "gate"
    queue.send("first", do="wait", **{"for": str(gate)})

    async def check() -> None:
        async with open_poller(tmp_path, sqs, Mapping(queue.url, "queue", batch_size=25)):
            await queue.until(noted=1)
            queue.send(*(str(n) for n in range(30)))
            await queue.until(counts=(0, 31))
            gate.touch()
            await queue.until(noted=31, counts=(0, 0))

    asyncio.run(check())
    assert [note["batch"] for note in queue.notes()] == [1] + [25] * 25 + [5] * 5
    assert queue.names() == ["first", *(str(n) for n in range(30))]


def test_messages_that_wait_for_their_turn_stay_hidden(sqs: "SQSClient", tmp_path: Path) -> None:
    held, waiting, gate = Journal(sqs, tmp_path), Journal(sqs, tmp_path, visibility=1), tmp_path / "gate"
    held.send("first", do="wait", **{"for": str(gate)})

    async def check() -> None:
        async with open_poller(tmp_path, sqs, Mapping(held.url, "queue"), Mapping(waiting.url, "queue")):
            await held.until(noted=1)
            waiting.send(*(str(n) for n in range(12)))
            await waiting.until(counts=(0, 12))
            for _ in range(16):
                await asyncio.sleep(0.1)
                assert waiting.counts() == (0, 12)
            gate.touch()
            await waiting.until(counts=(0, 0))

    asyncio.run(check())
    assert sorted(waiting.names(), key=int) == [str(n) for n in range(12)]
    assert {note["record"]["attributes"]["ApproximateReceiveCount"] for note in waiting.notes()} == {"1"}


def test_stop_lets_running_batches_finish_and_gives_the_others_back(sqs: "SQSClient", tmp_path: Path) -> None:
    queue, gate = Journal(sqs, tmp_path), tmp_path / "gate"
    queue.send(*(str(n) for n in range(20)), do="wait", **{"for": str(gate)})

    async def check() -> None:
        async with open_poller(tmp_path, sqs, Mapping(queue.url, "queue", batch_size=1)) as poller:
            await queue.until(noted=1, counts=(0, 20))
            stopping = asyncio.create_task(poller.stop(grace_seconds=20))
            await asyncio.sleep(0.1)
            gate.touch()
            await stopping

    asyncio.run(check())
    assert queue.names() == ["0"]
    assert queue.counts() == (19, 0)


def test_what_still_runs_after_the_grace_is_killed_and_its_message_kept(sqs: "SQSClient", tmp_path: Path) -> None:
    queue = Journal(sqs, tmp_path)
    queue.send("endless", do="wait", **{"for": "/nowhere"})

    async def check() -> None:
        async with open_poller(tmp_path, sqs, Mapping(queue.url, "queue")) as poller:
            await queue.until(noted=1)
            await poller.stop(grace_seconds=0.05)
            assert children() == set()

    asyncio.run(check())
    assert queue.counts() == (0, 1)


def test_polling_goes_on_after_an_outage_of_the_queue(
    sqs: "SQSClient", server: ThreadedMotoServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Journal(sqs, tmp_path)
    _, port = server.get_host_and_port()

    async def check() -> None:
        async with open_poller(tmp_path, sqs, Mapping(queue.url, "queue")):
            queue.send("before")
            await queue.until(noted=1, counts=(0, 0))
            await asyncio.to_thread(server.stop)
            while "cannot receive from" not in caplog.text:
                await asyncio.sleep(0.01)
            server._port = port
            server.start()
            queue.send("after")
            await queue.until(noted=2, counts=(0, 0))

    asyncio.run(check())
    assert queue.names() == ["before", "after"]


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, {"a"}),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "x"}]}, {"a", "b", "c"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, {"a", "b", "c"}),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, {"a", "b", "c"}),
        ({"batchItemFailures": [{"itemIdentifier": ["a"]}]}, {"a", "b", "c"}),
        ({"batchItemFailures": [{"identifier": "a"}]}, {"a", "b", "c"}),
        ({"batchItemFailures": ["a"]}, {"a", "b", "c"}),
        ({"batchItemFailures": "a"}, {"a", "b", "c"}),
        ({"batchItemFailures": ""}, {"a", "b", "c"}),
        ("done", {"a", "b", "c"}),
        ([], {"a", "b", "c"}),
        (True, {"a", "b", "c"}),
    ],
)
def test_a_malformed_answer_fails_the_whole_batch(result: object, failed: set[str]) -> None:
    assert failures(result, {"a", "b", "c"}) == failed
