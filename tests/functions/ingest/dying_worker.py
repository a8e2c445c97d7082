"""A worker that is killed: does what lies in the queue `jobs`, and at a given call ends itself, or another, by SIGKILL.

    python -m tests.functions.ingest.dying_worker QUEUE_URL [CALLS [PROCESS]]

CALLS counts the calls of functions of the product, in all threads; without it the worker lives, and says how many there
were. PROCESS is the process that is killed, by default the worker. The environment is a function's.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Final

import boto3

from local.event import sqs_event
from minirag.runtime import settings
from tests.transport import context

_ARN: Final = "arn:aws:sqs:us-east-1:123456789012:jobs"
_OURS: Final = ("/functions/ingest/", "/minirag/")


def work(queue_url: str) -> None:
    """Take one message after the other to the worker, until there is none."""
    from functions.ingest import worker

    sqs = boto3.client("sqs", endpoint_url=settings.current().sqs_endpoint)
    while messages := sqs.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=1, AttributeNames=["All"], VisibilityTimeout=1, WaitTimeSeconds=0
    ).get("Messages"):
        answer = worker.handler(sqs_event(messages, queue_arn=_ARN), context(300))
        if not answer["batchItemFailures"]:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=messages[0]["ReceiptHandle"])


def main(queue_url: str, calls: int | None, victim: int) -> None:
    """Work, and kill after so many calls."""
    made = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal made
        if event == "call" and any(part in frame.f_code.co_filename for part in _OURS):
            made += 1
            if made == calls:
                os.kill(victim, signal.SIGKILL)

    # Imports are no part of what is counted.
    from functions.ingest import worker  # noqa: F401

    threading.setprofile(count)
    sys.setprofile(count)
    work(queue_url)
    sys.setprofile(None)
    threading.setprofile(None)
    print(f"\ncalls {made}")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[2:]]
    main(sys.argv[1], given[0] if given else None, given[1] if len(given) > 1 else os.getpid())
