"""What the benchmark's figures rest on: the same texts each time, honest timing, peers that answer what was asked."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from cachetools import LRUCache

from bench import engine, report, texts
from bench.plots import lines
from bench.results import OURS, Results, interleave
from bench.rivals import Missing, Rival
from bench.synthetic import Clusters, nearest
from minirag.knowledge.lexical import search
from minirag.runtime import db


@pytest.fixture(scope="module")
def some() -> texts.Texts:
    sentences = [f"the {word} flows over a heated {other} plate" for word in "abcdefgh" for other in "klmnopqr"]
    analyzed = [sentence.split() for sentence in sentences]
    return texts.Texts("some", sentences, analyzed, [f"who asked {number}?" for number in range(50)])


def test_documents_are_the_same_each_time_and_as_many_chunks_as_wanted(some: texts.Texts) -> None:
    first, second = (list(some.documents(105, passages=50)) for _ in range(2))
    assert [document.document for document in first] == [document.document for document in second]
    assert [len(document.terms) for document in first] == [50, 50, 5]


def test_questions_differ_and_half_are_peoples(some: texts.Texts) -> None:
    questions = some.questions(40)
    assert len(set(questions)) == 40
    assert sum(question in some.asked for question in questions) == 20
    assert questions == some.questions(40)


def test_the_nearest_chunk_is_that_of_its_nearest_window() -> None:
    vectors = Clusters(64).vectors(300, part=0)
    chunks = np.repeat(np.arange(150), 2)
    assert nearest(vectors, chunks, vectors[41], 3)[0] == 20
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.array_equal(vectors, Clusters(64).vectors(300, part=0))


def test_all_are_asked_everything_and_in_changing_order() -> None:
    order: list[tuple[str, int]] = []

    def contender(name: str) -> Callable[[int], float]:
        def ask(number: int) -> float:
            order.append((name, number))
            return float(number)

        return ask

    taken = interleave(20, {name: contender(name) for name in ("a", "b")})
    assert taken == {"a": [float(one) for one in range(20)], "b": [float(one) for one in range(20)]}
    assert {name for name, number in order[::2]} == {"a", "b"}


def test_ratios_are_of_medians_over_ours(capfd: pytest.CaptureFixture[str]) -> None:
    results = Results()
    results.latency("keyword", 10, {"peer": [4.0, 6.0, 8.0], OURS: [1.0, 2.0, 9.0]})
    assert [(one.system, one.of_ours) for one in results.latencies] == [(OURS, None), ("peer", 3.0)]
    assert "3.0 x" in capfd.readouterr().err


def test_what_a_process_keeps_is_out_of_sight_and_back_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cache: LRUCache[str, int] = LRUCache(10)
    monkeypatch.setattr(search, "_kept_for_this_test", cache, raising=False)
    cache["before"] = 1
    with engine.forgotten():
        assert not cache
        cache["meanwhile"] = 2
    assert dict(cache) == {"before": 1}
    engine.forget()
    assert not cache


@pytest.mark.usefixtures("system")
def test_bytes_are_those_that_the_database_sent() -> None:
    def read() -> None:
        with db.transaction(db.NOBODY) as tx:
            tx.execute("SELECT repeat('x', 50000)").fetchall()

    read()
    assert 50_000 < engine.bytes_of(read) < 51_500


def test_a_peer_answers_from_its_own_process(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps(f"number {word}") for word in ("one", "two", "zebra", *"abcdefghijkl")))
    with Rival("bm25s", tmp_path / "not installed") as rival:
        rival.load(corpus=str(corpus))
        ms, found = rival.ask("a zebra?", 0)
        assert found[0] == 2
        assert 0 < ms < 5000
        assert rival.add("one giraffe", "giraffe")[1][0] == 15


def test_a_peer_that_is_not_installed_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="langchain"):
        Rival("langchain", tmp_path / "not installed")


def test_plots_are_well_formed() -> None:
    for logarithmic in (False, True):
        plot = lines("a < b", "x", "y", {"one & two": [(1, 0.5), (10, 3)]}, logarithmic=logarithmic)
        assert ET.fromstring(plot).tag.endswith("svg")


def test_a_run_replaces_what_it_measured_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "docs.md"
    document.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    monkeypatch.setattr(report, "_ROOT", tmp_path)
    monkeypatch.setattr(report, "_HOME", tmp_path / "bench")
    monkeypatch.setattr(report, "_DOCUMENT", document)
    for size, milliseconds in ((10, 1.0), (20, 2.0), (10, 3.0)):
        results = Results()
        results.latency("keyword", size, {OURS: [milliseconds], "peer": [30.0]})
        results.fact("keyword", size, "p50", milliseconds, "ms", most=2.5)
        results.series["churn 10"] = [(0.0, 10.0), (1.0, 20.0)]
        report.write(results, publish=size == 10)
    kept = json.loads((tmp_path / "bench" / "retrieval.json").read_text())
    assert {(one["size"], one["p50"]) for one in kept["latencies"] if one["system"] == OURS} == {(10, 3.0), (20, 2.0)}
    text = document.read_text()
    assert text.startswith("before\n<!-- measured -->\n")
    assert text.endswith("<!-- /measured -->\nafter\n")
    assert "| 10 | 10.0 | peer | 30.00 | 30.00 |" in text
    assert "| Keyword search | 10 | p50 | 3 ms | <= 2.5 | **missed** |" in text
    assert {one.name for one in (tmp_path / "bench").glob("*.svg")} == {"keyword.svg", "churn.svg"}
    capfd.readouterr()
