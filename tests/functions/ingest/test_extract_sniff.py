"""What a file is, by its content."""

import codecs
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from functions.ingest.extract.sniff import sniff
from minirag.runtime.errors import Unprocessable, UnsupportedType

ROOT = Path(__file__).parents[3]
DOCUMENTS = ROOT / "tests" / "data" / "documents"
HTML = b"<!DOCTYPE html>\n<html><body><p>Hello</p></body></html>"


def zipped(**entries: str) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in entries.items():
            file.writestr(name.replace("__", "/"), text)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"%PDF-1.7\n", "thesis.pdf", "pdf"),
        (b"%PDF-1.7\n", "thesis.docx", "pdf"),
        (b"%PDF-1.7\n", "", "pdf"),
        (b"\n\x00\x01junk%PDF-1.4\n", "thesis.pdf", "pdf"),
        (b"A PDF file begins with %PDF-1.7, a text does not.", "notes.txt", "text"),
        (zipped(**{"word/document.xml": "<w:document/>"}), "letter.bin", "docx"),
        (zipped(**{"word/document.xml": "<w:document/>"})[:60], "truncated.docx", "docx"),
        (HTML, "page.html", "html"),
        (HTML, "page", "html"),
        (HTML, "page.doc", "html"),
        (HTML, "page.txt", "text"),
        (HTML, "page.md", "markdown"),
        (b"<?xml version='1.0'?>\n<!-- a -->\n<html xmlns='x'></html>", "page.xml", "html"),
        (HTML.decode().encode("utf-16"), "page.php", "html"),
        (b"<p>Hello</p>", "fragment.htm", "html"),
        (b"# Hello", "notes.MARKDOWN", "markdown"),
        (b"Hello", "notes.log", "text"),
        (b"Hello", "letter.docx", "text"),
        (b"Hello", "../..\x00/no suffix", "text"),
        (b"BMW builds cars, GIF8 is no word, PK neither.", "notes.txt", "text"),
        ("Grüße".encode("utf-16"), "notes.txt", "text"),
        ("Hello, world".encode("utf-16-le"), "notes.txt", "text"),
        ("Hello, world".encode("utf-32-be"), "notes.txt", "text"),
        (codecs.BOM_UTF8 + b"Hello", "notes.txt", "text"),
        ("Однажды, в студеную зимнюю пору".encode("cp866"), "notes.txt", "text"),
        (b"{\\rtf1\\ansi Hello}", "letter.txt", "rtf"),
        (b"a;b\n1;2\n", "table.csv", "csv"),
        (b'{"a": 1}', "data.json", "json"),
        (b'{"a": 1}', "notes.txt", "text"),
        (b"{}", "analysis.ipynb", "ipynb"),
        (b"<?xml version='1.0'?><a/>", "data", "xml"),
        (b"print('Hello')", "hello.py", "code"),
        (zipped(**{"../../evil.txt": "x"}), "harmless.docx", "zip"),
        (zipped(mimetype="application/epub+zip", **{"META-INF/container.xml": ""}), "book.zip", "epub"),
        (zipped(mimetype="application/vnd.oasis.opendocument.text", **{"content.xml": ""}), "letter", "odt"),
        (zipped(mimetype="application/vnd.oasis.opendocument.spreadsheet-template", a=""), "sheet.ots", "ods"),
        ((DOCUMENTS / "un_stanley-cups.xlsx").read_bytes(), "cups.docx", "xlsx"),
        ((DOCUMENTS / "dl_powerpoint_sample.pptx").read_bytes(), "a.pptx", "pptx"),
        ((DOCUMENTS / "tk_droste.zip").read_bytes(), "droste.zip", "zip"),
        ((DOCUMENTS / "un_family-day.eml").read_bytes(), "family-day.eml", "eml"),
        ((DOCUMENTS / "un_family-day.eml").read_bytes(), "family-day", "eml"),
        (b"Dear all,\nSubject: a word that a letter may begin a line with.\n", "letter", "text"),
    ],
)
def test_content_decides_and_the_name_only_between_kinds_of_text(data: bytes, name: str, expected: str) -> None:
    assert sniff(data, name) == expected


@pytest.mark.parametrize(
    ("data", "name", "seems"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "scan.pdf", "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "photo.txt", "a JPEG image"),
        (b"\x7fELF\2\1\1\0\0\0\0\0\0\0\0\0", "run.txt", "an executable"),
        (b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff", "setup.docx", "a Windows executable"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "logs.gz", "a gzip archive"),
        (bytes(range(256)) * 20, "data.txt", "binary data"),
        (b"%!PS-Adobe-3.0", "print.ps", "a PostScript file"),
        (zipped(mimetype="application/vnd.oasis.opendocument.graphics"), "drawing.odg", "an OpenDocument drawing"),
        ((DOCUMENTS / "poi_bug53475-password-is-pass.docx").read_bytes(), "a.docx", "protected with a password"),
    ],
)
def test_anything_else_is_refused_by_what_it_seems_to_be(data: bytes, name: str, seems: str) -> None:
    with pytest.raises(UnsupportedType) as refusal:
        sniff(data, name)
    assert refusal.value.status == 415
    assert seems in refusal.value.detail
    assert "Accepted are PDF, Word, " in refusal.value.detail


def test_an_empty_file_is_told_from_an_unsupported_one() -> None:
    with pytest.raises(Unprocessable) as refusal:
        sniff(b"", "empty.docx")
    assert refusal.value.code == "empty_file"


def test_a_hostile_name_is_not_repeated_as_it_is() -> None:
    with pytest.raises(UnsupportedType) as refusal:
        sniff(b"\x89PNG\r\n\x1a\n", "invoice\u202egpj.\0\n<b>" + "x" * 5000)
    assert refusal.value.detail.isprintable()
    assert len(refusal.value.detail) < 400


def test_comments_without_end_take_no_time() -> None:
    # With backtracking into the comments this would not end before the sun does.
    assert sniff(b"<!-- -->" * 500 + b"<p>", "page.unknown") == "text"


def test_sniffing_loads_no_library() -> None:
    program = (
        "import sys; import functions.ingest.extract.sniff; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    )
    paths = f"{ROOT}:{ROOT / 'layers' / 'common'}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], env={"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names) - {"functions", "minirag", "__main__"}
    assert foreign == set()
