"""Sets whose questions come with answers: the part that is taken, and what of an answer counts."""

import json
from pathlib import Path

import pytest

from evals.answered import Answered, load


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Twelve short reports as files, a question about each, and one about three of them."""
    docs = tmp_path / "reports" / "docs"
    docs.mkdir(parents=True)
    rows = []
    for number in range(12):
        (docs / f"report {number}.txt").write_text(f"Report {number} counts {number * 7} boats.", "utf-8")
        rows.append({"_id": f"q{number}", "text": "How many?", "answers": ["x"], "doc_files": [f"report {number}.txt"]})
    answers = ["Seven.(SOURCE: report 1.txt)\n\nSOURCE(S): report 1.txt, report 2.txt"]
    files = [f"report {number}.txt" for number in (1, 2, 3)]
    rows.append({"_id": "many", "text": "Which?", "answers": answers, "doc_files": files})
    (docs.parent / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tmp_path


def part(place: Path, characters: int) -> Answered:
    return load("reports", characters=characters, questions=100, place=place)


def test_the_whole_set_is_read_as_ingestion_reads_it(place: Path) -> None:
    whole = load("reports", characters=None, questions=None, place=place)
    assert len(whole.documents) == 12
    assert len(whole.questions) == 13
    assert whole.documents[0].title == "report 0"
    assert whole.documents[0].document.text == "Report 0 counts 0 boats."


def test_a_part_is_the_same_each_time_and_has_the_documents_of_its_questions(place: Path) -> None:
    some = part(place, 150)
    assert some == part(place, 150)
    ids = {one.id for one in some.documents}
    assert 3 < len(ids) < 12
    assert sum(len(one.document.text) for one in some.documents) <= 150
    assert {one.id for one in some.questions} == {"many", *(f"q{id_.split()[1].split('.')[0]}" for id_ in ids)}


def test_notes_of_the_source_are_no_part_of_an_answer(place: Path) -> None:
    many = next(one for one in part(place, 150).questions if one.id == "many")
    assert many.answers == ["Seven."]
    assert not many.literal


def test_beir_sets_with_answers_are_read_too(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d", "title": "T", "text": "One.\r\nTwo."}), "utf-8")
    row = {"_id": "q", "text": "What?", "answers": ["One"], "doc_ids": ["d"]}
    (folder / "queries.jsonl").write_text(json.dumps(row), "utf-8")
    papers = load("papers", characters=None, questions=None, place=tmp_path)
    assert [(one.id, one.title, one.document.text) for one in papers.documents] == [("d", "T", "One.\nTwo.")]
    assert [(one.documents, one.literal) for one in papers.questions] == [(frozenset({"d"}), True)]
