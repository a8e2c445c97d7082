"""The demonstration: the samples go in through S3 and over HTTP, and one question is asked.

A plain client of the running system: it knows what `dev.env` says and no more.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import boto3

from local.home import REPOSITORY, StackError
from local.moto import REGION
from local.terminal import Terminal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Json = dict[str, Any]

SAMPLES: Final = REPOSITORY / "samples"
UPLOADED: Final = "aviation-accident-reports.pdf"
QUESTION: Final = "What did the pilot do when the wooden propeller came apart?"

_NOT_SAMPLES: Final = ("README", "LICENSE")
_HTTP_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2
# Without any progress of any job.
_STUCK_SECONDS: Final = 120.0


class DemoError(StackError):
    """The demonstration cannot go on."""


class Api:
    """The HTTP API, with the demo key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def get(self, path: str) -> Json:
        """GET; raises DemoError for any status but success."""
        return self._send(path, None, "")

    def post(self, path: str, body: Json) -> Json:
        """POST JSON; raises DemoError for any status but success."""
        return self._send(path, json.dumps(body).encode(), "application/json")

    def upload(self, path: str, file: Path, wait_seconds: int) -> Json:
        """POST a file as a form would; raises DemoError for any status but success."""
        boundary = uuid4().hex
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="wait"\r\n\r\n{wait_seconds}\r\n'.encode(),
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n'.encode(),
            b"Content-Type: application/octet-stream\r\n\r\n",
            file.read_bytes(),
            f"\r\n--{boundary}--\r\n".encode(),
        )
        return self._send(path, b"".join(parts), f"multipart/form-data; boundary={boundary}")

    def all(self, path: str) -> list[Json]:
        """Return the items of all pages of a list."""
        items: list[Json] = []
        cursor = ""
        while True:
            page = self.get(f"{path}?limit=200{cursor}")
            items += page["items"]
            if not page["next_cursor"]:
                return items
            cursor = f"&cursor={page['next_cursor']}"

    def _send(self, path: str, body: bytes | None, content_type: str) -> Json:
        headers = {"X-API-Key": self._key} | ({"Content-Type": content_type} if content_type else {})
        request = urllib.request.Request(self._url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=_HTTP_SECONDS) as answer:
                found: Json = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise DemoError(f"{request.get_method()} {path} was answered {error.code}: {_detail(error)}") from error
        except OSError as error:
            raise DemoError(f"Mini-RAG at {self._url} does not answer ({error}).") from error


def show(variables: Mapping[str, str], terminal: Terminal) -> None:
    """Ingest what is not in yet, ask the question, and print its cited answer. Raises DemoError."""
    api = Api(variables["MINIRAG_URL"], variables["MINIRAG_API_KEY"])
    session = boto3.Session(aws_access_key_id="demo", aws_secret_access_key="demo", region_name=REGION)
    s3 = session.client("s3", endpoint_url=variables["MINIRAG_S3_ENDPOINT"])
    terminal.heading("Documents")
    _drop(api, s3, variables["MINIRAG_BUCKET"], f"drop/{variables['MINIRAG_WORKSPACE_ID']}/", terminal)
    _upload(api, terminal)
    _ask(api, terminal)


def _drop(api: Api, s3: "S3Client", bucket: str, prefix: str, terminal: Terminal) -> None:
    """Put the samples into the drop folder, except those that are in unchanged, and wait for their jobs."""
    samples = [
        file
        for file in sorted(SAMPLES.iterdir())
        if file.is_file() and not file.name.startswith(_NOT_SAMPLES) and file.name != UPLOADED
    ]
    stored = {
        one["Key"]: one["ETag"].strip('"')
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for one in page.get("Contents", [])
    }
    ready = {source["name"] for source in api.all("/api/v1/sources") if source["status"] == "ready"}
    new = [
        file
        for file in samples
        if file.name not in ready
        or stored.get(prefix + file.name) != md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    ]
    if len(new) < len(samples):
        terminal.line(f"  {len(samples) - len(new)} of {len(samples)} samples are in already.")
    if not new:
        return
    before = {job["id"] for job in api.all("/api/v1/jobs")}
    for file in new:
        s3.put_object(Bucket=bucket, Key=prefix + file.name, Body=file.read_bytes())
    _wait(api, {file.name for file in new}, before, terminal)


