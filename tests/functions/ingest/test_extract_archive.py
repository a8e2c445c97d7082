"""ZIP archives: what their members hold, what is left out and why, and hostile ones."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from functions.ingest.extract.archive import extract
from minirag.runtime.errors import ExtractionFailed

MIB = 1024 * 1024
DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"


def archive(*members: tuple[str, str | bytes]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content)
    return file.getvalue()


def failure_of(data: bytes) -> ExtractionFailed:
    with pytest.raises(ExtractionFailed) as failure:
        extract(data)
    return failure.value


def test_members_stand_under_their_paths_with_their_headings_one_level_lower() -> None:
    document = extract(
        archive(
            ("notes/a.md", "# Top\n\n## Sub\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
            ("b.html", "<h1>Page</h1><table><tr><td>x<td>y</table>"),
            ("c.txt", "Plain."),
        )
    )
    assert [(h.level, h.title) for h in document.headings] == [
        (1, "notes/a.md"),
        (2, "Top"),
        (3, "Sub"),
        (1, "b.html"),
        (2, "Page"),
        (1, "c.txt"),
    ]
    assert all(h.title in document.text[h.start :].split("\n")[0] for h in document.headings)
    assert [document.text[t.start : t.end] for t in document.tables] == ["| a | b |\n|---|---|\n| 1 | 2 |", "x | y"]
    assert document.text.endswith("\n\nc.txt\n\nPlain.")
    assert document.pages == ()
    assert document.notes == ()


def test_what_is_left_out_is_named_with_its_reason() -> None:
    document = extract(
        archive(
            ("a.txt", "Text."),
            ("img/b.png", b"\x89PNG\r\n\x1a\n\0"),
            ("c.json", '{"a": }'),
            ("d.txt", ""),
            ("e.html", "<p></p>"),
        )
    )
    assert document.text == "a.txt\n\nText."
    assert document.notes == (
        "“img/b.png” seems to be a PNG image; it is left out.",
        "“c.json” is left out: this JSON file is broken at line 1, column 7: expecting value.",
        "“d.txt” is left out: it is empty.",
        "“e.html” is left out: it holds no text.",
    )


def test_of_many_reasons_the_first_are_said_and_the_rest_counted() -> None:
    notes = extract(archive(("a.txt", "Text."), *((f"{n}.txt", "") for n in range(25)))).notes
    assert len(notes) == 21
    assert notes[-1] == "And 5 more."


def test_files_that_systems_keep_for_themselves_are_passed_over() -> None:
    names = ("__MACOSX/._a.txt", "__MACOSX/b.txt", ".DS_Store", "x/.git/config.txt", "folder/")
    document = extract(archive(("a.txt", "Text."), *((name, "no") for name in names)))
    assert document.text == "a.txt\n\nText."
    assert document.notes == ()


def test_names_are_shown_with_what_does_not_print_and_used_as_no_path(tmp_path: Path) -> None:
    inside = tmp_path / "evil.txt"
    names = ("../../up.txt", str(inside), "a\u202egpj.txt", "n\nl.txt", "c:\\w.txt")
    document = extract(archive(*((name, "Text.") for name in names)))
    titles = [heading.title for heading in document.headings]
    assert titles == ["../../up.txt", str(inside), "a\\u202egpj.txt", "n\\u000al.txt", "c:\\w.txt"]
    assert not inside.exists()


def test_a_name_with_a_nul_is_shown_whole() -> None:
    data = archive(("aXb.txt", "Text.")).replace(b"aXb.txt", b"a\0b.txt")
    assert [heading.title for heading in extract(data).headings] == ["a\\u0000b.txt"]


def test_names_in_utf8_are_read_even_if_the_archive_does_not_say_so() -> None:
    data = bytearray(archive(("Käse.txt", "Text.")))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        flags = data.index(signature) + at
        data[flags : flags + 2] = b"\0\0"
    assert extract(bytes(data)).headings[0].title == "Käse.txt"


def test_archives_within_archives_are_read_two_deep() -> None:
    data = archive(("deepest.txt", "No."))
    for level in (3, 2, 1, 0):
        data = archive((f"{level}.txt", f"Level {level}."), ("inner.zip", data))
    document = extract(data)
    assert [(h.level, h.title) for h in document.headings] == [
        (1, "0.txt"),
        (1, "inner.zip"),
        (2, "1.txt"),
        (2, "inner.zip"),
        (3, "2.txt"),
    ]
    assert len(document.notes) == 1
    assert "read 2 deep" in document.notes[0]


def test_an_archive_that_holds_itself_is_refused_and_says_so() -> None:
    failure = failure_of((DOCUMENTS / "tk_droste.zip").read_bytes())
    assert failure.code == "nothing_to_read"
    assert "holds itself" in failure.detail
    assert "JPEG" in failure.detail


def test_an_archive_without_anything_to_read_says_why() -> None:
    assert "holds no files" in failure_of(archive()).detail
    failure = failure_of(archive(*((f"{n}.png", b"\x89PNG\r\n\x1a\n\0") for n in range(9))))
    assert failure.code == "nothing_to_read"
    assert "“0.png” seems to be a PNG image" in failure.detail
    assert failure.detail.endswith("And 4 more.")


def test_encrypted_and_damaged_members_are_left_out() -> None:
    data = bytearray(archive(("a.txt", "Text."), ("secret.txt", "Secret."), ("bad.txt", "Words, words, words.")))
    directory = data.index(b"PK\1\2")
    data[data.index(b"PK\1\2", data.index(b"secret.txt", directory) - 46) + 8] |= 1
    data[data.index(b"bad.txt") + len("bad.txt")] ^= 0xFF
    document = extract(bytes(data))
    assert document.text == "a.txt\n\nText."
    assert document.notes == (
        "“secret.txt” is left out: it is encrypted.",
        "“bad.txt” is left out: it is damaged or compressed in a way that is not known.",
    )


def test_a_damaged_archive_is_refused() -> None:
    assert failure_of(archive(("a.txt", "Text."))[:-12]).code == "broken_zip"
    assert failure_of(b"PK\x05\x06" + b"\xff" * 18).code == "broken_zip"


@pytest.mark.parametrize(
    "members",
    [
        [("a.txt", b"a" * (100 * MIB))],
        [(f"{n}.txt", b"a" * (15 * MIB)) for n in range(15)],
        [(f"{n}.txt", b"a") for n in range(1001)],
    ],
)
def test_archives_of_too_much_are_not_opened(members: list[tuple[str, bytes]]) -> None:
    assert failure_of(archive(*members)).code == "too_large_inside"


def test_members_count_together_at_all_depths() -> None:
    inner = archive(*((f"{n}.txt", "Text.") for n in range(300)))
    document = extract(archive(*((f"{n}.zip", inner) for n in range(5))))
    assert [h.title for h in document.headings if h.level == 1] == ["0.zip", "1.zip", "2.zip"]
    assert len(document.notes) == 2
    assert "archives within them included" not in document.text
