"""How the check of citations is measured."""

import json
import random
from pathlib import Path

import pytest

from evals.answered import PLACE, load
from evals.citing import FALSE, SET, TRUE, Case, by_kind, cases, chosen, curve, held, restated, strengths
from functions.ask.citing.trace import RULE, Rule

ARTICLES = {
    "Ships": [
        "The frigate Amelia was launched at Karlskrona in 1787 by G. Chapman. It carried 44 guns and was sold in 1791.",
        "The brig Delfin was wrecked near Gotland during a storm. Nobody was saved from the wreck in that winter.",
    ],
    "Towers": [
        "The tower of Malmo was built from bricks by Hans Brask in 1512. It has 365 steps and a copper roof.",
        "The tower of Lund has stood in Scania since the year 1145. It was struck by lightning twice.",
    ],
}
QUESTIONS = [
    ("When was the frigate Amelia launched at Karlskrona?", "1787", "Ships0"),
    ("How many guns did the frigate carry?", "44 guns", "Ships0"),
    ("Who built the tower of Malmo from bricks?", "Hans Brask", "Towers0"),
]


@pytest.fixture
def made(tmp_path: Path) -> list[Case]:
    """A little set of two articles, with three questions that can be answered and one that cannot."""
    folder = tmp_path / "little"
    folder.mkdir()
    corpus = [
        {"_id": f"{title}{n}", "title": title, "text": text}
        for title, texts in ARTICLES.items()
        for n, text in enumerate(texts)
    ]
    asked = [
        {"_id": f"q{n}", "text": text, "answers": [answer], "doc_ids": [paragraph]}
        for n, (text, answer, paragraph) in enumerate(QUESTIONS)
    ]
    asked += [{"_id": id_, "text": "Who?", "answers": [], "doc_ids": [id_]} for id_ in ("Ships1", "Towers1")]
    for name, rows in (("corpus", corpus), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return cases(load("little", characters=None, questions=None, place=tmp_path))


def test_each_question_with_an_answer_makes_true_and_false_claims_of_its_paragraph(made: list[Case]) -> None:
    assert [case.article for case in made] == ["Ships", "Ships", "Towers"]
    for case in made:
        kinds = [kind for kind, _ in case.claims]
        assert len(set(kinds)) == len(kinds)
        assert set(kinds) <= {*TRUE, *FALSE}
        assert {"literal", "restated", "other article", "other paragraph", "number changed", "denied"} <= set(kinds)
        text, claims = case.passages[0].content, dict(case.claims)
        assert claims["literal"] in text
        assert claims["other paragraph"] not in text
        assert claims["number changed"] not in text
    assert dict(made[0].claims)["other answer"] == "was the frigate Amelia launched at Karlskrona 44 guns."


def test_a_question_becomes_a_statement() -> None:
    assert restated("What does the crew of the brig eat?", "fish") == "the crew of the brig eat fish."


def test_true_claims_are_stronger_than_false_ones(made: list[Case]) -> None:
    found = strengths(made, RULE)
    assert held(found, RULE.support, TRUE) == 1.0
    assert held(found, RULE.support, ["other article", "other paragraph", "number changed"]) == 0.0


def test_the_rule_that_is_chosen_keeps_what_is_true(made: list[Case]) -> None:
    rules = [Rule(1.0, unheard, 0.8) for unheard in (0.5, 1.0)]
    best, wrong = chosen(made, rules)
    assert best.unheard in {0.5, 1.0}
    assert 0 < best.support <= 1
    assert held(strengths(made, best), best.support, TRUE) == 1.0
    assert 0 <= wrong < 1


def test_tables_tell_shares_by_kind_and_by_threshold() -> None:
    found = {"literal": [1.0, 0.4], "other article": [0.0, 0.5], "denied": [1.0]}
    assert "| literal | 2 | 50.0% | 50.0% |" in by_kind(found, 0.5)
    assert "| denied | 1 | 100.0% | 0.0% |" in by_kind(found, 0.5)
    assert "| 0.50 | 50.0% | 50.0% | 50.0% | 33.3% | 40.0% |" in curve(found, [0.5])


def test_the_rule_in_use_is_the_one_that_is_chosen() -> None:
    if not (PLACE / SET).is_dir():
        pytest.skip(f"{SET} is not here")
    made = cases(load(SET, characters=None, questions=None))
    articles = sorted({case.article for case in made})[::2]
    some = random.Random(1).sample([case for case in made if case.article in articles], 200)
    best, _ = chosen(some, [Rule(1.0, RULE.unheard, RULE.two)])
    assert best.support == pytest.approx(RULE.support, abs=0.06)
