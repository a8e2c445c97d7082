"""CSV: separators, quotes, encodings and rows that are not alike."""

from functions.ingest.extract import csv
from functions.ingest.extract.document import Table


def read(text: str, encoding: str = "utf-8") -> str:
    return csv.extract(text.encode(encoding)).text


def test_a_file_is_one_table_with_its_header_row_first() -> None:
    document = csv.extract(b"name,age\nAnna,30\n\nBen,41\n")
    assert document.text == "name | age\nAnna | 30\nBen | 41"
    assert document.tables == (Table(0, len(document.text)),)


def test_the_separator_is_the_one_that_cuts_rows_alike() -> None:
    assert read("a;b\n1,5;2\n3,5;4\n") == "a | b\n1,5 | 2\n3,5 | 4"
    assert read("a\tb\nx, y\tz\n") == "a | b\nx, y | z"
    assert read("a|b\nx|y\n") == "a | b\nx | y"
    assert read("sep=;\na;b,c,d\n") == "a | b,c,d"
    assert read("1,5;2,5\n3,5;4,5\n") == "1,5 | 2,5\n3,5 | 4,5"


def test_a_list_of_lines_without_separator_is_one_column() -> None:
    assert read("apples\npears\n") == "apples\npears"


def test_quoted_cells_hold_separators_quotes_and_line_breaks() -> None:
    assert (
        read('a,"b, c","say ""hi""","two\r\nlines"\r\n1,2,3,4\r\n') == 'a | b, c | say "hi" | two lines\n1 | 2 | 3 | 4'
    )


def test_rows_of_different_lengths_are_kept_as_they_are() -> None:
    assert read("a,b,c\n1\n1,2,3,4\n,,\n,x,\n") == "a | b | c\n1\n1 | 2 | 3 | 4\n| x"


def test_a_quotation_mark_that_is_none_swallows_nothing() -> None:
    rows = [f"{number},text" for number in range(300)]
    text = read("\n".join(['size,"12 inch', *rows]))
    assert text.count("\n") == 300
    assert text.endswith("299 | text")


def test_any_encoding_is_read() -> None:
    assert read("Größe;Länge\nklein;groß\n", "cp1252") == "Größe | Länge\nklein | groß"
    assert read("名前,年齢\n太郎,30\n", "utf-16") == "名前 | 年齢\n太郎 | 30"


def test_a_cell_longer_than_the_library_expects_is_read() -> None:
    assert len(read(f"a,b\n1,{'x' * 200_000}\n")) > 200_000


def test_an_empty_table_holds_no_text() -> None:
    assert read(",,,\n,,,\n") == ""
    assert read("\n\n") == ""
