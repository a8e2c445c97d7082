"""Whether a question can be answered from what was retrieved."""

from hypothesis import given
from hypothesis import strategies as st

from functions.ask.support import Signals, answerable, probability, signals
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.lexical.bm25 import Statistics

SHARE = st.floats(0, 1, allow_nan=False)


def test_a_question_whose_words_are_all_there_is_answered() -> None:
    assert answerable(Signals(coverage=1.0, keyword_share=0.6, cosine=0.8))
    assert answerable(Signals(coverage=1.0, keyword_share=0.6, cosine=None))


def test_a_question_about_something_else_is_not_answered() -> None:
    assert not answerable(Signals(coverage=0.2, keyword_share=0.1, cosine=0.1))
    assert not answerable(Signals(coverage=0.2, keyword_share=0.1, cosine=None))


def test_where_nothing_was_found_nothing_is_answered() -> None:
    assert not answerable(signals("Where is Pharos?", [], Statistics(0, 0.0, {}), None))
    assert not answerable(signals("???", ["Pharos"], Statistics(1, 1.0, {}), None))


def test_coverage_weighs_the_questions_terms_by_rarity_and_leaves_out_how_it_asks() -> None:
    lighthouse, pharos = terms("lighthouse Pharos")
    statistics = Statistics(100, 5.0, {lighthouse: 50, pharos: 1})
    question = "What is the lighthouse of Pharos?"
    assert signals(question, ["A lighthouse."], statistics, None).coverage < 0.5
    assert signals(question, ["Pharos.", "A lighthouse."], statistics, None).coverage > 0.5
    assert signals(question, ["Pharos had a lighthouse."], statistics, None).coverage == 1.0


def test_in_a_corpus_of_one_passage_a_question_in_other_words_is_still_answered() -> None:
    content = "The weather station keeps its measurements for seven years, on paper and on disks."
    statistics = Statistics(1, 13.0, dict.fromkeys(terms(content), 1))
    assert answerable(signals("For how many years are measurements kept by the station?", [content], statistics, 0.6))


@given(SHARE, SHARE, st.none() | SHARE, SHARE)
def test_more_evidence_never_makes_an_answer_less_likely(
    covered: float, keyword: float, cosine: float | None, more: float
) -> None:
    little = probability(Signals(covered, keyword, cosine))
    assert probability(Signals(max(covered, more), keyword, cosine)) >= little
    assert probability(Signals(covered, max(keyword, more), cosine)) >= little
    if cosine is not None:
        assert probability(Signals(covered, keyword, max(cosine, more))) >= little
