"""Processes that ask the same question at once, each through the handler of its own, as so many environments would.

    python -m tests.functions.ask.crowd KEY QUESTION PROCESSES LEASE_SECONDS JOURNAL

Prints, last, a JSON list of what each was answered, null for one that was killed. Every execution is a line of the file
JOURNAL, the moment of its begin and its process. The environment is a function's.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx

# What many would have to import at once else.
import openai  # noqa: F401
import redis  # noqa: F401

from functions.ask import answer, handler  # noqa: F401
from functions.ask.compose import Answer, compose
from local.response import rest_response
from minirag.runtime import cache, db, single_flight
from tests import flock
from tests.layers.runtime.flying import PATIENT_SECONDS, note
from tests.transport import context, invocation

OWN = {"answer_id", "request_id", "cached", "usage"}


def ask(key: str, question: str) -> dict[str, Any]:
    """What is answered, without what belongs to who asked, and when."""
    body = {"query": question, "provider": "openai"}
    request = httpx.Request("POST", "https://minirag.test/api/v1/ask", headers={"X-API-Key": key}, json=body)
    handle, event = invocation(request)
    response = rest_response(handle(event, context()))
    # Or the server would note that so many went without a word.
    db.close()
    said = json.loads(response.body)
    shared = {name: value for name, value in said.items() if name not in OWN}
    return {"status": response.status, "cached": said.get("cached"), "answer": shared, "ended": time.monotonic()}


def main(key: str, question: str, processes: int, lease: float, journal: Path) -> None:
    cache._TIMEOUT_SECONDS = PATIENT_SECONDS  # type: ignore[misc]
    single_flight._LEASE_MS = round(lease * 1000)  # type: ignore[misc]

    def noted(*given: Any, **more: Any) -> Answer:
        note(journal)
        return compose(*given, **more)

    vars(answer)["compose"] = noted
    print(json.dumps(flock.run(processes, lambda _: ask(key, question))))


if __name__ == "__main__":
    key, question, processes, lease, journal = sys.argv[1:]
    main(key, question, int(processes), float(lease), Path(journal))
