"""Chunks of documents with headings and tables: what is left whole, and what is not left alone."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.ingest.boundaries import Span, Structure
from functions.ingest.chunk import Chunk, split_chunks
from functions.ingest.extract.blocks import Block, assemble
from functions.ingest.extract.document import Document, Heading, Table
from functions.ingest.extract.markdown import extract as markdown
from infra import ranks

SENTENCE = "One two three four five six seven eight nine ten. "
LONG_WORD = "ab-" * 60


@pytest.fixture(scope="module", autouse=True)
def _ranks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(ranks.build()))
        yield


def tokens_of(text: str) -> int:
    return len(tiktoken.get_encoding("cl100k_base").encode_ordinary(text))


def rows_of(document: Document) -> list[Span]:
    found = []
    for table in document.tables:
        at = table.start
        for line in document.text[table.start : table.end].split("\n"):
            if line.strip():
                found.append(Span(at, at + len(line)))
            at += len(line) + 1
    return found


def headings_of(document: Document) -> list[Span]:
    """Headings as `assemble` puts them: each with its own words."""
    return [Span(one.start, one.start + len(one.title)) for one in document.headings]


WORDS = st.sampled_from(
    ["one", "two", "Three", "incomprehensibilities", "1,024.5", "(a)", "end.", "naïve", "$ 12", "—"]
)
PHRASES = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
ROWS = st.lists(st.lists(PHRASES, min_size=1, max_size=6).map(" | ".join), min_size=1, max_size=8)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document as an extractor makes it: headings, paragraphs and tables in any order."""
    blocks: list[Block] = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(["paragraph", "heading", "table"]), max_size=14))):
        if kind == "heading":
            blocks.append(Block(draw(PHRASES), level=draw(st.integers(1, 3))))
        elif kind == "paragraph":
            blocks.append(Block(draw(st.lists(PHRASES, min_size=1, max_size=10).map("\n".join))))
        else:
            blocks += [Block(row, run=number, row=True) for row in draw(ROWS)]
    return assemble("docx", blocks)


@st.composite
def torn(draw: st.DrawFn) -> Document:
    """A document whose headings and tables lie anywhere, as those of a faulty extractor might."""
    text = draw(st.lists(st.one_of(PHRASES, st.sampled_from(["\n", "\n\n", " | ", " \u0301", LONG_WORD, "語" * 9]))))
    whole = " ".join(text).strip()
    places = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    headings = tuple(Heading(at, draw(st.integers(1, 9)), draw(PHRASES)) for at in places[:6])
    tables = tuple(Table(start, end) for start, end in pairwise(places[6:]))
    return Document("html", whole, headings=headings, tables=tables)


SIZES = st.sampled_from([(16, 0), (16, 7), (24, 8), (40, 10), (128, 50)])


def split(document: Document, sizes: tuple[int, int]) -> list[Chunk]:
    return split_chunks(document, max_tokens=sizes[0], overlap=sizes[1])


@settings(max_examples=150, deadline=None)
@given(st.one_of(documents(), torn()), SIZES)
@example(Document("text", "a " * 60 + "| b", headings=(Heading(3, 1, "a a"),), tables=(Table(5, 123),)), (16, 7))
def test_chunks_are_slices_within_the_limit_that_cover_the_text_wherever_headings_and_tables_lie(
    document: Document, sizes: tuple[int, int]
) -> None:
    covered = 0
    for one in split(document, sizes):
        assert one.content == document.text[one.start : one.end]
        assert one.content.strip()
        assert one.tokens == tokens_of(one.content) <= sizes[0]
        assert document.text[covered : one.start].strip() == ""
        assert one.end > covered
        covered = one.end
    assert document.text[covered:].strip() == ""


@settings(max_examples=150, deadline=None)
@given(documents(), SIZES)
def test_a_row_is_never_cut_unless_it_is_too_long_by_itself(document: Document, sizes: tuple[int, int]) -> None:
    rows = [row for row in rows_of(document) if tokens_of(document.text[row.start : row.end]) <= sizes[0]]
    for one in split(document, sizes):
        for row in rows:
            assert not row.start < one.start < row.end
            assert not row.start < one.end < row.end


@settings(max_examples=150, deadline=None)
@given(documents(), SIZES)
def test_no_word_is_torn_in_a_table_either(document: Document, sizes: tuple[int, int]) -> None:
    for one in split(document, sizes):
        assert one.start == 0 or document.text[one.start - 1].isspace()
        assert one.end == len(document.text) or document.text[one.end].isspace()


@settings(max_examples=150, deadline=None)
@given(documents(), SIZES)
def test_a_chunk_does_not_end_with_a_heading_if_what_follows_has_room_beside_it(
    document: Document, sizes: tuple[int, int]
) -> None:
    text = document.text
    headings = headings_of(document)
    rows = [row for row in rows_of(document) if tokens_of(text[row.start : row.end]) <= sizes[0]]
    for one in split(document, sizes):
        ending = [heading for heading in headings if heading.start < one.end <= heading.end]
        if not ending or not text[one.end :].strip():
            continue
        # With the headings directly above and below it, and the row or word that follows, it is too long.
        first = last = ending[0]
        for heading in reversed(headings):
            if heading.end < first.start and not text[heading.end : first.start].strip():
                first = heading
        for heading in headings:
            if heading.start > last.end and not text[last.end : heading.start].strip():
                last = heading
        following = re.compile(r"\s+(\S+)").match(text, last.end)
        if following is None:
            continue
        whole = [row for row in rows if row.start == following.start(1)]
        end = max([following.end(), *(row.end for row in whole)])
        # Counted apart and together, the same text may differ by a few tokens.
        assert tokens_of(text[first.start : end]) > sizes[0] - 4


