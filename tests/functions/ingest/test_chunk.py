"""Chunks: what holds for every text, and where a reader would expect the cuts."""

import gzip
import os
import re
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import regex  # type: ignore[import-untyped]
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.ingest.chunk import Chunk, split_chunks
from functions.ingest.extract.document import Document, Heading, Page, normalise
from infra import ranks

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"  # one grapheme
LOREM = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore. "


@pytest.fixture(scope="module", autouse=True)
def _ranks() -> Iterator[None]:
    """The ranks that the build step put there, and no other; fetched now if it has not run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(ranks.build()))
        yield


def split(text: str, max_tokens: int = 512, overlap: int = 50, headings: tuple[Heading, ...] = ()) -> list[Chunk]:
    return split_chunks(Document("text", text, headings=headings), max_tokens=max_tokens, overlap=overlap)


def tokens_of(text: str) -> int:
    return len(tiktoken.get_encoding("cl100k_base").encode_ordinary(text))


PIECES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        [
            "word ", "A sentence. ", "Is it? Yes! ", "Dr. No met J. R. ", "\n", "\n\n", "   ", "\t", "\u3000", "\xa0",
            "x" * 300, "=" * 200, "12345 " * 20, "ab-" * 60, "語" * 40, "これは文です。", "「はい」、", "한국어 문장. ",
            "ภาษาไทย" * 9, "مرحبا بالعالم. ", "क्षत्रिय ", FAMILY, "🇩🇪🇫🇷🇯🇵", "👍🏽", "e\u0301\u0323", "\u0301",
            " \u0301", "\u200d", "\u0600", "\u1100", "\u1161", "<|endoftext|>", "a" + "\u0301" * 40, LOREM * 3,
            "https://example.org/a/long/path?with=arguments&and=more ",
        ]
    ),
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join).map(normalise)
SIZES = st.sampled_from([(16, 0), (16, 7), (17, 3), (40, 10), (128, 50)])


@settings(max_examples=250, deadline=None)
@given(TEXTS, SIZES)
@example("\u0301", (16, 0))
@example("\n \u0301a", (16, 7))
@example("word" + " word" * 14 + ".*;\n\nnext", (16, 0))  # ".*;" takes more tokens than ".*;\n\n" does
@example("a" * 5000, (16, 7))
@example(FAMILY * 100, (40, 10))
def test_chunks_are_exact_slices_in_order_within_the_limit_that_cover_the_text(
    text: str, sizes: tuple[int, int]
) -> None:
    max_tokens, overlap = sizes
    chunks = split(text, max_tokens, overlap)
    assert [one.ordinal for one in chunks] == list(range(len(chunks)))
    covered = 0
    for one in chunks:
        assert one.content == text[one.start : one.end]
        assert one.content.strip()
        assert one.tokens == tokens_of(one.content) <= max_tokens
        assert text[covered : one.start].strip() == ""
        assert one.end > covered
        covered = one.end
    assert text[covered:].strip() == ""
    for before, after in pairwise(chunks):
        assert before.start < after.start
        # The repeated text alone may encode in a token or two more than as the end of the chunk before.
        assert after.start >= before.end or tokens_of(text[after.start : before.end]) <= overlap + 4


@settings(max_examples=250, deadline=None)
@given(TEXTS, SIZES)
@example("文。\u0301" * 60, (16, 0))
def test_a_grapheme_is_never_torn_unless_it_is_too_long_by_itself(text: str, sizes: tuple[int, int]) -> None:
    max_tokens, overlap = sizes
    clusters = [match.span() for match in regex.finditer(r"\X", text)]
    boundaries = {start for start, _ in clusters} | {len(text)}
    giants = [(start, end) for start, end in clusters if tokens_of(text[start:end]) > max_tokens // 2]
    for one in split(text, max_tokens, overlap):
        for cut in (one.start, one.end):
            assert cut in boundaries or any(start < cut < end for start, end in giants)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.sampled_from([*LOREM.split(), "incomprehensibilities", "\n\n", "1,024.5", "\u3000" * 17]), max_size=300)
)
def test_a_word_is_never_torn(words: list[str]) -> None:
    text = normalise(" ".join(words))
    for one in split(text, 32, 8):
        assert one.start == 0 or text[one.start - 1].isspace()
        assert one.end == len(text) or text[one.end].isspace()


def test_the_overlap_is_given_up_where_the_next_word_does_not_fit_behind_it() -> None:
    text = "é aaaaaaaaaaaaa" + "\u3000" * 17 + "  aaaaaaaaaaaaaaaaab"
    assert [one.content for one in split(text, 16, 7)] == ["é aaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaab"]


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3), st.integers(2000, 20000))
def test_long_runs_of_anything_end(unit: str, times: int) -> None:
    text = normalise(unit * times)
    chunks = split(text)
    assert "".join("".join(one.content.split()) for one in split(text, overlap=0)) == "".join(text.split())
    assert all(one.tokens <= 512 for one in chunks)


def test_a_run_of_many_characters_without_a_space_is_cut_up() -> None:
    chunks = split("a" * 300_000)
    assert sum(one.end - one.start for one in chunks) == 300_000


def test_a_short_document_is_one_chunk() -> None:
    assert split("\n\n  Hello, world.") == [Chunk(0, 4, 17, "Hello, world.", 4, None, None)]
    assert split(" \n ") == []
    assert split("") == []


def test_the_next_chunk_repeats_the_last_sentences() -> None:
    text = " ".join(f"Sentence number {number} says that nothing is new." for number in range(200))
    chunks = split(text)
    assert len(chunks) > 3
    for before, after in pairwise(chunks):
        shared = text[after.start : before.end]
        assert shared.startswith("Sentence")
        assert shared.endswith("new.")
        assert 25 <= tokens_of(shared) <= 50


def test_without_sentences_the_overlap_begins_at_a_word() -> None:
    text = "word " * 2000
    for before, after in pairwise(split(text)):
        assert text[after.start - 1] == " "
        assert 45 <= tokens_of(text[after.start : before.end]) <= 50


def test_a_chunk_ends_with_a_paragraph_rather_than_a_sentence_and_a_sentence_rather_than_a_word() -> None:
    sentence = "One two three four five six seven eight nine ten. "
    assert split("\n\n".join([sentence.strip() * 1] * 100), 40, 0)[0].content.count("\n\n") == 2
    assert split(sentence * 100, 64, 0)[0].content.endswith(" ten.")
    assert split(sentence.replace(".", "") * 100, 64, 0)[0].tokens > 60
    assert split("a line of seven words without stop\n" * 100, 64, 0)[0].content.endswith("stop")


@pytest.mark.parametrize("text", ["He met Dr. Smith there. ", "As J. Doe wrote. ", "It is, e.g. today, fine. "])
def test_a_full_stop_within_a_sentence_does_not_end_it(text: str) -> None:
    ends = {one.content[-12:] for one in split(text * 100, 24, 0)}
    assert ends == {text.strip()[-12:]}


def test_text_without_spaces_is_cut_after_its_sentences_or_between_its_characters() -> None:
    chunks = split("日本語の文章です。" * 200, 64, 0)
    assert all(one.content.endswith("。") for one in chunks)
    for size in range(16, 40):
        for one in split("日本語（文章）、" * 20, size, 0):
            assert not one.content.startswith(("）", "、"))
            assert not one.content.endswith("（")


def test_a_section_begins_a_chunk_of_its_own_and_nothing_is_repeated_across_its_heading() -> None:
    parts = ["Introduction", LOREM * 18, "Methods", "Samples", LOREM * 24]
    text, headings = "", []
    for part in parts:
        if not part.startswith(LOREM):
            headings.append(Heading(len(text), 2 if part == "Samples" else 1, part))
        text += part.strip() + "\n\n"
    chunks = split(text.strip(), headings=tuple(headings))
    assert [(one.content.split("\n")[0], one.section) for one in chunks] == [
        ("Introduction", "Introduction"),
        ("Methods", "Methods"),
    ]
    assert chunks[0].end < chunks[1].start


def test_the_section_is_the_path_of_headings_above() -> None:
    titles = [(1, "Guide"), (2, "Setup"), (3, "Linux"), (2, "Use"), (1, "Index")]
    text, headings = LOREM * 4 + "\n\n", []
    for level, title in titles:
        headings.append(Heading(len(text), level, title))
        text += f"{title}\n\n{LOREM * 4}\n\n"
    sections = [one.section for one in split(normalise(text), 96, 0, tuple(headings))]
    assert list(dict.fromkeys(sections)) == [
        None,
        "Guide",
        "Guide > Setup",
        "Guide > Setup > Linux",
        "Guide > Use",
        "Index",
    ]


def test_a_long_path_keeps_its_innermost_headings() -> None:
    headings = tuple(Heading(0, level, f"{level} " + "x" * 120) for level in (1, 2, 3))
    (only,) = split("Text.", headings=headings)
    assert only.section == " > ".join(heading.title for heading in headings[1:])


def test_the_page_is_that_of_the_first_character() -> None:
    pages, text = [], ""
    for number, content in enumerate([LOREM * 4, "", LOREM * 4, LOREM * 40], 1):
        body = content.strip()
        text += "\n\n" if body and text else ""
        pages.append(Page(number, len(text), len(text) + len(body)))
        text += body
    chunks = split_chunks(Document("pdf", text, tuple(pages)), max_tokens=100, overlap=0)
    assert {one.page for one in chunks} == {1, 3, 4}
    for one in chunks:
        page = next(page for page in pages if page.number == one.page)
        assert page.start <= one.start < page.end


@pytest.mark.parametrize(("max_tokens", "overlap"), [(15, 0), (0, 0), (100, 50), (100, -1)])
def test_sizes_that_make_no_sense_are_refused(max_tokens: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="cannot split"):
        split("text", max_tokens, overlap)


def test_marks_that_look_like_special_tokens_are_text() -> None:
    (only,) = split("Ignore <|endoftext|> this.")
    assert only.content == "Ignore <|endoftext|> this."


def test_the_ranks_are_built_where_tiktoken_looks_for_them(tmp_path: Path) -> None:
    pins = ranks.pins()
    assert set(pins) == {"cl100k_base", "o200k_base"}
    for pin in pins.values():
        assert ranks.is_current(Path(os.environ["TIKTOKEN_CACHE_DIR"]) / pin.file_name, pin)
    assert not ranks.is_current(tmp_path / "missing", pins["cl100k_base"])


def test_building_the_ranks_again_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_download", lambda _: pytest.fail("downloaded"))
    assert ranks.build() == ranks.DEFAULT_DEST


def test_ranks_that_tiktoken_does_not_pin_are_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "wheel.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("bpe_openai/data/cl100k_base.tiktoken.gz", gzip.compress(b"IQ== 0\n"))
    destination = tmp_path / "ranks"
    destination.mkdir()
    with pytest.raises(RuntimeError, match="not the ones tiktoken pins"):
        ranks.unpack(wheel, destination, {"cl100k_base": ranks.pins()["cl100k_base"]})
    assert list(destination.iterdir()) == []


def test_the_ranks_requirement_names_no_host_and_hashes_every_wheel() -> None:
    requirement = ranks.REQUIREMENT.read_text("utf-8")
    assert "://" not in requirement
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", requirement)) == 4
