"""What the product promises of any file: its text within the bounds, or a reason that says what to do."""

import csv
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.sandbox import extract
from minirag.runtime.errors import MiniRagError

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests" / "data" / "documents"
# All of the collection the samples are from, where it lies beside the repository.
COLLECTION = ROOT.parent / "shared" / "data" / "documents"
SECONDS = 30
MEMORY_BYTES = 512 * 1024 * 1024
OCR_PAGES = 3  # a page takes seconds

# A bound that was met, or a reader that gave way, is no reason to refuse a file that can be read.
NO_REASONS = {"crashed", "too_long", "internal"}


@dataclass(frozen=True)
class Expected:
    """What must come of a file: `extract`, `reject` or `survive`, and a phrase of its text."""

    file: Path
    expect: str
    phrase: str


def rows(table: Path) -> list[Expected]:
    with table.open(newline="", encoding="utf-8") as file:
        return [Expected(table.parent / row["file"], row["expect"], row["phrase"]) for row in csv.DictReader(file)]


def squeezed(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def read(file: Path) -> Document | MiniRagError:
    try:
        return extract(file.read_bytes(), file.name, seconds=SECONDS, memory_bytes=MEMORY_BYTES, ocr_pages=OCR_PAGES)
    except MiniRagError as error:
        return error


def broken_promise(expected: Expected, outcome: Document | MiniRagError) -> str | None:
    """What is wrong with the outcome; None if nothing is."""
    if isinstance(outcome, MiniRagError):
        if expected.expect == "extract":
            return f"refused with {outcome.code}: {outcome.detail}"
        if outcome.code in NO_REASONS or not 400 <= outcome.status < 500 or len(outcome.detail) < 40:
            return f"refused without a reason: {outcome.code}: {outcome.detail}"
        return None
    if expected.expect == "reject":
        return f"not refused but read: {outcome.text[:80]!r}"
    if squeezed(expected.phrase) not in squeezed(outcome.text):
        return f"the phrase is missing from {outcome.text[:80]!r}"
    ends = [end for page in outcome.pages for end in (page.start, page.end)]
    if ends != sorted(ends) or (ends and ends[-1] > len(outcome.text)):
        return "pages overlap"
    for table in outcome.tables:
        if " | " not in outcome.text[table.start : table.end]:  # a row of merged cells may have one
            return f"a table without cells: {outcome.text[table.start : table.end][:80]!r}"
    # The outline of a PDF may name what does not stand on the page.
    for heading in outcome.headings if outcome.type != "pdf" else ():
        if squeezed(heading.title) not in squeezed(outcome.text[heading.start : heading.start + 400]):
            return f"a heading that does not stand where it should: {heading.title!r}"
    starts = [heading.start for heading in outcome.headings]
    return None if starts == sorted(starts) else "headings out of order"


@pytest.mark.parametrize("expected", rows(SAMPLES / "expected.csv"), ids=lambda expected: expected.file.name)
def test_a_file_yields_its_text_or_a_reason(expected: Expected) -> None:
    assert broken_promise(expected, read(expected.file)) is None


def test_every_sample_says_what_is_expected_of_it() -> None:
    told = {expected.file.name for expected in rows(SAMPLES / "expected.csv")}
    assert told == {file.name for file in SAMPLES.iterdir()} - {"README.md", "expected.csv"}


@pytest.mark.timeout(900)
def test_every_file_of_the_collection_yields_its_text_or_a_reason(count: Callable[[int, int], int]) -> None:
    if not count(0, 1) or not COLLECTION.is_dir():
        pytest.skip("the campaign reads the whole collection, where it is")
    expected = rows(COLLECTION / "manifest.csv")
    outcomes = {one.file.name: read(one.file) for one in expected}
    sys.stdout.write(_similarities(outcomes))
    broken = {one.file.name: fault for one in expected if (fault := broken_promise(one, outcomes[one.file.name]))}
    kinds = [one.expect for one in expected]
    sys.stdout.write(
        f"{len(kinds)} files ({kinds.count('extract')} to extract, {kinds.count('reject')} to reject, "
        f"{kinds.count('survive')} to survive), promises broken: {len(broken)}\n"
    )
    assert broken == {}


def _similarities(outcomes: dict[str, Document | MiniRagError]) -> str:
    """A table of how much of each text that somebody wrote down is found, word by word in its order, worst first."""
    found = []
    for truth in (COLLECTION / "groundtruth").iterdir():
        outcome = outcomes.get(truth.stem)
        text = outcome.text if isinstance(outcome, Document) else ""
        ours, theirs = _words(text), _words(truth.read_text("utf-8"))
        found.append((SequenceMatcher(None, ours, theirs, autojunk=False).ratio(), len(ours), len(theirs), truth.stem))
    lines = [
        "similarity  words  of them",
        *(f"{one:10.3f} {ours:6} {theirs:8}  {name}" for one, ours, theirs, name in sorted(found)),
    ]
    return "\n".join(["", *lines, ""])


def _words(text: str) -> list[str]:
    # Markdown's marks are the transcriber's.
    return re.findall(r"\w+", unicodedata.normalize("NFKC", re.sub(r"<!--.*?-->", "", text)).casefold())
