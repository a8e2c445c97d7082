"""Files that people and attackers really have, by the drop folder and the API: the text is there, or the reason."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.moto import BUCKET, JOBS, Moto
from tests.functions.ingest.test_corpus import COLLECTION, NO_REASONS, ROOT, SAMPLES, Expected, rows, squeezed
from tests.functions.ingest.test_durability import every_source
from tests.tenants import TestTenant

MEMORY_MB = 1024
SLICE = 400_000
# Not getrusage, which counts what the tests had when they started this process.
WORK = """
import sys
from pathlib import Path
from tests.functions.ingest.dying_worker import work
work(sys.argv[1])
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print("\\npeak", int(status["VmHWM"].split()[0]) // 1024)
"""


def text_of(api: httpx.Client, tenant: TestTenant, source_id: str) -> str:
    parts: list[str] = []
    while not parts or len(parts[-1]) == SLICE:
        query = {"start": len(parts) * SLICE, "end": (len(parts) + 1) * SLICE}
        answer = api.get(f"/api/v1/sources/{source_id}/text", headers=tenant.headers, params=query)
        parts.append(answer.raise_for_status().json()["text"])
    return "".join(parts)


@pytest.mark.timeout(3600)
def test_every_file_of_the_collection_is_found_through_the_api_or_refused_with_a_reason(
    api: httpx.Client,
    tenant: TestTenant,
    s3: Any,
    moto: Moto,
    lose_messages: Callable[[], None],
    route_events: Callable[[], None],
    count: Callable[[int, int], int],
) -> None:
    whole = count(0, 1) and COLLECTION.is_dir()
    expected = rows(COLLECTION / "manifest.csv" if whole else SAMPLES / "expected.csv")[:: 1 if whole else 5]
    lose_messages()
    for one in expected:
        s3.put_object(Bucket=BUCKET, Key=f"drop/{tenant.workspace_id}/{one.file.name}", Body=one.file.read_bytes())
    route_events()
    peaks = []
    # A new worker when the last one is through: messages that were handed back come after five seconds.
    for _ in range(4):
        command = [sys.executable, "-c", WORK, moto.queue_url(JOBS)]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, check=True, timeout=3000)
        peaks.append(int(done.stdout.split()[-1]))
        ends = {one["uri"].removeprefix("drop:"): one for one in every_source(api, tenant)}
        if all(one["status"] != "queued" for one in ends.values()):
            break
    broken = {one.file.name: fault for one in expected if (fault := _fault(api, tenant, one, ends[one.file.name]))}
    print(f"{len(expected)} files, promises broken: {len(broken)}; peak memory of a worker {max(peaks)} MB")
    assert broken == {}
    assert max(peaks) <= MEMORY_MB


def _fault(api: httpx.Client, tenant: TestTenant, one: Expected, source: dict[str, Any]) -> str | None:
    if source["status"] == "ready":
        if one.expect == "reject":
            return "read, though it should be refused"
        phrase = squeezed(one.phrase) if one.expect == "extract" else ""
        return None if phrase in squeezed(text_of(api, tenant, source["id"])) else "its phrase is not in its text"
    error = source["error"] or {"code": source["status"], "detail": ""}
    if one.expect == "extract" or error["code"] in NO_REASONS or len(error["detail"]) < 20:
        return f"{source['status']}: {error['code']}: {error['detail']}"
    return None
