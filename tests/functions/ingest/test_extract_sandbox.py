"""The sandbox: what a child may use, and what is said when that does not suffice."""

import json
import sys
import tempfile
import zlib
from pathlib import Path

import pytest

from functions.ingest.extract import sandbox
from minirag.runtime.errors import ExtractionFailed, UnsupportedType
from tests.functions.ingest.test_extract_pdf import made

MIB = 1024 * 1024


def read(data: bytes, name: str, *, seconds: float = 20, memory_bytes: int = 512 * MIB) -> str:
    return sandbox.extract(data, name, seconds=seconds, memory_bytes=memory_bytes).text


def code_of(data: bytes, name: str, *, seconds: float = 20, memory_bytes: int = 512 * MIB) -> str:
    with pytest.raises(ExtractionFailed) as failure:
        read(data, name, seconds=seconds, memory_bytes=memory_bytes)
    assert failure.value.status == 422
    assert len(failure.value.detail) > 25
    return failure.value.code


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_child_inherits_no_secret_and_no_open_file(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(sandbox, "_CHILD", "tests.functions.ingest.telling_child")
    with (scratch / "open").open("wb"):
        told = json.loads(read(b"Hello", "a.txt", seconds=7.5, memory_bytes=300 * MIB))
    assert set(told["environment"]) <= {"PYTHONPATH", "PYTHONUTF8", "LD_LIBRARY_PATH", "LC_CTYPE"}
    assert "sk-secret" not in json.dumps(told)
    assert told["files"] == [0, 1, 2]
    assert told["memory"] == [300 * MIB, 300 * MIB]
    assert told["processor"] == [8, 9]
    assert told["processes"] == [0, 0]
    assert told["folder"] == "/"
    assert told["data"] == "Hello"


def test_nothing_is_left_behind(scratch: Path) -> None:
    assert read(b"Hello", "a.txt") == "Hello"
    assert code_of(b"Hello", "a.txt", seconds=0.01) == "too_long"
    assert list(scratch.iterdir()) == []


def test_too_much_time_is_said_to_be_that() -> None:
    assert code_of(made("Hello"), "a.pdf", seconds=0.01) == "too_long"


def test_a_flate_bomb_ends_at_the_limit_of_memory() -> None:
    stream = zlib.compress(b" " * (400 * MIB), 1)
    assert len(stream) < 4 * MIB
    assert code_of(made(stream), "a.pdf", memory_bytes=256 * MIB) == "too_much_memory"


def test_python_running_out_of_memory_is_said_to_be_that() -> None:
    assert code_of(b"word " * (30 * MIB), "a.txt", memory_bytes=128 * MIB) == "too_much_memory"


def test_a_page_of_50_mb_is_said_to_need_too_much_memory() -> None:
    page = b"<p>Some <b>words</b> here.</p>\n" * (50 * MIB // 32)
    assert code_of(page, "a.html", memory_bytes=256 * MIB) == "too_much_memory"


def test_too_much_text_is_refused() -> None:
    assert code_of(b"word " * 4_000_001, "a.txt") == "too_much_text"


@pytest.mark.parametrize(("data", "name"), [(b" \r\n\t", "a.txt"), (b"<p></p>", "a.html"), (b"\n", "a.md")])
def test_a_document_without_text_is_refused(data: bytes, name: str) -> None:
    assert code_of(data, name) == "no_text"


def test_a_crash_tells_the_user_to_save_anew_and_the_log_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_CHILD", "no.such.module")
    with pytest.raises(ExtractionFailed) as failure:
        read(b"Hello", "a.txt")
    assert failure.value.code == "crashed"
    assert "no.such" not in failure.value.detail
    assert isinstance(failure.value.__cause__, sandbox.ChildFailed)
    assert "No module named 'no" in str(failure.value.__cause__)


def test_what_is_no_document_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(UnsupportedType):
        read(b"\x89PNG\r\n\x1a\n\0", "a.png")
