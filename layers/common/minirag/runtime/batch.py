"""Batches of SQS messages, answered so that one bad message harms no other."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from minirag.runtime import queue, telemetry
from minirag.runtime.errors import Unavailable

# A failed message comes back after this long the first time, then after six times as long each time, rather than after
# the queue's visibility timeout, which is made for workers that vanish. What fails it may take minutes to pass.
_RETRY_SECONDS: Final = 5
_GROWTH: Final = 6
_LONGEST_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a batch: its JSON body, how often it has been delivered, from 1, and by what to hide it longer."""

    body: dict[str, Any]
    receives: int
    receipt_handle: str


def process(event: dict[str, Any], function: str, queue_url: str, handle: Callable[[Message], None]) -> dict[str, Any]:
    """Handle each message of an SQS event; those that raised are reported as failed, to be delivered again soon."""
    failed: list[dict[str, str]] = []
    for record in event["Records"]:
        telemetry.begin(record["messageId"], function=function)
        try:
            body = json.loads(record["body"])
            receives = int(record["attributes"]["ApproximateReceiveCount"])
            handle(Message(body, receives, record["receiptHandle"]))
        except Exception as error:  # noqa: BLE001  the worker's boundary: whatever it was, the other messages go on
            telemetry.failure("message.failed", error)
            failed.append({"itemIdentifier": record["messageId"]})
            _return(queue_url, record["receiptHandle"], int(record["attributes"]["ApproximateReceiveCount"]))
    return {"batchItemFailures": failed}


def pause_seconds(attempts: int) -> int:
    """After how long to try again what has failed so often."""
    return int(min(_LONGEST_SECONDS, _RETRY_SECONDS * _GROWTH ** (min(attempts, 10) - 1)))


def _return(queue_url: str, receipt_handle: str, receives: int) -> None:
    try:
        queue.show_again(queue_url, receipt_handle, seconds=pause_seconds(receives))
    except Unavailable as error:
        # Then it comes back after the visibility timeout.
        telemetry.event("message.not_returned", code=error.code)
