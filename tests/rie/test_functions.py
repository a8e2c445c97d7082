"""Every entry point in Lambda's runtime client, from its package, with the event of events/."""

import base64
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from infra import bundle
from infra.specs import SPECS
from local.moto import BUCKET, JOBS, UPLOADS, Moto
from tests.conftest import WEBHOOK_SECRET
from tests.rie.emulator import Emulator, Packages
from tests.tenants import TestTenant

Event = dict[str, Any]
Emulated = Callable[[str], Emulator]
EventOf = Callable[[str], Event]

PROBLEM = "application/problem+json"


@pytest.fixture
def empty_queues(sqs: Any, moto: Moto) -> Iterator[None]:
    """Leave no message to the tests that follow: what these put into the bucket raises events."""
    yield
    for queue in (UPLOADS, JOBS):
        url = moto.queue_url(queue)
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _as(tenant: TestTenant, event: Event) -> Event:
    """The event with the tenant's key in it."""
    event["headers"]["X-API-Key"] = tenant.key
    event["multiValueHeaders"]["X-API-Key"] = [tenant.key]
    return event


def _signed(event: Event) -> Event:
    now = int(time.time())
    signature = hmac.new(WEBHOOK_SECRET.encode(), f"{now}.{event['body']}".encode(), hashlib.sha256).hexdigest()
    event["headers"]["stripe-signature"] = f"t={now},v1={signature}"
    return event


@pytest.mark.parametrize("package", bundle.PACKAGES)
def test_importing_the_handlers_of_a_package_needs_no_setting_and_loads_no_sdk(
    package: str, packages: Packages
) -> None:
    """A snapshot is taken of the imported handler, when the secret may still be empty; SDKs wait for their use."""
    specs = [spec for spec in SPECS if spec.package == package]
    modules = ", ".join(spec.handler.rpartition(".")[0] for spec in specs)
    program = f"import sys, {modules}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    command = [packages.interpreter, "-S", "-c", program]
    environment = {"PYTHONPATH": ":".join(packages.search_path(specs[0]))}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"openai", "anthropic", "boto3", "lxml", "pypdf", "pypdfium2", "docx", "onnxruntime"}
    if package in {"webhooks", "admin"}:
        assert not loaded & {"numpy", "tiktoken"}


def test_asking_with_an_unknown_key_is_refused_with_a_problem(emulated: Emulated, event: EventOf) -> None:
    answer = emulated("ask").invoke(event("ask"))
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (401, PROBLEM)
    # API Gateway would send the base64 of a type that it does not take for binary to the client as it is.
    assert not answer["isBase64Encoded"]
    assert json.loads(answer["body"])["status"] == 401


def test_a_dropped_file_becomes_a_job_then_chunks_then_a_cited_answer(
    emulated: Emulated,
    event: EventOf,
    tenant: TestTenant,
    superuser: psycopg.Connection[Any],
    s3: Any,
    empty_queues: None,  # noqa: ARG001
) -> None:
    text = "# How long does the station keep its seismic readings?\n\nThe station keeps its readings for seven years."
    s3.put_object(Bucket=BUCKET, Key=f"drop/{tenant.workspace_id}/field notes/retention.md", Body=text.encode())
    routed = event("ingest-router")
    (record,) = routed["Records"]
    notified = json.loads(record["body"])
    stored = notified["Records"][0]["s3"]["object"]
    stored["key"] = f"drop/{tenant.workspace_id}/{stored['key'].split('/', 2)[2]}"
    record["body"] = json.dumps(notified)
    assert emulated("ingest-router").invoke(routed) == {"batchItemFailures": []}
    job = superuser.execute("SELECT id, status FROM jobs WHERE workspace_id = %s", (tenant.workspace_id,)).fetchone()
    assert job is not None
    assert job[1] == "queued"

    queued = event("ingest-worker")
    queued["Records"][0]["body"] = json.dumps({"workspace_id": str(tenant.workspace_id), "job_id": str(job[0])})
    assert emulated("ingest-worker").invoke(queued) == {"batchItemFailures": []}
    assert superuser.execute("SELECT status, error_detail FROM jobs WHERE id = %s", (job[0],)).fetchone() == (
        "done",
        None,
    )

    answer = emulated("ask").invoke(_as(tenant, event("ask")))
    body = json.loads(answer["body"])
    assert answer["statusCode"] == 200, body
    assert body["outcome"] == "answered", body
    assert "seven years" in body["answer"]
    assert [citation["quote"] in text for citation in body["citations"]] == [True] * len(body["citations"]) != []


def test_the_worker_gives_back_only_the_message_that_failed(emulated: Emulated, event: EventOf) -> None:
    batch = event("ingest-worker")
    broken = {**batch["Records"][0], "messageId": "broken", "body": "not JSON"}
    batch["Records"].append(broken)
    assert emulated("ingest-worker").invoke(batch) == {"batchItemFailures": [{"itemIdentifier": "broken"}]}


def test_an_uploaded_file_reaches_the_bucket_byte_for_byte(
    emulated: Emulated,
    event: EventOf,
    tenant: TestTenant,
    s3: Any,
    empty_queues: None,  # noqa: ARG001
) -> None:
    upload = _as(tenant, event("ingest"))
    answer = emulated("ingest").invoke(upload)
    body = json.loads(answer["body"])
    assert answer["statusCode"] == 202, body
    assert UUID(body["job_id"])
    (job,) = body["jobs"]
    key = f"uploads/{tenant.workspace_id}/{job['source_id']}/{job['id']}"
    content = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert content.startswith(b"# How long")
    assert content in base64.b64decode(upload["body"])


def test_a_signed_stripe_event_is_recorded_once_and_a_stale_one_refused(
    emulated: Emulated, event: EventOf, superuser: psycopg.Connection[Any]
) -> None:
    webhooks = emulated("webhooks")
    stripe_event = event("webhooks")
    stale = webhooks.invoke(stripe_event)
    assert (stale["statusCode"], stale["headers"]["content-type"]) == (400, PROBLEM)
    answers = [webhooks.invoke(_signed(stripe_event)) for _ in range(2)]
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    assert [json.loads(answer["body"])["duplicate"] for answer in answers] == [False, True]
    event_id = json.loads(stripe_event["body"])["id"]
    counted = superuser.execute(
        "SELECT count(*) FROM organization_billing_events WHERE event_id = %s", (event_id,)
    ).fetchone()
    assert counted == (1,)


def test_health_needs_nothing_and_ready_reaches_database_and_queue(emulated: Emulated, event: EventOf) -> None:
    admin = emulated("admin")
    health = event("admin")
    assert json.loads(admin.invoke(health)["body"]) == {"status": "ok"}
    ready = {**health, "path": "/ready", "resource": "/ready"}
    answer = admin.invoke(ready)
    assert answer["statusCode"] == 200, answer["body"]


def test_a_function_is_started_once_for_all_its_events(emulated: Emulated, event: EventOf) -> None:
    admin = emulated("admin")
    for _ in range(3):
        admin.invoke(event("admin"))
    assert admin.init_ms() > 0
