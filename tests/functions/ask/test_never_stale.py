"""An answer is never older than the last change that was committed before it was asked for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from minirag.runtime import settings
from tests.tenants import TestTenant


def told_by(program: str, *arguments: object, seconds: float) -> dict[str, int]:
    """The counts that a program beside this one prints."""
    command = (sys.executable, "-m", f"tests.functions.ask.{program}", *map(str, arguments))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds
    )  # fmt: skip
    counts: dict[str, int] = json.loads(ended.stdout.splitlines()[-1])
    return counts


@pytest.fixture
def by_words_alone(caching: pytest.MonkeyPatch) -> None:
    """Without vectors, which have no part in this, so that there is time for many orders."""
    caching.delenv("MINIRAG_MINILM_MODEL")
    settings.current.cache_clear()


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("by_words_alone")
def test_no_order_of_two_readers_and_an_ingester_gives_a_stale_answer(
    tenant: TestTenant, count: Callable[[int, int], int], lose_messages: Callable[[], None]
) -> None:
    lose_messages()
    counts = told_by("interleaved", tenant.key, count(20, 1), seconds=1100)
    print(f"stale {counts['stale']} of {counts['answers']} answers, in {counts['orders']} orders: {counts}")
    assert (counts["stale"], counts["early"]) == (0, 0)
    assert counts["orders"] >= count(50, 805)
    assert min(counts["miss"], counts["hit"], counts["shared"], counts["dead"]) > 0


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("by_words_alone")
def test_without_the_generation_in_the_key_the_same_orders_give_stale_answers(
    tenant: TestTenant, count: Callable[[int, int], int], lose_messages: Callable[[], None]
) -> None:
    lose_messages()
    counts = told_by("interleaved", tenant.key, count(1000, 1), "ungenerated", seconds=1100)
    print(f"stale {counts['stale']} of {counts['answers']} answers, in {counts['orders']} orders: {counts}")
    assert counts["stale"] > 0


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("by_words_alone")
def test_no_answer_is_stale_while_documents_are_replaced_deleted_and_added(
    tenant: TestTenant, count: Callable[[int, int], int], lose_messages: Callable[[], None]
) -> None:
    lose_messages()
    counts = told_by("changing", tenant.key, count(8, 600), seconds=1100)
    print(f"stale {counts.get('stale', 0)} of {counts['answers']} answers: {counts}")
    assert counts.get("stale", 0) == 0
    # There was something to tell, to find and to change.
    assert min(counts["told"], counts["hit"], counts["miss"]) > 20
    assert min(counts["changes"], counts["deletions"]) > 0
