"""A document whose text says in which version it is, and its way into the workspace, for programs beside the tests."""

import re
from typing import Any, Final

import boto3
import httpx

from local.event import sqs_event
from minirag.runtime import settings
from tests.transport import HandlerTransport, context

_ARN: Final = "arn:aws:sqs:us-east-1:123456789012:any"


def text_of(name: str, version: int) -> str:
    return f"The lighthouse of {name} is in version {version} of its history."


def question_about(name: str) -> str:
    return f"In which version of its history is the lighthouse of {name}?"


def versions_in(said: str, name: str) -> set[int]:
    """The versions of a document that an answer, with all that it cites and shows, tells of."""
    return {int(number) for number in re.findall(rf"lighthouse of {name} is in version (\d+)", said)}


class Client:
    """Calls the handlers in this process as API Gateway, S3's notifications and SQS do."""

    def __init__(self, key: str) -> None:
        current = settings.current()
        self.http = httpx.Client(
            transport=HandlerTransport(), base_url="https://minirag.test", headers={"X-API-Key": key}
        )
        self._sqs: Any = boto3.client("sqs", endpoint_url=current.sqs_endpoint)
        self._uploads, self._jobs = current.uploads_queue_url, current.jobs_queue_url

    def paste(self, name: str, version: int, source_id: str | None) -> dict[str, Any]:
        """Hand in a version, in the place of the one before if there is a source; its job."""
        # The language is said, or finding it out would take each new process seconds.
        body = {"title": name, "text": text_of(name, version), "language": "en"}
        body |= {"source_id": source_id} if source_id else {}
        response = self.http.post("/api/v1/ingest/text", json=body)
        assert response.status_code == 202, response.text
        job: dict[str, Any] = response.json()["jobs"][0]
        return job

    def delete(self, source_id: str) -> None:
        response = self.http.delete(f"/api/v1/sources/{source_id}")
        assert response.status_code == 204, response.text

    def status(self, job: dict[str, Any]) -> str:
        return str(self.http.get(f"/api/v1/jobs/{job['id']}").json()["status"])

    def route(self) -> None:
        """Take what the storage told to the router."""
        from functions.ingest import router

        for message in self._receive(self._uploads):
            router.handler(sqs_event([message], queue_arn=_ARN), context(300))
            self._sqs.delete_message(QueueUrl=self._uploads, ReceiptHandle=message["ReceiptHandle"])

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that wait for a worker, as messages that are ours for a minute."""
        return self._receive(self._jobs)

    def work(self, message: dict[str, Any]) -> bool:
        """Do a job; whether it is done with."""
        from functions.ingest import worker

        answer = worker.handler(sqs_event([message], queue_arn=_ARN), context(300))
        if answer["batchItemFailures"]:
            return False
        self._sqs.delete_message(QueueUrl=self._jobs, ReceiptHandle=message["ReceiptHandle"])
        return True

    def _receive(self, url: str) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], VisibilityTimeout=60, WaitTimeSeconds=0
        ).get("Messages", [])
        return received
