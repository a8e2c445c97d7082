"""Processes that ask while others replace, delete and add what they ask about.

    python -m tests.functions.ask.changing KEY SECONDS

Each of the DOCUMENTS has one process that changes it; what it has brought about stands in memory that all share. Every
answer is held against what stood there before it was asked for. Prints, last, counts as JSON. The environment is a
function's.
"""

import json
import mmap
import random
import sys
import time
from collections import Counter
from typing import Any, Final

import boto3  # noqa: F401  before there are more processes
import redis  # noqa: F401

from functions.admin import handler as admin_handler  # noqa: F401
from functions.ask import handler as ask_handler  # noqa: F401
from functions.ingest import handler as ingest_handler  # noqa: F401
from functions.ingest import router, worker  # noqa: F401
from minirag.runtime import cache, db
from tests import flock
from tests.functions.ask.ingesting import Client, question_about, versions_in
from tests.layers.runtime.flying import PATIENT_SECONDS

DOCUMENTS: Final = ("Pharos", "Corunna")
ASKERS: Final = 4
# Of each document; the same question twice may be answered once.
QUESTIONS: Final = 2
_SIZE: Final = 8
# So that those who ask leave room for those who change, on a machine of few cores.
_ASKERS_PAUSE_SECONDS: Final = 0.03
_CHANGERS_PAUSE_SECONDS: Final = 0.3
_CHANGES_TO_A_DELETION: Final = 4


class Standing:
    """What was brought about, of each document: its newest version, and whether that was deleted since."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _SIZE * len(DOCUMENTS))

    def show(self, document: int, version: int, *, deleted: bool) -> None:
        packed = (2 * version + deleted).to_bytes(_SIZE, "little")
        # One store of a machine word: nobody sees half of it.
        self._shared[document * _SIZE : (document + 1) * _SIZE] = packed

    def oldest_right(self, document: int) -> int:
        """The oldest version that an answer may tell of which is asked for from now on."""
        packed = int.from_bytes(self._shared[document * _SIZE : (document + 1) * _SIZE], "little")
        return packed // 2 + packed % 2


def change(client: Client, standing: Standing, document: int, ends: float) -> Counter[str]:
    """Replace the document again and again, now and then delete it and add it anew."""
    name, chance, counts = DOCUMENTS[document], random.Random(document), Counter[str]()
    source_id: str | None = None
    version = 0
    while time.monotonic() < ends:
        version += 1
        job = client.paste(name, version, source_id)
        source_id = job["source_id"]
        while (status := client.status(job)) != "done":
            assert status != "failed"
            # What lies in the queues may be the other's job, who may have this one.
            client.route()
            for message in client.jobs():
                client.work(message)
        standing.show(document, version, deleted=False)
        counts["changes"] += 1
        time.sleep(chance.uniform(0, _CHANGERS_PAUSE_SECONDS))
        if version % _CHANGES_TO_A_DELETION == 0:
            client.delete(source_id)
            standing.show(document, version, deleted=True)
            source_id = None
            counts["deletions"] += 1
            time.sleep(chance.uniform(0, _CHANGERS_PAUSE_SECONDS))
    return counts


def ask(client: Client, standing: Standing, number: int, ends: float) -> Counter[str]:
    """Ask about all documents, and hold each answer against what stood before."""
    chance, counts = random.Random(100 + number), Counter[str]()
    while time.monotonic() < ends:
        document = chance.randrange(len(DOCUMENTS))
        question = {"query": question_about(DOCUMENTS[document]), "k": 8 + chance.randrange(QUESTIONS)}
        oldest = [standing.oldest_right(one) for one in range(len(DOCUMENTS))]
        response = client.http.post("/api/v1/ask", json=question)
        assert response.status_code == 200, response.text
        answer = response.json()
        counts["answers"] += 1
        counts[answer["cached"]] += 1
        counts[answer["outcome"]] += 1
        for one, name in enumerate(DOCUMENTS):
            told = versions_in(response.text, name)
            counts["told"] += bool(told)
            counts["stale"] += bool(told) and min(told) < oldest[one]
        time.sleep(chance.uniform(0, _ASKERS_PAUSE_SECONDS))
    return counts


def main(key: str, seconds: float) -> None:
    cache._TIMEOUT_SECONDS = PATIENT_SECONDS  # type: ignore[misc]
    standing = Standing()
    ends = time.monotonic() + seconds

    def work(number: int) -> Any:
        client = Client(key)
        try:
            if number < len(DOCUMENTS):
                return change(client, standing, number, ends)
            return ask(client, standing, number, ends)
        finally:
            db.close()

    print(json.dumps(sum(map(Counter, flock.run(len(DOCUMENTS) + ASKERS, work)), Counter[str]())))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
