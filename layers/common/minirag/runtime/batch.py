"""Batches of SQS messages, answered so that one bad message harms no other."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from minirag.runtime import queue, telemetry
from minirag.runtime.errors import Unavailable

# A failed message comes back after this long, rather than after the queue's visibility timeout, which is made for
# workers that vanish.
_RETRY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a batch: its JSON body and how often it has been delivered, from 1."""

    body: dict[str, Any]
    receives: int


def process(event: dict[str, Any], function: str, queue_url: str, handle: Callable[[Message], None]) -> dict[str, Any]:
    """Handle each message of an SQS event; those that raised are reported as failed, to be delivered again soon."""
    failed: list[dict[str, str]] = []
    for record in event["Records"]:
        telemetry.begin(record["messageId"], function=function)
        try:
            body = json.loads(record["body"])
            handle(Message(body, int(record["attributes"]["ApproximateReceiveCount"])))
        except Exception as error:  # noqa: BLE001  the worker's boundary: whatever it was, the other messages go on
            telemetry.failure("message.failed", error)
            failed.append({"itemIdentifier": record["messageId"]})
            _return(queue_url, record["receiptHandle"])
    return {"batchItemFailures": failed}


def _return(queue_url: str, receipt_handle: str) -> None:
    try:
        queue.show_again(queue_url, receipt_handle, seconds=_RETRY_SECONDS)
    except Unavailable as error:
        # Then it comes back after the visibility timeout.
        telemetry.event("message.not_returned", code=error.code)
