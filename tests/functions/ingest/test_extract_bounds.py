"""The bounds of the process that reads a document, tried by one that a document has taken over."""

import ctypes
import json
import os
import socket
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from functions.ingest.extract import child, process, sandbox
from minirag.runtime import telemetry
from minirag.runtime.errors import ExtractionFailed, MiniRagError

MIB = 1024 * 1024
DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's bounds are Linux's")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def attempt(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """What a child that does this deed answers; afterwards no process and no file of it may be left."""
    monkeypatch.setattr(sandbox, "_CHILD", "tests.functions.ingest.hostile_child")

    def do(deed: str, on: Any = None, *, seconds: float = 20, memory_bytes: int = 512 * MIB) -> Any:
        order = json.dumps({"deed": deed, "on": on}).encode()
        document = sandbox.extract(order, "a.txt", seconds=seconds, memory_bytes=memory_bytes, document_type="text")
        return json.loads(document.text)

    before = set(scratch.iterdir())
    yield do
    assert set(scratch.iterdir()) <= before | {scratch / "theirs"}
    assert hostile_processes() == []


def hostile_processes() -> list[str]:
    time.sleep(0.02)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((folder / "cmdline").read_text())
    return [command for command in found if "ingest.hostile_child" in command]


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A listener on loopback; the test fails if anybody connected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        yield listener
        with pytest.raises(TimeoutError):
            listener.accept()


def code_of(attempt: Callable[..., Any], deed: str, on: Any = None, **limits: Any) -> str:
    with pytest.raises(ExtractionFailed) as failure:
        attempt(deed, on, **limits)
    return failure.value.code


def answer(**parts: Any) -> str:
    document: dict[str, Any] = {
        "type": "text",
        "text": "abc",
        "pages": [],
        "headings": [],
        "tables": [],
        "title": None,
        "notes": [],
    }
    return json.dumps({"enforced": [], "document": document | parts})


def test_everything_this_kernel_has_is_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[str, ...]] = []
    monkeypatch.setattr(sandbox, "_note_missing", answers.append)
    sandbox.extract(b"Hello", "a.txt", seconds=20, memory_bytes=512 * MIB)
    (enforced,) = answers
    assert {"limits", "no_new_privileges", "seccomp"} <= set(enforced)
    # Landlock may be left out of a kernel; where it is, the call says so.
    if "landlock" in Path("/proc/kallsyms").read_text():
        assert "landlock" in enforced


def test_no_connection_leaves(attempt: Callable[..., Any]) -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        assert attempt("connect", port) == {"failed": "PermissionError"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.2)
        assert attempt("send", receiver.getsockname()[1]) == {"failed": "PermissionError"}
        with pytest.raises(TimeoutError):
            receiver.recv(10)
    assert attempt("listen") == {"failed": "PermissionError"}
    assert attempt("ring") == {"failed": "PermissionError"}


def test_nothing_can_be_written_changed_or_removed(attempt: Callable[..., Any], scratch: Path) -> None:
    theirs = scratch / "theirs"
    theirs.write_text("theirs")
    theirs.chmod(0o600)
    for deed in ("write", "append", "remove", "change_mode"):
        assert attempt(deed, str(theirs)) == {"failed": "PermissionError"}, deed
    for path in (scratch / "new", Path("/tmp/hostile-child"), Path("hostile-child"), Path("/dev/shm/hostile-child")):
        assert attempt("write", str(path)) == {"failed": "PermissionError"}
        assert not path.exists()
    assert theirs.read_text() == "theirs"
    assert theirs.stat().st_mode & 0o777 == 0o600


def test_only_libraries_can_be_read(attempt: Callable[..., Any], scratch: Path) -> None:
    theirs = scratch / "theirs"
    theirs.write_text("theirs")
    for path in (theirs, "/etc/passwd", "/proc/self/environ", f"/proc/{os.getpid()}/environ"):
        assert attempt("read", str(path)) == {"failed": "PermissionError"}
    for path in (scratch, "/", "/home", Path(__file__).parents[3]):
        assert attempt("list_folder", str(path)) == {"failed": "PermissionError"}
    assert "done" in attempt("read", json.__file__)


def test_no_other_process_can_be_started_or_signalled(attempt: Callable[..., Any]) -> None:
    assert attempt("fork") == {"failed": "PermissionError"}
    assert attempt("execute", "/bin/true") == {"failed": "PermissionError"}
    assert attempt("spawn", "/bin/true") == {"failed": "PermissionError"}
    assert attempt("kill", os.getpid()) == {"failed": "PermissionError"}


def test_limits_cannot_be_raised_again(attempt: Callable[..., Any]) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        attempt("raise_limits")  # setrlimit's refusal is a ValueError
    assert failure.value.code == "crashed"
    assert "raise_limits" in str(failure.value.__cause__)


def test_a_gigabyte_is_not_had(attempt: Callable[..., Any]) -> None:
    assert code_of(attempt, "allocate", 1024 * MIB) == "too_much_memory"
    assert attempt("allocate", 100 * MIB) == {"done": 100 * MIB}


def test_processor_time_runs_out_even_for_those_that_will_not_stop(
    attempt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_CPU_SECONDS", 0.5)
    for deed in ("burn", "burn_on"):
        assert code_of(attempt, deed) == "too_long", deed


def test_time_runs_out_for_those_that_wait(attempt: Callable[..., Any]) -> None:
    assert code_of(attempt, "sleep", seconds=1) == "too_long"


def test_a_flood_of_output_ends_at_its_limit(attempt: Callable[..., Any]) -> None:
    assert code_of(attempt, "flood", 1_000_000_000) == "crashed"
    assert code_of(attempt, "complain", 10_000_000) == "crashed"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[" * 100_000,
        "null",
        "{}",
        '{"enforced": []}',
        '{"enforced": [], "document": {}}',
        '{"enforced": [], "error": "gone"}',
        answer(text="a\0b"),
        answer(text="a\ud800b"),
        answer(text=["a"]),
        answer(pages=[{"number": 1, "start": 0, "end": 4}]),
        answer(pages=[{"number": "1", "start": 0, "end": 3}]),
        answer(pages=[{"number": 1, "start": -1, "end": 3}]),
        answer(headings=[{"start": 4, "level": 1, "title": "a"}]),
        answer(headings=[{"start": 0, "level": 1, "title": 7}]),
        answer(tables=[{"start": "0", "end": 3}]),
        answer(notes=[7]),
    ],
)
def test_an_answer_that_is_none_counts_as_a_crash(attempt: Callable[..., Any], answer: str) -> None:
    assert code_of(attempt, "answer", answer) == "crashed"


def test_processor_time_grows_with_the_size_up_to_all_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def stop(_: str, arguments: list[str], *__: Any, **___: Any) -> process.Ended:
        given.append(int(arguments[1]))
        return process.Ended(None, 0, "")

    monkeypatch.setattr(sandbox, "run", stop)
    for size in (1, 1_000_000, 2_500_000, 100_000_000):
        with pytest.raises(ExtractionFailed):
            sandbox.extract(b"a" * size, "a.txt", seconds=90, memory_bytes=512 * MIB)
    assert given == sorted(given)
    assert given[0] < given[1] < given[2] < given[3] == 90


def test_a_call_of_another_architecture_is_the_last(attempt: Callable[..., Any]) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("only x86_64 has a second entry")
    assert code_of(attempt, "call_another_architecture") == "crashed"


def test_a_kernel_without_any_of_it_still_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(telemetry, "event", lambda name, **fields: seen.append((name, fields["missing"])))
    sandbox._note_missing.cache_clear()
    for _ in range(2):
        sandbox._note_missing(("limits", "seccomp"))
    assert seen == [("extract.bounds_missing", "landlock, no_new_privileges")]
    sandbox._note_missing.cache_clear()


def docx(entity: str) -> bytes:
    file = BytesIO()
    main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Override PartName="/word/document.xml" ContentType="application/'
            'vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="http://schemas.'
            'openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
        )
        archive.writestr(
            "word/document.xml",
            f'<!DOCTYPE d [<!ENTITY x SYSTEM "{entity}">]><w:document xmlns:w="{main}"><w:body><w:p><w:r><w:t>'
            "Hello &x;</w:t></w:r></w:p></w:body></w:document>",
        )
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.docx", "a.html", "a.svg", "a.xml", "a.rtf", "a.md", "a.pdf"])
def test_a_document_that_names_addresses_fetches_none(name: str) -> None:
    with listening() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        pages = {
            "a.docx": docx(url),
            "a.html": f'<html><head><link rel="stylesheet" href="{url}"><base href="{url}"></head><body>Hello'
            f'<img src="{url}"><iframe src="{url}"></iframe><script src="{url}"></script></body></html>'.encode(),
            "a.svg": f'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "{url}"><svg xmlns="http://www.w3.org/2000/svg" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{url}"/><text>Hello</text></svg>'.encode(),
            "a.xml": f'<?xml version="1.0"?><!DOCTYPE a SYSTEM "{url}" [<!ENTITY % p SYSTEM "{url}"> %p; '
            f'<!ENTITY x SYSTEM "{url}">]><a xmlns:xi="http://www.w3.org/2001/XInclude">Hello &x;'
            f'<xi:include href="{url}" parse="text"/></a>'.encode(),
            "a.rtf": rf'{{\rtf1 Hello {{\field{{\*\fldinst INCLUDEPICTURE "{url}"}}{{\fldrslt x}}}}}}'.encode(),
            "a.md": f"Hello ![x]({url}) [y]: {url}".encode(),
            "a.pdf": f"%PDF-1.4 1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI({url})>>>>endobj".encode(),
        }
        # What comes of it is another test's matter; what must not come is a visitor.
        try:
            text = sandbox.extract(pages[name], name, seconds=20, memory_bytes=512 * MIB).text
        except MiniRagError:
            return
        assert "Hello" in text


def test_an_entity_from_a_real_collection_fetches_nothing() -> None:
    data = (DOCUMENTS / "poi_ExternalEntityInText.docx").read_bytes()
    text = sandbox.extract(data, "a.docx", seconds=20, memory_bytes=512 * MIB).text
    assert "Here should not be the POI web site" in text
    assert child.MAX_OUTPUT < 160 * MIB


def test_the_parent_keeps_its_environment_from_others_of_its_user() -> None:
    sandbox.extract(b"Hello", "a.txt", seconds=20, memory_bytes=512 * MIB)
    dumpable = 3  # PR_GET_DUMPABLE, prctl(2)
    assert ctypes.CDLL(None).prctl(dumpable, 0, 0, 0, 0) == 0
