"""Keyword search beside full text search in the same database, rank-bm25 and bm25s."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import psycopg

from bench.engine import TOP, bytes_of, forget, forgotten
from bench.filled import Filled
from bench.results import OURS, Contender, Results, interleave, say, timed
from bench.rivals import Missing, Rival
from bench.tables import TextTable

_LIMITS_MS: Final = {100_000: (6.0, 12.0), 1_000_000: (30.0, None)}  # p50, p95
_AT_LEAST: Final = {("ts_rank_cd, any word", 100_000): 20.0, ("rank-bm25", 100_000): 40.0}
_LARGEST: Final = {"rank-bm25": 100_000, "bm25s": 1_000_000, "ts_rank_cd": 100_000}
_WARM_UP: Final = 20  # questions for peers, which keep nothing of them
_COLD: Final = "Mini-RAG, nothing cached"


def measure(
    results: Results, filled: Filled, superuser_url: str, warm_up: Sequence[str], questions: Sequence[str],
    peers: Sequence[str], interpreter: Path,
) -> None:  # fmt: skip
    """Ask `questions` of everyone, after `warm_up`; first with nothing cached, then as a process that has worked."""
    size = filled.size

    def keyword(question: str) -> object:
        return filled.tenant.keyword(question)

    say(f"{size:,} chunks: keyword search")
    with ExitStack() as stack:

        def cold(number: int) -> float:
            with forgotten():
                return timed(lambda: keyword(questions[number]))

        contenders: dict[str, Contender] = {
            _COLD: cold,
            OURS: lambda number: timed(partial(keyword, questions[number])),
        }
        asked: list[Callable[[str], object]] = [keyword]
        if "ts_rank_cd" in peers and size <= _LARGEST["ts_rank_cd"]:
            connection = stack.enter_context(psycopg.connect(superuser_url, autocommit=True))
            table = TextTable(connection)
            stack.callback(table.drop)
            results.fact("keyword", size, "ts_rank_cd: loaded and indexed", table.fill(filled.contents(), None), "s")
            results.fact(
                "keyword", size, "ts_rank_cd: tsvectors and GIN", 100 * table.size() / filled.text_bytes,
                "% of the text",
            )  # fmt: skip
            found = [len(table.all_words(question)) for question in questions]
            share = 100 * sum(count < TOP for count in found) / len(found)
            results.fact("keyword", size, "ts_rank_cd, all words: questions with fewer than ten chunks", share, "%")
            for name, ask in (("any word", table.any_word), ("all words", table.all_words)):
                contenders[f"ts_rank_cd, {name}"] = _asker(ask, questions)
                asked.append(ask)
        for name in ("rank-bm25", "bm25s"):
            if name in peers and size <= _LARGEST[name]:
                try:
                    rival = stack.enter_context(Rival(name, interpreter))
                    loaded = rival.load(corpus=str(filled.corpus))
                except Missing as missing:
                    results.lacks(name, str(missing))
                    continue
                results.fact("keyword", size, f"{name}: loaded and indexed", loaded["ms"] / 1000, "s")
                results.fact("keyword", size, f"{name}: memory of the process", loaded["memory_mb"], "MB")
                contenders[name] = lambda number, rival=rival: rival.ask(questions[number], number)[0]  # type: ignore[misc]
                asked.append(lambda question, rival=rival: rival.ask(question, 0))  # type: ignore[misc]
        for one in asked:
            for question in warm_up[: len(warm_up) if one is keyword else _WARM_UP]:
                one(question)

        taken = interleave(len(questions), contenders)
        results.latency("keyword", size, taken)
        results.processor("keyword", size, lambda number: keyword(questions[number]), len(questions))
    _bounds(results, size)
    _traffic(results, filled, warm_up, questions)


def _asker(ask: Callable[[str], object], questions: Sequence[str]) -> Contender:
    return lambda number: timed(lambda: ask(questions[number]))


def _bounds(results: Results, size: int) -> None:
    ours = results.median("keyword", size)
    if ours is not None and size in _LIMITS_MS:
        p50, p95 = _LIMITS_MS[size]
        results.fact("keyword", size, "p50", ours[0], "ms", most=p50)
        results.fact("keyword", size, "p95", ours[1], "ms", most=p95)
    for one in [one for one in results.latencies if one.part == "keyword" and one.size == size]:
        if one.of_ours is not None and (one.system, size) in _AT_LEAST:
            least = _AT_LEAST[one.system, size]
            results.fact("keyword", size, f"faster than {one.system}", one.of_ours, "times", least=least)


def _traffic(results: Results, filled: Filled, warm_up: Sequence[str], questions: Sequence[str]) -> None:
    """How much a question moves, in runs apart from the timed ones."""
    cold, warm = [], []
    for question in questions:
        forget()
        cold.append(bytes_of(partial(filled.tenant.keyword, question)))
    forget()
    for question in warm_up:
        filled.tenant.keyword(question)
    warm = [bytes_of(partial(filled.tenant.keyword, question)) for question in questions]
    for name, moved in (("nothing cached", cold), ("warm", warm)):
        p50, p95 = np.percentile(moved, [50, 95]).tolist()
        results.fact("keyword", filled.size, f"moved by a question, {name}, p50", p50 / 1000, "kB")
        results.fact("keyword", filled.size, f"moved by a question, {name}, p95", p95 / 1000, "kB")
