"""OCR: what is read from images of pages, what is said of it, and what the program that reads them may do."""

import os
import sys
import zlib
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from functions.ingest.extract import sandbox
from functions.ingest.extract.document import Document, Heading, Page, Table
from functions.ingest.extract.pdf import ocr
from functions.ingest.extract.process import Ended, run
from minirag.runtime.errors import ExtractionFailed
from tests.functions.ingest.test_extract_pdf import DOCUMENTS, drawn, made

MIB = 1024 * 1024
SCAN = (DOCUMENTS / "dl_ocr_test.pdf").read_bytes()
IMAGE = "q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID x EI Q\n"
PICTURE = drawn(more=IMAGE)
READ = "The text of {} was read from images (OCR) and may hold mistakes."
UNREAD = "Not read: {}, with images of text (scans) or fonts that do not name characters."

installed = pytest.mark.skipif(ocr.tesseract() is None, reason="tesseract is not installed")
enforced = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's bounds are Linux's")


def read(data: bytes, *, pages: int = 50, seconds: float = 40) -> Document:
    return sandbox.extract(data, "a.pdf", seconds=seconds, memory_bytes=512 * MIB, ocr_pages=pages)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A program that reads every page at once; returns which pages it was given."""
    given: list[int] = []

    def page(_: object, number: int, *__: object) -> str:
        given.append(number)
        return f"Read from {number}"

    monkeypatch.setattr(ocr, "tesseract", lambda: "/usr/bin/tesseract")
    monkeypatch.setattr(ocr, "_read", page)
    return given


@installed
def test_a_scan_is_read_and_said_to_be() -> None:
    found = read(SCAN)
    assert "Docling bundles PDF document conversion to\nJSON and Markdown" in found.text
    assert found.pages == (Page(1, 0, len(found.text)),)
    assert found.notes == (READ.format("page 1"),)


@installed
def test_a_picture_without_text_is_read_as_none() -> None:
    found = read(made("A page of text", PICTURE))
    assert found.text == "A page of text"
    assert found.notes == ()


@pytest.mark.parametrize("pages", [0, 50])
def test_without_the_program_a_scan_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    if pages:
        monkeypatch.setattr(ocr, "tesseract", lambda: None)
    with pytest.raises(ExtractionFailed) as failure:
        read(SCAN, pages=pages)
    assert failure.value.code == "no_text_layer"
    assert "Run it through OCR" in failure.value.detail


def test_pages_that_are_not_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "tesseract", lambda: None)
    found = read(made("one", PICTURE, PICTURE, "four", "", PICTURE))
    assert found.text == "one\n\nfour"
    assert found.notes == (UNREAD.format("pages 2-3, 6"),)


def test_no_more_pages_are_read_than_is_set(instant: list[int]) -> None:
    found = read(made("one", PICTURE, PICTURE, "four", PICTURE), pages=2)
    assert instant == [2, 3]
    assert found.text == "one\n\nRead from 2\n\nRead from 3\n\nfour"
    assert [found.text[page.start : page.end] for page in found.pages] == [
        "one",
        "Read from 2",
        "Read from 3",
        "four",
        "",
    ]
    assert found.notes == (READ.format("pages 2-3"), UNREAD.format("page 5"))


def test_no_page_is_begun_without_time_for_it(instant: list[int]) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        read(made(PICTURE), seconds=1.5)
    assert failure.value.code == "no_text_layer"
    assert instant == []


def test_a_page_that_takes_too_long_is_left_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> Ended:
        return Ended(None, 0, "")

    monkeypatch.setattr(ocr, "tesseract", lambda: "/usr/bin/tesseract")
    monkeypatch.setattr(ocr, "run", late)
    assert read(made("one", PICTURE)).notes == (UNREAD.format("page 2"),)


def test_headings_and_tables_move_with_their_pages() -> None:
    text = "Intro\n\nbad\n\na | b\nLast"
    document = Document(
        "pdf",
        text,
        (Page(1, 0, 5), Page(2, 5, 5), Page(3, 7, 10), Page(4, 12, len(text))),
        headings=(Heading(0, 1, "Intro"), Heading(8, 1, "Bad"), Heading(18, 1, "Last")),
        tables=(Table(7, 10), Table(12, 17)),
    )
    found = ocr.with_pages(document, {2: "A scan", 3: "What it is", 4: "Less"})
    assert found.text == "Intro\n\nA scan\n\nWhat it is\n\na | b\nLast"
    assert [found.text[page.start : page.end] for page in found.pages] == [
        "Intro",
        "A scan",
        "What it is",
        "a | b\nLast",
    ]
    assert [found.text[heading.start :][:4] for heading in found.headings] == ["Intr", "What", "Last"]
    assert [found.text[table.start : table.end] for table in found.tables] == ["a | b"]


def executed(program: str, *command: str) -> tuple[Ended, str]:
    with TemporaryFile() as source, TemporaryFile() as result:
        ended = run("tests.functions.ingest.executing_child", [program, *command], source, result, seconds=20)
        result.seek(0)
        return ended, result.read().decode()


@enforced
def test_the_one_program_can_be_executed_and_no_other() -> None:
    echo, sleep = os.path.realpath("/bin/echo"), os.path.realpath("/bin/sleep")
    assert executed(echo, echo, "Hello")[1] == "Hello\n"
    ended, _ = executed(echo, sleep, "30")
    assert ended.status == 1
    assert "PermissionError" in ended.stderr


@enforced
@pytest.mark.parametrize(
    "deed",
    [
        "import socket; socket.socket()",
        "import os; os.fork()",
        "import os; os.execv('/bin/true', ['true'])",
        "open('/tmp/left-behind', 'w')",
        "open('/etc/passwd')",
    ],
)
def test_the_program_is_bounded_as_the_readers_are(deed: str) -> None:
    python = str(Path(sys.executable).resolve())
    ended, _ = executed(python, python, "-S", "-c", deed)
    assert ended.status == 1
    assert "PermissionError" in ended.stderr
    assert not Path("/tmp/left-behind").exists()


def test_a_page_of_any_size_is_drawn_within_bounds() -> None:
    huge = made("one", zlib.compress(b"")).replace(b"/MediaBox [0 0 612 792]", b"/MediaBox [0 0 20000 20000]")
    with TemporaryFile() as source, TemporaryFile() as image:
        source.write(huge)
        ended = run(ocr._RENDER, ["1", "10", str(512 * MIB)], source, image, seconds=20)
        assert image.seek(0, os.SEEK_END) < 16_000_000
        assert ended.status == 0
