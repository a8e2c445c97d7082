"""Hostile input never causes a 5xx, on any operation that the published description knows."""

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from functions.ingest import routes as ingest
from functions.ingest import worker
from local.moto import JOBS, UPLOADS, Moto
from minirag.runtime import settings, telemetry
from tests.fakes.site import Reply, Site, page
from tests.fuzz import hostile
from tests.fuzz.call import Call
from tests.fuzz.description import OPERATIONS, Operation
from tests.fuzz.distortion import distorted
from tests.fuzz.generated import generated
from tests.fuzz.harness import Count, Failures, Harness
from tests.tenants import TestTenant
from tests.transport import context

# How many requests in all, and how many of them by hand at most: if there are more, every second, third, … is sent.
_SAMPLE: Final = (2_500, 900)
_CAMPAIGN: Final = (50_000, 1_000_000)
_LEAST: Final = 20
_TEXTS: Final = {
    "Dial recorder": "The dial recorder was invented by Alexander Dey in 1888. It wrote down who came when.",
    "Pumps": "The pump must be serviced once a year by trained staff, who keep a record of it.",
}


@pytest.fixture(scope="module")
def counts() -> dict[str, Count]:
    """What was sent to which operation."""
    return {}


@pytest.fixture(scope="module")
def by_hand() -> int:
    """How many requests there are by hand."""
    return sum(1 for operation in OPERATIONS for _ in hostile.calls(operation))


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failures]:
    """The errors behind each 500; and no log, which here is a line a request."""
    kept = Failures()
    monkeypatch.setattr(telemetry, "failure", kept.keep)
    logging.disable(logging.CRITICAL)
    yield kept
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A provider of identities that only describes itself: nobody comes back from it with a code that is good."""
    paths = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    replies: dict[str, Reply] = {}
    with Site(replies) as site:
        issuer = f"http://127.0.0.1:{site.port}"
        described: dict[str, object] = {"issuer": issuer, **{name: f"{issuer}/{name}" for name in paths}}
        described |= {"id_token_signing_alg_values_supported": ["RS256"]}
        replies["/.well-known/openid-configuration"] = page(json.dumps(described).encode(), "application/json")
        yield issuer


@pytest.fixture
def sign_in(system: None, provider: str) -> Iterator[None]:  # noqa: ARG001
    """Signing in is set up."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MINIRAG_PUBLIC_URL", "https://minirag.test")
        environment.setenv("MINIRAG_SESSION_KEYS", f"fuzz:{'0123456789abcdef' * 4}")
        environment.setenv("MINIRAG_OIDC_ISSUER", provider)
        environment.setenv("MINIRAG_OIDC_CLIENT_ID", "fuzz")
        environment.setenv("MINIRAG_OIDC_CLIENT_SECRET", "fuzz")
        settings.current.cache_clear()
        yield
    settings.current.cache_clear()


@pytest.fixture
def enroll(
    api: httpx.Client,
    operation: Operation,
    make_tenant: Callable[..., TestTenant],
    superuser: psycopg.Connection[Any],
    sqs: Any,
    moto: Moto,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], TestTenant]]:
    """Makes a tenant with documents that are indexed; their owner runs the platform, where only such may do a thing."""
    # Nobody works on the jobs that are made here, so that waiting for them would be all that a run does.
    monkeypatch.setattr(ingest, "remaining_seconds", lambda _: 0.002)
    monkeypatch.setattr(ingest, "_POLL_SECONDS", 0.001)

    def run() -> TestTenant:
        tenant = make_tenant()
        if operation.path.startswith("/api/v1/admin/"):
            superuser.execute("UPDATE users SET role = 'admin' WHERE id = %s", (tenant.user_id,))
        for title, text in _TEXTS.items():
            body = {"title": title, "text": text}
            taken = api.post("/api/v1/ingest/text", headers=tenant.headers, json=body).json()
            # Not by way of the queue, in which lies what the requests before have made.
            assert worker.handler(_message(tenant, taken["job_id"]), context(300)) == {"batchItemFailures": []}
        return tenant

    yield run
    for queue in (UPLOADS, JOBS):
        _empty(sqs, moto.queue_url(queue))


def _message(tenant: TestTenant, job_id: str) -> dict[str, Any]:
    body = json.dumps({"workspace_id": str(tenant.workspace_id), "job_id": job_id})
    attributes = {"ApproximateReceiveCount": "1"}
    return {"Records": [{"messageId": "1", "receiptHandle": "1", "body": body, "attributes": attributes}]}


def _empty(sqs: Any, url: str) -> None:
    """Lose all messages of a queue, for the sake of the tests that come after."""
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        entries = [{"Id": one["MessageId"], "ReceiptHandle": one["ReceiptHandle"]} for one in messages]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)


# Of a multipart body that ends too soon, Starlette leaves the file it had begun to the garbage collector.
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")
# What a strategy draws from is the whole operation, which Hypothesis writes down when it rejects a draw.
@pytest.mark.filterwarnings("ignore:Generating overly large repr:hypothesis.errors.HypothesisWarning")
@pytest.mark.usefixtures("sign_in")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_input_breaks_an_operation(
    api: httpx.Client,
    operation: Operation,
    counts: dict[str, Count],
    failures: Failures,
    enroll: Callable[[], TestTenant],
    count: Callable[[int, int], int],
    by_hand: int,
) -> None:
    total, most_by_hand = (count(sample, full) for sample, full in zip(_SAMPLE, _CAMPAIGN, strict=True))
    every = math.ceil(by_hand / most_by_hand)
    made = max(_LEAST, math.ceil((total - by_hand / every) / len(OPERATIONS)))
    counted = counts.setdefault(operation.label, Count())
    harness = Harness(api, operation, counted, enroll, failures)
    # Each operation begins elsewhere, so that a sample has something of every kind.
    for call in islice(hostile.calls(operation), OPERATIONS.index(operation) % every, None, every):
        harness.send(call)

    @hypothesis_settings(
        max_examples=made,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(distorted(generated(operation)))
    def send(call: Call) -> None:
        harness.send(call)

    send()
    if harness.findings:
        pytest.fail("\n\n".join(str(finding) for finding in harness.findings.values()), pytrace=False)
    if operation.takes_key:
        assert counted.authenticated >= counted.cases / 2, f"most requests stop at the credential: {counted}"


def test_what_was_sent(counts: dict[str, Count], count: Callable[[int, int], int]) -> None:
    statuses: Counter[int] = Counter()
    for label, counted in counts.items():
        statuses.update(counted.statuses)
        told = ", ".join(f"{status}: {number}" for status, number in sorted(counted.statuses.items()))
        print(
            f"{label}: {counted.cases} cases, {counted.refused} refused at the door, {told}; "
            f"slowest {counted.slowest * 1000:.0f} ms"
        )
    failed = sum(number for status, number in statuses.items() if status >= 500)
    told = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
    print(f"In all {statuses.total()} cases; {told}; 5xx: {failed}")
    assert failed == 0
    if len(counts) == len(OPERATIONS):
        # A few are refused at the door.
        assert statuses.total() >= 0.9 * count(_SAMPLE[0], _CAMPAIGN[0])
