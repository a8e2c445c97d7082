"""POST /api/v1/search through its Lambda handler, beside what LangChain and LlamaIndex compose."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import httpx
import numpy as np

from bench.engine import TOP, Merging, bytes_of, forget, forgotten
from bench.filled import DIMENSION, Filled
from bench.results import OURS, Contender, Results, interleave, say, timed
from bench.rivals import Missing, Rival
from evals.store import Document
from minirag.knowledge.embeddings import Embedder
from minirag.knowledge.embeddings.choose import embedder
from minirag.runtime import settings
from tests.transport import context, invocation

PEERS: Final = ("langchain", "llama-index", "llama-index-postgres")
NAMES: Final = {
    "langchain": "LangChain, rank_bm25 + PGVectorStore",
    "llama-index": "LlamaIndex, bm25s + PGVectorStore",
    "llama-index-postgres": "LlamaIndex, ts_rank + PGVectorStore",
}

_PATH: Final = "/api/v1/search"

LARGEST: Final = 100_000

_LIMITS_MS: Final = {100_000: (15.0, 30.0)}
_AT_LEAST: Final = {"langchain": 20.0, "llama-index-postgres": 20.0, "llama-index": 0.9}
_COLD: Final = "Mini-RAG, nothing cached"
_WARM_UP: Final = 20  # questions for peers
_ADDED: Final = 10  # documents whose way into a search is timed


def model() -> Embedder | None:
    """The model that embeds here; its vectors of questions are real, those of the chunks are not."""
    return embedder(settings.current())


def measure(
    results: Results, filled: Filled, superuser_url: str, warm_up: Sequence[str], questions: Sequence[str],
    peers: Sequence[str], interpreter: Path,
) -> None:  # fmt: skip
    """Ask `questions` of everyone, after `warm_up` and after each was embedded once."""
    size, using = filled.size, model()
    assert using is not None
    assert filled.vectors is not None
    say(f"{size:,} chunks: hybrid search over HTTP events")
    with ExitStack() as stack:
        ask = partial(_invocation, filled.tenant.workspace.tenant.headers)
        search = partial(_search, filled.tenant.workspace.tenant.headers)
        for question in (*questions, *warm_up):
            search(question)  # embeds it, once
        forget()
        running = _start(stack, results, filled, superuser_url, questions, using, peers, interpreter)

        def cold(number: int) -> float:
            with forgotten():
                return timed(ask(questions[number]))

        contenders: dict[str, Contender] = {_COLD: cold, OURS: lambda number: timed(ask(questions[number]))}
        for name, rival in running.items():
            contenders[NAMES[name]] = lambda number, rival=rival: rival.ask(questions[number], number)[0]  # type: ignore[misc]
            for number in range(_WARM_UP):
                rival.ask(warm_up[number], number)
        for question in warm_up:
            search(question)
        taken = interleave(len(questions), contenders)
        results.latency("hybrid", size, taken)
        asked = [ask(question) for question in questions]
        results.processor("hybrid", size, lambda number: asked[number](), len(questions))
        _bounds(results, size)
        moved = [bytes_of(ask(question)) for question in questions]
        results.fact("hybrid", size, "moved by a question, warm, p50", float(np.median(moved)) / 1000, "kB")
        _one_more(results, filled, running, search)


def _invocation(headers: Mapping[str, str], question: str) -> Callable[[], dict[str, Any]]:
    """What is timed: the handler, called with the event of a question; making the event is API Gateway's work."""
    body = {"query": question, "k": TOP}
    handler, event = invocation(httpx.Request("POST", f"https://bench{_PATH}", json=body, headers=headers))
    return partial(handler, event, context())


def _search(headers: Mapping[str, str], question: str) -> dict[str, Any]:
    response = _invocation(headers, question)()
    assert response["statusCode"] == HTTPStatus.OK, response
    found: dict[str, Any] = json.loads(response["body"])
    return found


def _start(
    stack: ExitStack, results: Results, filled: Filled, superuser_url: str, questions: Sequence[str], using: Embedder,
    peers: Sequence[str], interpreter: Path,
) -> dict[str, Rival]:  # fmt: skip
    vectors = filled.vectors_path.with_suffix(".questions.npy")
    np.save(vectors, np.concatenate([using.embed([question], seconds=60).vectors for question in questions]))
    running: dict[str, Rival] = {}
    for name in PEERS:
        if name not in peers:
            continue
        try:
            rival = stack.enter_context(Rival(name, interpreter))
            loaded = rival.load(
                corpus=str(filled.corpus), vectors=str(filled.vectors_path), dimension=DIMENSION, url=superuser_url,
                questions=list(questions), question_vectors=str(vectors),
            )  # fmt: skip
        except Missing as missing:
            results.lacks(NAMES[name], str(missing))
            continue
        results.fact("hybrid", filled.size, f"{NAMES[name]}: memory of the process", loaded["memory_mb"], "MB")
        running[name] = rival
    return running


def _bounds(results: Results, size: int) -> None:
    ours = results.median("hybrid", size)
    if ours is None or size not in _LIMITS_MS:
        return
    results.fact("hybrid", size, "p50", ours[0], "ms", most=_LIMITS_MS[size][0])
    results.fact("hybrid", size, "p95", ours[1], "ms", most=_LIMITS_MS[size][1])
    for name, least in _AT_LEAST.items():
        if (theirs := results.median("hybrid", size, NAMES[name])) is not None:
            results.fact("hybrid", size, f"faster than {NAMES[name]}", theirs[0] / ours[0], "times", least=least)


def _one_more(results: Results, filled: Filled, running: dict[str, Rival], search: Any) -> None:  # noqa: ANN401
    """From one more document, a short one with its vector, to a search that finds it."""
    using = model()
    assert using is not None
    workspace = filled.tenant.workspace
    merging, times = Merging(workspace), []
    for _ in range(_ADDED):
        word = f"zz{uuid4().hex}"
        text = f"The word {word} is in no other document."
        vector = using.embed([text], seconds=60).vectors
        using.embed([word], seconds=60)
        search(word)  # so that its embedding is known, as that of other questions is
        began = perf_counter()
        source_id = workspace.add(Document("One more", [text], [vector]), model=using.model)
        found = search(word)["chunks"]
        times.append((perf_counter() - began) * 1000)
        assert found[0]["source_id"] == str(source_id), found
        merging.tidy()
    results.fact("hybrid", filled.size, "one more document until it is found", float(np.median(times)), "ms")
    for name, rival in running.items():
        word = f"zz{uuid4().hex}"
        try:
            ms, found_numbers = rival.add(f"The word {word} is in no other document.", word)
        except Missing as missing:
            results.lacks(f"{NAMES[name]}, one more document", str(missing))
            continue
        assert filled.size in found_numbers, (name, found_numbers)
        results.fact("hybrid", filled.size, f"{NAMES[name]}: one more document until it is found", ms, "ms")
