"""What all of these tests share."""

import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from local.moto import JOBS, UPLOADS, Moto


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """No log, which here is a line a request."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True, scope="package")
def empty_queues(moto: Moto) -> Iterator[None]:
    """Lose all messages at the end, for the sake of the tests that come after."""
    yield
    sqs: Any = boto3.client(
        "sqs",
        endpoint_url=moto.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for url in (moto.queue_url(UPLOADS), moto.queue_url(JOBS)):
        # Not purged, which is allowed once a minute.
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            entries = [{"Id": one["MessageId"], "ReceiptHandle": one["ReceiptHandle"]} for one in messages]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)
