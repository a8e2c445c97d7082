"""JSON and JSON Lines: lines with paths, tables, numbers as they are written, and hostile files."""

import json

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.json import extract
from minirag.runtime.errors import ExtractionFailed


def read(value: object) -> Document:
    return extract(json.dumps(value).encode())


def rows(document: Document) -> list[str]:
    return [document.text[table.start : table.end] for table in document.tables]


def failure_of(data: bytes) -> ExtractionFailed:
    with pytest.raises(ExtractionFailed) as failure:
        extract(data)
    return failure.value


def test_every_line_says_where_it_stands() -> None:
    document = read({"name": "Kettle", "size": {"box": {"height": 4}}, "parts": [{"a": [{"b": True}]}, {"c": None}]})
    assert document.text == (
        "name: Kettle\n\nsize\n\nsize.box.height: 4\n\nparts\n\nparts[0].a[0].b: true\n\nparts[1].c: null"
    )
    assert [(heading.title, heading.level) for heading in document.headings] == [("size", 1), ("parts", 1)]
    assert document.text[document.headings[1].start :].startswith("parts\n")


def test_a_list_of_like_objects_is_a_table_with_its_keys_once() -> None:
    document = read([{"id": 1, "who": "Ann"}, {"who": "Bob", "id": 2}, {"id": 3}])
    assert document.text == "id | who\n1 | Ann\n2 | Bob\n3 |"
    assert rows(document) == [document.text]


def test_a_table_further_down_says_its_path_and_equal_rows_need_no_keys() -> None:
    document = read({"a": {"points": [[1, 2], [3, 4]], "people": [{"n": "x"}, {"n": "y"}]}})
    assert document.text == "a\n\na.points:\n1 | 2\n3 | 4\n\na.people:\nn\nx\ny"
    assert rows(document) == ["1 | 2\n3 | 4", "n\nx\ny"]


def test_objects_that_share_no_keys_or_hold_others_are_no_table() -> None:
    assert read([{"a": 1}, {"b": 2}, {"c": 3}]).tables == ()
    assert read([{"a": 1}, {"a": {"b": 2}}]).text == "[0].a: 1\n\n[1].a.b: 2"


def test_short_lists_are_one_line_and_long_texts_are_paragraphs() -> None:
    assert read({"tags": ["red", "blue"], "vector": [0.5] * 500}).text.count("\n") == 1
    assert read({"note": "First line.\nSecond line.", "n": 1}).text == "note:\nFirst line.\nSecond line.\n\nn: 1"
    words = " ".join(["word"] * 100)
    assert read([words, words]).text == f"[0]:\n{words}\n\n[1]:\n{words}"


def test_numbers_keep_every_digit() -> None:
    digits = "9" * 5000
    assert extract(f'{{"n": {digits}, "pi": 3.14159265358979323846264338, "e": 1E400}}'.encode()).text == (
        f"n:\n{digits}\n\npi: 3.14159265358979323846264338\ne: 1E400"
    )


def test_what_strict_readers_refuse_but_says_something_is_kept() -> None:
    assert extract(b'{"a": NaN, "a": 1, "b": -Infinity}').text == "a: NaN\na: 1\nb: -Infinity"


def test_names_that_look_like_paths_are_quoted() -> None:
    assert read({"a.b": 1, "": 2, "c[0]": 3, "two words": 4}).text == ('["a.b"]: 1\n[""]: 2\n["c[0]"]: 3\ntwo words: 4')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_every_unicode_encoding(encoding: str) -> None:
    assert extract('{"straße": "Überlingen am See"}'.encode(encoding)).text == "straße: Überlingen am See"


def test_json_lines_are_read_line_by_line() -> None:
    assert extract(b'{"a": 1}\n\n{"a": 2}\r\n').text == "a\n1\n2"
    assert extract(b'\xef\xbb\xbf{"a": 1}\n\xef\xbb\xbf{"a": 2}').text == "a\n1\n2"
    assert extract(b'{"a": {"b": 1}}\n[2, 3]\n"four"').text == "[0].a.b: 1\n\n[1]: 2, 3\n\n[2]: four"


def test_the_title_is_what_the_object_calls_so() -> None:
    assert read({"title": "A report", "x": 1}).title == "A report"
    assert read({"title": {"x": 1}}).title is None


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"a": 1,}', "line 1, column 9"),
        (b'{"a": 1}\n{"a": 2} rubbish', "line 2, column 10"),
        (b'{"a":\n  tru}', "line 2, column 3"),
        (b'["a\nb"]', "line 1, column 4"),
        (b'{"a": 1', "line 1, column 8"),
        (b"", "line 1, column 1"),
        (b"{'a': 1}", "line 1, column 2"),
    ],
)
def test_broken_json_says_line_and_column(data: bytes, place: str) -> None:
    failure = failure_of(data)
    assert failure.code == "broken_json"
    assert place in failure.detail


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 990 + b"1" + b"]" * 990])
def test_json_nested_beyond_measure_is_refused(data: bytes) -> None:
    assert failure_of(data).code == "too_deep"


def test_a_path_that_grows_the_text_beyond_measure_is_refused() -> None:
    value: dict[str, object] = {str(number): number for number in range(400)}
    for _ in range(200):
        value = {"k" * 300: value}
    assert failure_of(json.dumps(value).encode()).code == "too_much_text"