def _wait(api: Api, names: set[str], before: set[str], terminal: Terminal) -> None:
    """Wait for the new jobs of these sources, and tell of each as it ends. Raises DemoError for one that failed."""
    waiting = set(names)
    last_change, last_seen = time.monotonic(), ""
    while waiting:
        jobs = [job for job in api.all("/api/v1/jobs") if job["id"] not in before]
        sources = {source["id"]: source for source in api.all("/api/v1/sources")}
        for job in reversed(jobs):
            source = sources.get(job["source_id"])
            if source is not None and source["name"] in waiting and job["status"] in {"done", "failed"}:
                waiting.discard(source["name"])
                _tell(source, job, terminal)
        stages = ", ".join(f"{job['stage']} {job['progress']:.0%}" for job in jobs if job["status"] == "running")
        terminal.passing(f"{len(names) - len(waiting)} of {len(names)} documents … {stages}")
        seen = f"{len(waiting)} {stages}"
        if seen != last_seen:
            last_change, last_seen = time.monotonic(), seen
        if time.monotonic() - last_change > _STUCK_SECONDS:
            raise DemoError(f"{', '.join(sorted(waiting))}: nothing has happened for two minutes; see the logs.")
        time.sleep(_POLL_SECONDS)


def _tell(source: Json, job: Json, terminal: Terminal) -> None:
    """Show what became of a document: pages, chunks, and the seconds it and its embedding took."""
    if job["status"] == "failed":
        raise DemoError(f"{source['name']} was not ingested: {job['error']['detail']}")
    started, finished = (datetime.fromisoformat(job[moment]) for moment in ("started_at", "finished_at"))
    pages = f"{source['pages']} pages, " if source["pages"] else ""
    embedding = job.get("timings_ms", {}).get("embedding")
    embedded = "" if embedding is None else f", {embedding / 1000:.2f} s of it embedding"
    detail = f"{pages}{job['chunks_added']} chunks{embedded}"
    terminal.timed(source["name"], (finished - started).total_seconds(), detail)


def _upload(api: Api, terminal: Terminal) -> None:
    """Send the report as a form would, and show how long it took to become searchable."""
    report = SAMPLES / UPLOADED
    if any(source["name"] == report.name and source["status"] == "ready" for source in api.all("/api/v1/sources")):
        terminal.line(f"  {report.name} is in already.")
        return
    started = time.monotonic()
    terminal.passing(f"uploading {report.name} …")
    job = api.upload("/api/v1/ingest/files", report, wait_seconds=25)["jobs"][0]
    while job["status"] not in {"done", "failed"}:
        if time.monotonic() - started > _STUCK_SECONDS:
            raise DemoError(f"{report.name} is not searchable after two minutes; see the logs.")
        time.sleep(_POLL_SECONDS)
        job = api.get(f"/api/v1/jobs/{job['id']}")
    searchable = time.monotonic() - started
    _tell(api.get(f"/api/v1/sources/{job['source_id']}"), job, terminal)
    embedding = job["timings_ms"].get("embedding", 0.0) / 1000
    terminal.timed("  from its upload to searchable", searchable, f"{searchable - embedding:.2f} s without embedding")


def _ask(api: Api, terminal: Terminal) -> None:
    """Ask the question and show the answer with what each of its citations stands for."""
    terminal.heading("Question")
    terminal.paragraph(QUESTION)
    started = time.monotonic()
    terminal.passing("asking …")
    answer = api.post("/api/v1/ask", {"query": QUESTION})
    took = time.monotonic() - started
    terminal.passing("")
    terminal.heading("Answer")
    terminal.paragraph(answer["answer"])
    names = {chunk["source_id"]: chunk["source"]["name"] for chunk in answer["chunks"]}
    terminal.heading("Cited")
    said = ""
    for citation in answer["citations"]:
        page = f", page {citation['page']}" if citation["page"] else ""
        passage = f"  [{citation['marker']}] {terminal.marked(names[citation['source_id']] + page)}"
        if passage != said:
            terminal.line(passage)
            said = passage
        terminal.paragraph(f"“{' '.join(citation['quote'].split())}”", indent=6)
    terminal.line()
    terminal.timed(f"answered by {_answerer(answer)}", took)
    if answer["outcome"] != "answered" or not answer["citations"]:
        raise DemoError("The question was not answered from the documents.")


def _answerer(answer: Json) -> str:
    provider, model = str(answer["provider"]), str(answer["model"])
    return model if model.startswith(provider) else f"{provider} {model}"


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.load(error)
    except ValueError:
        return error.reason
    return str(problem.get("detail", problem))
