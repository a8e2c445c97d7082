"""Messages to SQS queues."""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from minirag.runtime import settings
from minirag.runtime.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@cache
def _sqs() -> "SQSClient":
    import boto3  # costs 200 ms of a cold start; only the router sends
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client("sqs", endpoint_url=settings.current().sqs_endpoint, config=config)


def send(queue_url: str, message: Mapping[str, str], *, group: str, delay: int = 0) -> None:
    """Send a JSON message, to be delivered after `delay` seconds, at most 900; raises Unavailable.

    Messages of one `group` take fair turns with those of others.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    body = json.dumps(message)
    try:
        _sqs().send_message(QueueUrl=queue_url, MessageBody=body, MessageGroupId=group, DelaySeconds=delay)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable("The job queue cannot be reached right now. Try again in a few seconds.") from error


def show_again(queue_url: str, receipt_handle: str, *, seconds: int) -> None:
    """Let a received message be delivered again after `seconds`. Raises Unavailable."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _sqs().change_message_visibility(QueueUrl=queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable("The queue cannot be reached right now.") from error


def check(queue_url: str) -> None:
    """Raise Unavailable unless the queue answers."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _sqs().get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    except (BotoCoreError, ClientError) as error:
        raise Unavailable("The job queue cannot be reached right now.") from error
