"""S3 and SQS on one machine: what was answered outlives the server, and nothing is told twice."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest

from local.moto import BUCKET, JOBS, REGION, UPLOADS, Moto

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


class Clients(NamedTuple):
    server: Moto
    s3: "S3Client"
    sqs: "SQSClient"

    def waiting(self, queue: str) -> int:
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.server.queue_url(queue), AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])

    def receive(self, queue: str, *, delete: bool = True, hidden_seconds: int = 30) -> list[dict[str, Any]]:
        url = self.server.queue_url(queue)
        answer = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=hidden_seconds, MessageSystemAttributeNames=["All"]
        )
        messages = answer.get("Messages", [])
        for message in messages if delete else []:
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [dict(message) for message in messages]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with Moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture
def clients(server: Moto) -> Clients:
    """Clients of a server whose bucket and queues are empty."""
    found = connect(server)
    for one in found.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        found.s3.delete_object(Bucket=BUCKET, Key=one["Key"])
    for queue in (UPLOADS, JOBS, "jobs-dead"):
        while found.receive(queue):
            pass
    return found


def connect(server: Moto) -> Clients:
    session = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name=REGION)
    s3 = session.client("s3", endpoint_url=server.endpoint)
    return Clients(server, s3, session.client("sqs", endpoint_url=server.endpoint))


def kill_and_restart(server: Moto) -> Clients:
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    return connect(server)


def events(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    records = [json.loads(message["Body"])["Records"][0] for message in messages]
    return sorted((record["eventName"], record["s3"]["object"]["key"]) for record in records)


def test_objects_survive_a_kill_with_their_headers_and_without_new_events(clients: Clients) -> None:
    clients.s3.put_object(
        Bucket=BUCKET, Key="drop/w/ä b.txt", Body=b"first", ContentType="text/plain", Metadata={"language": "de"}
    )
    clients.s3.put_object(Bucket=BUCKET, Key="drop/w/replaced", Body=b"old")
    clients.s3.put_object(Bucket=BUCKET, Key="drop/w/replaced", Body=b"new")
    clients.s3.put_object(Bucket=BUCKET, Key="drop/w/deleted", Body=b"gone")
    clients.s3.delete_object(Bucket=BUCKET, Key="drop/w/deleted")
    before = clients.s3.head_object(Bucket=BUCKET, Key="drop/w/ä b.txt")
    assert len(clients.receive(UPLOADS)) == 5

    after = kill_and_restart(clients.server)
    found = after.s3.get_object(Bucket=BUCKET, Key="drop/w/ä b.txt")
    assert found["Body"].read() == b"first"
    assert [found[name] for name in ("ContentType", "Metadata", "ETag", "LastModified")] == [
        before[name] for name in ("ContentType", "Metadata", "ETag", "LastModified")
    ]
    assert after.s3.get_object(Bucket=BUCKET, Key="drop/w/replaced")["Body"].read() == b"new"
    assert [one["Key"] for one in after.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [
        "drop/w/replaced",
        "drop/w/ä b.txt",
    ]
    assert after.receive(UPLOADS) == []


def test_a_large_object_sent_in_parts_survives_a_kill(clients: Clients, tmp_path: Path) -> None:
    content = os.urandom(9 * 1024 * 1024)
    (tmp_path / "large").write_bytes(content)
    clients.s3.upload_file(str(tmp_path / "large"), BUCKET, "uploads/large")
    after = kill_and_restart(clients.server)
    assert after.s3.get_object(Bucket=BUCKET, Key="uploads/large")["Body"].read() == content


def test_messages_survive_a_kill_waiting_or_in_flight_but_not_once_deleted(clients: Clients) -> None:
    url = clients.server.queue_url(JOBS)
    for name in ("deleted", "in flight", "waiting"):
        clients.sqs.send_message(QueueUrl=url, MessageBody=name, MessageGroupId="workspace")
    first, second, _ = clients.receive(JOBS, delete=False)
    clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    after = kill_and_restart(clients.server)
    found = after.receive(JOBS)
    assert [message["Body"] for message in found] == ["in flight", "waiting"]
    assert found[0]["MessageId"] == second["MessageId"]
    assert {message["Attributes"]["MessageGroupId"] for message in found} == {"workspace"}


def test_the_prefixes_decide_what_the_queue_is_told(clients: Clients) -> None:
    for key in ("uploads/a", "drop/b", "elsewhere/c"):
        clients.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    for key in ("uploads/a", "drop/b", "elsewhere/c"):
        clients.s3.delete_object(Bucket=BUCKET, Key=key)
    assert events(clients.receive(UPLOADS)) == [
        ("ObjectCreated:Put", "drop%2Fb"),
        ("ObjectCreated:Put", "uploads%2Fa"),
        ("ObjectRemoved:Delete", "drop%2Fb"),
    ]


def test_a_message_received_three_times_goes_to_the_dead_letters_and_stays_there(clients: Clients) -> None:
    clients.sqs.send_message(QueueUrl=clients.server.queue_url(JOBS), MessageBody="poison")
    receives = 0
    while clients.receive(JOBS, delete=False, hidden_seconds=0):
        receives += 1
    assert receives == 3
    after = kill_and_restart(clients.server)
    assert after.waiting(JOBS) == 0
    assert [message["Body"] for message in after.receive("jobs-dead")] == ["poison"]


def test_files_of_an_interrupted_write_are_cleared_away(clients: Clients) -> None:
    clients.s3.put_object(Bucket=BUCKET, Key="drop/kept", Body=b"kept")
    folder = clients.server._folder / "s3"
    (folder / "0123.draft").write_bytes(b"half")
    after = kill_and_restart(clients.server)
    assert len(list(folder.iterdir())) == 2
    assert after.s3.get_object(Bucket=BUCKET, Key="drop/kept")["Body"].read() == b"kept"
