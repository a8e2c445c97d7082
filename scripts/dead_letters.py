"""Dead letters: messages that were delivered too often, shown, or sent to their queue again.

    python -m scripts.dead_letters show QUEUE_URL
    python -m scripts.dead_letters redrive QUEUE_URL TARGET_QUEUE_URL [--job JOB_ID]

QUEUE_URL is a dead-letter queue (`jobs-dead`, `uploads-dead`), TARGET_QUEUE_URL the queue its messages come from. Needs
boto3 and AWS's usual variables alone, nothing of Mini-RAG: it works when that does not. `--endpoint` is for a queue
server that is not AWS's.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, Final

import boto3

# A message that was shown is back for others after this long; one that is sent again must be deleted within it.
_HIDDEN_SECONDS: Final = 60


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dead_letters", description="Show or redrive dead letters.")
    parser.add_argument("--endpoint", help="endpoint URL of SQS, if it is not AWS's")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print each message, a JSON object a line")
    show.add_argument("queue")
    redrive = commands.add_parser("redrive", help="send messages to their queue again")
    redrive.add_argument("queue")
    redrive.add_argument("target")
    redrive.add_argument("--job", help="only the messages of this job")
    given = parser.parse_args(arguments)
    sqs = boto3.client("sqs", endpoint_url=given.endpoint)
    if given.command == "show":
        for message in _messages(sqs, given.queue):
            print(json.dumps(_described(message), ensure_ascii=False))
        return 0
    sent = 0
    for message in _messages(sqs, given.queue):
        if given.job and given.job not in message["Body"]:
            continue
        group = message.get("Attributes", {}).get("MessageGroupId")
        grouped = {"MessageGroupId": group} if group else {}
        sqs.send_message(QueueUrl=given.target, MessageBody=message["Body"], **grouped)
        sqs.delete_message(QueueUrl=given.queue, ReceiptHandle=message["ReceiptHandle"])
        sent += 1
    print(f"{sent} messages were sent again.", file=sys.stderr)
    return 0


def _messages(sqs: Any, queue: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401  boto3 makes its clients at run time
    """Each message once; a queue that gives one a second time has been gone through."""
    seen: set[str] = set()
    while messages := sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=_HIDDEN_SECONDS, WaitTimeSeconds=1,
        AttributeNames=["All"],
    ).get("Messages", []):  # fmt: skip
        new = [message for message in messages if message["MessageId"] not in seen]
        if not new:
            return
        seen.update(message["MessageId"] for message in new)
        yield from new


def _described(message: dict[str, Any]) -> dict[str, Any]:
    attributes = message.get("Attributes", {})
    try:
        body = json.loads(message["Body"])
    except ValueError:
        body = message["Body"]
    return {
        "message_id": message["MessageId"],
        "sent_ms": attributes.get("SentTimestamp"),
        "receives": attributes.get("ApproximateReceiveCount"),
        "group": attributes.get("MessageGroupId"),
        "body": body,
    }


if __name__ == "__main__":
    sys.exit(main())
