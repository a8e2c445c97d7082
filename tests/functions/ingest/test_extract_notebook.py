"""Notebooks: cells in order, outputs that are text, both formats, and files that are none."""

import json
from typing import Any

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.notebook import extract
from minirag.runtime.errors import ExtractionFailed


def notebook(*cells: Any, **more: Any) -> Document:
    return extract(json.dumps({"nbformat": 4, "cells": cells, **more}).encode())


def markdown(source: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source}


def code(source: Any, *outputs: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": outputs}


def stream(text: Any) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def result(**data: Any) -> dict[str, Any]:
    return {"output_type": "execute_result", "data": {key.replace("_", "/"): value for key, value in data.items()}}


def test_cells_come_in_order_with_the_headings_of_their_markdown() -> None:
    document = notebook(
        markdown(["# Top\n", "\n", "Words.\n"]),
        code("x = 1\nprint(x)", stream(["1\n", "2\n"])),
        markdown("## Sub\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
    )
    assert document.text == ("# Top\n\nWords.\n\nx = 1\nprint(x)\n\n1\n2\n\n## Sub\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    assert [(h.level, h.title, document.text[h.start :].split("\n")[0]) for h in document.headings] == [
        (1, "Top", "# Top"),
        (2, "Sub", "## Sub"),
    ]
    assert [document.text[t.start : t.end] for t in document.tables] == ["| a | b |\n|---|---|\n| 1 | 2 |"]
    assert document.title == "Top"


def test_pictures_html_and_mere_names_of_objects_are_left_out() -> None:
    picture = result(image_png="iVBORw0KGgo" * 50, text_plain="<Figure size 640x480 with 1 Axes>")
    html = result(text_html="<b>no</b>")
    embedded = markdown(f"![x](data:image/png;base64,{'iVBORw0KGgo' * 50}) seen")
    assert notebook(code("plot()", picture, html), embedded).text == "plot()\n\n![x]() seen"


def test_a_result_is_kept_and_a_long_one_cut() -> None:
    assert notebook(code("x", result(text_plain=["   a  b\n", "0  1  2"]))).text == "x\n\n   a  b\n0  1  2"
    document = notebook(code("x", stream("".join(f"line {n}\n" for n in range(1000)))))
    assert "line 39\n[961 more lines]" in document.text
    assert "line 40" not in document.text


def test_an_error_is_named_without_its_traceback() -> None:
    error = {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["\x1b[0;31mno\x1b[0m"]}
    assert notebook(code("d['x']", error)).text == "d['x']\n\nKeyError: 'x'"


def test_colours_and_progress_bars_leave_their_words() -> None:
    assert notebook(code("x", stream("\x1b[1;31mred\x1b[0m\n 10%\r 50%\r100%\n"))).text == "x\n\nred\n100%"


def test_notebooks_of_format_3_are_read() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "code", "input": ["y = 2"], "outputs": [{"output_type": "pyout", "text": ["2"], "png": "iVBO"}]},
    ]
    document = extract(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}).encode())
    assert document.text == "Old\n\ny = 2\n\n2"
    assert [(h.level, h.title) for h in document.headings] == [(2, "Old")]


def test_the_title_is_what_the_notebook_declares() -> None:
    assert notebook(markdown("# Top"), metadata={"title": "Declared"}).title == "Declared"


def test_cells_of_the_wrong_shape_do_no_harm() -> None:
    odd: list[Any] = [
        1,
        None,
        [],
        {"cell_type": 3, "source": {"a": 1}, "outputs": {"x": 1}},
        code(["a", None], 1, {"data": [1]}),
    ]
    assert notebook(*odd).text == "a"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"nbformat": 4}', "broken_notebook"),
        (b"[]", "broken_notebook"),
        (b'{"cells": [', "broken_json"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_what_is_no_notebook_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        extract(data)
    assert failure.value.code == code
