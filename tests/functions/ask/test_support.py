"""Whether a question can be answered from what was retrieved."""

from hypothesis import given
from hypothesis import strategies as st

from functions.ask.support import Signals, answerable, coverage, probability
from minirag.knowledge.lexical.analyzer import terms

SHARE = st.floats(0, 1, allow_nan=False)


def test_a_question_whose_words_are_all_there_is_answered() -> None:
    assert answerable(Signals(coverage=1.0, keyword_share=0.6, cosine=0.8))
    assert answerable(Signals(coverage=1.0, keyword_share=0.6, cosine=None))


def test_a_question_about_something_else_is_not_answered() -> None:
    assert not answerable(Signals(coverage=0.2, keyword_share=0.1, cosine=0.1))
    assert not answerable(Signals(coverage=0.2, keyword_share=0.1, cosine=None))


def test_where_nothing_was_found_nothing_is_answered() -> None:
    assert not answerable(Signals(coverage=coverage({}, []), keyword_share=0.0, cosine=None))


def test_coverage_weighs_the_questions_terms_by_rarity() -> None:
    idf = dict(zip(terms("lighthouse of Pharos"), (3.0, 0.1, 4.9), strict=True))
    assert coverage(idf, ["The lighthouse of Alexandria.", "Nothing."]) == (3.0 + 0.1) / 8.0
    assert coverage(idf, ["Pharos had a lighthouse of stone."]) == 1.0


@given(SHARE, SHARE, st.none() | SHARE, SHARE)
def test_more_evidence_never_makes_an_answer_less_likely(
    covered: float, keyword: float, cosine: float | None, more: float
) -> None:
    little = probability(Signals(covered, keyword, cosine))
    assert probability(Signals(max(covered, more), keyword, cosine)) >= little
    assert probability(Signals(covered, max(keyword, more), cosine)) >= little
    if cosine is not None:
        assert probability(Signals(covered, keyword, max(cosine, more))) >= little