def test_a_heading_goes_with_its_text_however_early_in_the_chunk_it_stands() -> None:
    for before in range(1, 60):
        text = ["word " * before, "A heading of some words", (SENTENCE * 8).strip()]
        document = assemble("docx", [Block(text[0]), Block(text[1], level=1), Block(text[2])])
        for one in split(document, (40, 0)):
            assert not text[1].startswith(one.content.split("\n")[-1])


def test_the_first_row_of_a_table_goes_with_the_second() -> None:
    rows = ["River | Length", *(f"River number {n} of all the rivers that were measured | {n} km" for n in range(30))]
    for before in range(1, 60):
        document = assemble("docx", [Block("word " * before), *(Block(row, run=1, row=True) for row in rows)])
        assert not any(one.content.endswith(rows[0]) for one in split(document, (24, 0)))


def test_a_table_is_continued_with_whole_rows_and_repeats_whole_rows() -> None:
    rows = [f"{n} | river number {n} | {n * 100} km. | It is long" for n in range(100)]
    document = assemble("xlsx", [Block(row, run=1, row=True) for row in rows])
    chunks = split(document, (128, 30))
    assert len(chunks) > 10
    for one in chunks:
        assert set(one.content.split("\n")) <= set(rows)
    for before, after in pairwise(chunks):
        assert document.text[after.start : before.end] in rows


def test_a_row_is_whole_that_fits_alone_though_it_takes_more_tokens_before_a_line_end() -> None:
    rows = [" ".join(["a"] * 15) + '["', "next"]
    assert tokens_of(rows[0]) == 16
    assert tokens_of(rows[0] + "\n") == 17
    document = assemble("xlsx", [Block(row, run=1, row=True) for row in rows])
    assert [one.content for one in split(document, (16, 0))] == rows


def test_a_row_that_is_too_long_is_cut_between_its_cells() -> None:
    cells = [f"cell {n} has a few words" for n in range(60)]
    document = assemble("xlsx", [Block("a | b", run=1, row=True), Block(" | ".join(cells), run=1, row=True)])
    chunks = split(document, (64, 0))
    assert len(chunks) > 5
    for one in chunks:
        assert set(one.content.removeprefix("a | b\n").removeprefix("| ").split(" | ")) <= set(cells)


def test_a_cell_that_is_too_long_is_cut_between_its_words() -> None:
    document = assemble("xlsx", [Block("a | " + "word " * 400 + "| b", run=1, row=True)])
    chunks = split(document, (64, 0))
    assert min(one.tokens for one in chunks[:-1]) > 50
    assert all(one.content.endswith(("word", "b")) for one in chunks)


def test_a_heading_that_the_next_row_leaves_no_room_for_stands_alone() -> None:
    row = " | ".join(["cell"] * 30)  # 60 tokens
    document = assemble("docx", [Block("A heading of a few words", level=1), Block(row, run=1, row=True)])
    assert [one.content for one in split(document, (62, 0))] == ["A heading of a few words", row]


def test_nothing_is_repeated_across_a_heading_that_is_indented() -> None:
    text = (SENTENCE * 6).strip()
    chunks = split(markdown(f"{text}\n\n  # Next\n\n{text}".encode()), (96, 40))
    assert [one.content.split("\n")[0] for one in chunks] == [text, "# Next"]


def test_a_heading_at_the_end_of_a_document_is_not_lost() -> None:
    document = assemble("docx", [Block(SENTENCE * 3), Block("The end", level=1)])
    assert split(document, (40, 0))[-1].content.endswith("The end")


def test_the_overlap_begins_at_the_heading_that_it_would_reach_beyond() -> None:
    # The last section fits into the overlap with its heading, and what follows is a long word.
    text = "They are few. Of those that were found so early in the year, none was of any size to speak of: "
    blocks = [Block(SENTENCE * 3), Block("Results", level=1), Block(text + LONG_WORD)]
    chunks = split(assemble("docx", blocks), (96, 40))
    assert chunks[1].content.startswith("Results\n\nThey are few.")


@pytest.mark.parametrize(
    ("source", "heading"),
    [
        ("Text.\n\n## Setup ##\n\nMore.", "## Setup ##"),
        ("Text.\n\n## The *best* `way`\n\nMore.", "## The *best* `way`"),
        ("Text.\n\n## See [this](https://example.org) page\n\nMore.", "## See [this](https://example.org) page"),
        ("Text.\n\nSetup\n-----\n\nMore.", "Setup\n-----"),
        ("Text.\n\n# One\n\n## Two\nMore.", "# One\n\n## Two"),
    ],
)
def test_the_whole_of_a_heading_in_markdown_is_its_own(source: str, heading: str) -> None:
    document = markdown(source.encode())
    start = source.index(heading)
    assert Structure(document).openings == ((start, start + len(heading)),)


def test_a_heading_without_words_of_its_own_in_the_text_forbids_nothing() -> None:
    assert Structure(Document("pdf", "Some text.", headings=(Heading(0, 1, "Bookmark"),))).openings == ()


def test_a_long_row_without_a_space_ends() -> None:
    text = "a" * 100_000 + " | b"
    chunks = split_chunks(Document("csv", text, tables=(Table(0, len(text)),)), overlap=0)
    assert "".join(one.content for one in chunks) == text.replace(" ", "", 1) or chunks[-1].content.endswith("b")
    assert sum(len(one.content) for one in chunks) >= len(text) - 2
