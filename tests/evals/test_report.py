"""The tables that go into the documentation."""

from pathlib import Path

from evals.report import replace, tables

RESULTS = {
    "one": {"a": {"nDCG@10": 0.5, "recall@10": 1.0, "recall@100": 1.0, "MRR": 0.25}},
    "two": {
        "a": {"nDCG@10": 0.4, "recall@10": 0.5, "recall@100": 1.0, "MRR": 0.5},
        "b": {"nDCG@10": 0.6, "recall@10": 0.5, "recall@100": 0.9, "MRR": 1.0},
    },
}


def test_the_best_of_a_set_stands_out_and_what_did_not_run_is_a_dash() -> None:
    lines = tables(RESULTS, {"one": "3 / 4", "two": "5 / 6"}).splitlines()
    assert lines[:7] == [
        "### nDCG@10",
        "",
        "|  | one | two |",
        "| --- | ---: | ---: |",
        "| questions / documents | 3 / 4 | 5 / 6 |",
        "| a | **0.500** | 0.400 |",
        "| b | – | **0.600** |",
    ]


def test_only_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n", "utf-8")
    for text in ("new\n", "newer\n"):
        replace(page, text)
    assert page.read_text("utf-8") == "before\n<!-- measured -->\n\nnewer\n\n<!-- /measured -->\nafter\n"
