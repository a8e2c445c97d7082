"""One execution for identical concurrent questions, across processes: counted where it costs, at the model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from minirag.runtime import settings
from tests.fakes.openai_server import OpenAIServer, first_sentence_cited
from tests.functions.ask.test_ask_with_models import CHAT
from tests.functions.ingest.test_ingestion import paste
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]

PROCESSES: Final = 60
# What the model takes; the rest of the work is a part of that.
MODEL_SECONDS: Final = 1.0
QUESTION: Final = "Where did the lighthouse of Alexandria stand?"


@pytest.fixture
def model(
    caching: pytest.MonkeyPatch, tenant: TestTenant, api: httpx.Client, deliver: Deliver
) -> Iterator[OpenAIServer]:
    """A model that takes its time, and a document to ask about."""

    def slow(prompt: str) -> str:
        time.sleep(MODEL_SECONDS)
        return first_sentence_cited(prompt)

    with OpenAIServer(slow) as server:
        caching.setenv("OPENAI_API_KEY", server.key)
        caching.setenv("OPENAI_BASE_URL", server.url)
        settings.current.cache_clear()
        paste(api, tenant)
        deliver()
        yield server


@dataclass(frozen=True, slots=True)
class Crowd:
    """What those who asked at once came to, None of one that was killed; and how it was worked for them."""

    results: list[Any]
    executions: list[float]
    chats: int

    @property
    def answered(self) -> list[Any]:
        return [result for result in self.results if result is not None]

    @property
    def cached(self) -> list[str]:
        return [result["cached"] for result in self.answered]


def crowd(
    model: OpenAIServer, tenant: TestTenant, question: str, folder: Path, *, processes: int, lease: float
) -> Crowd:
    """Let so many processes ask the same."""
    journal, before = folder / question, len(model.requests)
    arguments = (tenant.key, question, str(processes), str(lease), str(journal))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        (sys.executable, "-m", "tests.functions.ask.crowd", *arguments),
        env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=100,
    )  # fmt: skip
    paths = [request.path for request in model.requests[before:]]
    executions = [float(line.split()[0]) for line in journal.read_text().splitlines()]
    return Crowd(json.loads(ended.stdout.splitlines()[-1]), executions, paths.count(CHAT))


@pytest.mark.timeout(600)
def test_processes_that_ask_the_same_at_once_cost_one_call_of_the_model(
    model: OpenAIServer, tenant: TestTenant, tmp_path: Path, count: Callable[[int, int], int]
) -> None:
    for run in range(count(1, 10)):
        asked = crowd(model, tenant, f"{QUESTION} {run}", tmp_path, processes=PROCESSES, lease=6.0)
        answers = {json.dumps(result["answer"]) for result in asked.answered}
        counts = {kind: asked.cached.count(kind) for kind in ("miss", "shared", "hit")}
        print(f"{len(asked.answered)} answers of {len(answers)} kind, {asked.chats} call of the model: {counts}")
        assert [result["status"] for result in asked.results] == [200] * PROCESSES
        assert len(answers) == asked.chats == len(asked.executions) == 1
        assert asked.answered[0]["answer"]["outcome"] == "answered"
        assert counts["miss"] == 1
        assert counts["shared"] + counts["hit"] == PROCESSES - 1
        assert counts["shared"] > 0


@pytest.mark.timeout(600)
def test_a_leader_that_is_killed_costs_one_call_more_and_nobody_else_their_answer(
    model: OpenAIServer, tenant: TestTenant, tmp_path: Path, count: Callable[[int, int], int]
) -> None:
    lease, processes = 2.0, count(20, PROCESSES)
    for run in range(count(1, 10)):
        question = f"{QUESTION} {run}"
        killed: list[float] = []

        def killing(prompt: str, journal: Path = tmp_path / question, killed: list[float] = killed) -> str:
            time.sleep(MODEL_SECONDS / 2)
            if not killed:
                os.kill(int(journal.read_text().split()[1]), signal.SIGKILL)
                killed.append(time.monotonic())
            time.sleep(MODEL_SECONDS / 2)
            return first_sentence_cited(prompt)

        model.completion = killing
        asked = crowd(model, tenant, question, tmp_path, processes=processes, lease=lease)
        took = max(result["ended"] for result in asked.answered) - killed[0]
        work = next(result["ended"] for result in asked.answered if result["cached"] == "miss") - asked.executions[1]
        print(f"{asked.chats} calls, {len(asked.answered)} of {processes - 1} others answered {took:.2f} s after")
        print(f"(lease {lease:.2f} s, work {work:.2f} s)")
        assert asked.chats == len(asked.executions) == 2
        assert [result["status"] for result in asked.answered] == [200] * (processes - 1)
        assert len({json.dumps(result["answer"]) for result in asked.answered}) == 1
        assert asked.cached.count("miss") == 1
        # Promised is one second more than both; a busy machine may take more.
        assert took < lease + work + 4.0
