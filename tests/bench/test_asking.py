"""What the figures of asking rest on: time that is counted once, workloads that are what they are said to be."""

import asyncio
from collections import Counter
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import tiktoken

from bench import inside
from bench.asker import TOKENS, documents, turned
from bench.repeated import PROMISED, Workload, hits, rate, sequence
from bench.spans import REST, Spans, watched
from bench.texts import Texts
from minirag.runtime import rates


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spans(clock: Clock) -> Spans:
    return Spans(clock)


def test_a_moment_counts_for_the_innermost_span_alone(clock: Clock, spans: Spans) -> None:
    clock.tick(100)
    with spans.span(REST):
        clock.tick(1)
        with spans.span("inner"):
            clock.tick(2)
            with spans.span("innermost"):
                clock.tick(4)
            clock.tick(8)
        clock.tick(16)
    clock.tick(100)
    assert spans.seconds == {REST: 17, "inner": 10, "innermost": 4}
    assert [(name, seconds) for name, seconds, _ in spans.table()] == [("inner", 10), ("innermost", 4), (REST, 17)]
    assert sum(share for *_, share in spans.table()) == pytest.approx(1)


def test_a_span_ends_where_its_call_raises(clock: Clock, spans: Spans) -> None:
    def fail() -> None:
        clock.tick(1)
        raise KeyError

    with spans.span(REST):
        with pytest.raises(KeyError):
            spans.around("failing", fail)()
        clock.tick(2)
    assert spans.seconds == {"failing": 1, REST: 2}


def test_a_coroutine_is_a_span_until_it_has_ended(clock: Clock, spans: Spans) -> None:
    async def work() -> str:
        clock.tick(1)
        await asyncio.sleep(0)
        clock.tick(2)
        return "done"

    assert asyncio.run(spans.around("later", work)()) == "done"
    assert spans.seconds == {"later": 3}


def test_what_another_thread_does_is_no_span_unless_it_is_told_apart(clock: Clock, spans: Spans) -> None:
    def in_thread(work: object) -> None:
        assert callable(work)
        thread = Thread(target=work)
        thread.start()
        thread.join()

    with spans.span("waiting"):
        in_thread(spans.around("unseen", lambda: clock.tick(1)))
        in_thread(spans.beside("sent", "waiting", lambda: clock.tick(2)))
        clock.tick(4)
    assert spans.seconds == {"waiting": 5, "sent": 2}


def test_functions_are_watched_within_and_never_after(clock: Clock, spans: Spans) -> None:
    place = SimpleNamespace(work=lambda: clock.tick(1))
    with watched(spans, {"work": [(place, "work")]}):
        place.work()
    place.work()
    assert spans.seconds == {"work": 1}


def test_every_function_that_the_benchmark_watches_is_there() -> None:
    before = rates.take
    with inside.watching(Spans(), inside.MADE), inside.sending(Spans()):
        assert rates.take is not before
    assert rates.take is before


def test_questions_follow_zipfs_law_and_are_the_same_each_time() -> None:
    asked = sequence(1.0, 40_000)
    assert asked == sequence(1.0, 40_000)
    often = Counter(asked)
    for rank in (1, 3, 9):
        assert often[0] / often[rank] == pytest.approx(rank + 1, rel=0.15)
    assert max(Counter(sequence(1.2, 40_000)).values()) > max(often.values())


@pytest.mark.parametrize(
    ("workload", "found"),
    [
        (Workload(1.0, every=0, per_hour=100), [False, False, True, True, True, True, True]),
        # A document before each third: nothing that was made before it is there.
        (Workload(1.0, every=3, per_hour=100), [False, False, True, False, False, True, False]),
        # What was made four questions ago is an hour old.
        (Workload(1.0, every=0, per_hour=4), [False, False, True, True, False, False, True]),
    ],
)
def test_a_hit_is_an_answer_made_within_the_hour_and_since_the_last_document(
    workload: Workload, found: list[bool]
) -> None:
    assert list(hits([0, 1, 0, 1, 0, 1, 0], workload)) == found


def test_the_first_hour_does_not_count() -> None:
    assert rate([False, False, True, False], Workload(1.0, every=0, per_hour=2)) == 0.5


def test_the_promised_workload_keeps_its_promise_as_computed() -> None:
    computed = rate(list(hits(sequence(PROMISED.exponent, 50_000), PROMISED)), PROMISED)
    assert 0.70 < computed < 0.80


@pytest.fixture
def texts() -> Texts:
    sentences = [f"The {word} flows over a heated {other} plate." for word in "abcdefgh" for other in "klmnopqr"]
    return Texts("some", sentences, [], [])


def test_chunks_are_as_long_as_those_of_ingestion(texts: Texts) -> None:
    encoding = tiktoken.get_encoding("cl100k_base")
    made = list(documents(texts, 60))
    assert [len(document.passages) for document in made] == [50, 10]
    for document in made:
        for passage, windows in zip(document.passages, document.windows, strict=True):
            assert 0.95 * TOKENS < len(encoding.encode_ordinary(passage)) <= TOKENS
            assert windows.shape == (3, 384)


def test_a_question_lies_as_near_to_its_chunk_as_it_is_said_to() -> None:
    rng = np.random.default_rng(1)
    vector = rng.standard_normal(384).astype(np.float32)
    vector /= np.linalg.norm(vector)
    near = turned(vector, rng)
    assert float(near @ vector) == pytest.approx(0.6, abs=1e-4)
    assert float(np.linalg.norm(near)) == pytest.approx(1, abs=1e-4)
