"""What the benchmarks know of the inside of asking: which function does what, by the name under which it is called."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import httpx2

from bench.asker import Call
from bench.spans import REST, Spans, watched
from functions.ask import answer, compose, embedded, prompt, retrieve, routes, spend, support
from functions.ask.given import Given
from functions.ask.kept import Kept
from minirag.knowledge.lexical import search as lexical
from minirag.knowledge.llm import fail_over
from minirag.knowledge.vectors import search as vectors
from minirag.runtime import cache, rates, single_flight, telemetry
from minirag.runtime.single_flight import Cached, Done
from minirag.tenancy import access

Places = dict[str, list[tuple[Any, str]]]

PROVIDER: Final = "the provider, without HTTP"
HTTP: Final = "HTTP to the model"

# What every answer takes, whether it was there or not.
GIVEN: Final[Places] = {
    "rate": [(rates, "take")],
    "identity and quota": [(access, "identify")],
    "body in": [(access, "read_model")],
    "cache": [(answer, "_key"), (single_flight, "once")],
    "unpack": [(Kept, "unpack")],
    "record": [(answer, "record")],
    "body out": [(Given, "body"), (routes, "json_response")],
    "log lines": [(telemetry, "begin"), (telemetry, "bind"), (telemetry, "event")],
}
# What making one takes beside.
MADE: Final[Places] = GIVEN | {
    "the question's vector, known": [(embedded, "find")],
    "search by words": [(lexical.Request, "__init__"), (lexical.Request, "found")],
    "search by meaning": [(vectors.Request, "__init__"), (vectors.Request, "look"), (vectors.Request, "found")],
    "fusion": [(retrieve, "_fuse")],
    "the chunks' texts": [(retrieve, "_read")],
    "prompt": [(prompt, "build"), (prompt, "digest")],
    "answerability": [(support, "signals")],
    "the month's limit": [(spend, "complete")],
    PROVIDER: [(fail_over, "complete")],
    "citations": [(compose, "_verify")],
    "output made harmless": [(compose, "harmless")],
    "pack": [(Kept, "of"), (Kept, "pack")],
    "retrieval: transactions and the rest": [(compose, "search")],
    "composition: the rest": [(answer, "compose")],
}


@contextmanager
def watching(spans: Spans, places: Places) -> Iterator[None]:
    """Within, the time of each question is told apart by these places."""
    with watched(spans, {REST: [(Call, "handle")], **places}):
        yield


@contextmanager
def sending(spans: Spans) -> Iterator[None]:
    """Within, HTTP to a model is told apart from its provider; a thread beside the one that waits for it sends."""
    with mock.patch.object(httpx2.Client, "send", spans.beside(HTTP, PROVIDER, httpx2.Client.send)):
        yield


def close_breaker() -> None:
    """Let the next call try Redis again, as it would ten seconds after a failure."""
    cache._closed_from = 0.0  # noqa: SLF001


@contextmanager
def kept() -> Iterator[list[str]]:
    """Within, under which key each answer is kept, in the order of the questions."""
    keys: list[str] = []
    once = single_flight.once

    def noted(kind: str, tag: str, work: Callable[[], Done], *, seconds: float) -> tuple[bytes, Cached]:
        keys.append(f"{kind}:{{{tag}}}")
        return once(kind, tag, work, seconds=seconds)

    with mock.patch.object(single_flight, "once", noted):
        yield keys
