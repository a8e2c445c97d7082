"""Whether a question can be answered from what was retrieved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ask.support import Signals, answerable, hopeless, probability, signals
from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.lexical.bm25 import Statistics

SHARE = st.floats(0, 1, allow_nan=False)
SEEN = st.builds(Signals, SHARE, SHARE, SHARE, st.none() | st.floats(-1, 1, allow_nan=False))

KEPT = "The weather station keeps its measurements for seven years, on paper and on disks."


def of(*held: str, total: int = 100) -> Statistics:
    """A workspace in which one passage holds each of the terms."""
    return Statistics(total, 10.0, dict.fromkeys([term for text in held for term in terms(text)], 1))


def test_a_question_whose_words_are_all_there_is_answered() -> None:
    assert answerable(Signals(keyword_share=0.6, together=1.0, phrase=0.6, cosine=0.8))
    assert answerable(Signals(keyword_share=0.6, together=1.0, phrase=0.6, cosine=None))


def test_a_question_about_something_else_is_not_answered() -> None:
    assert not answerable(Signals(keyword_share=0.1, together=0.2, phrase=0.0, cosine=0.1))
    assert not answerable(Signals(keyword_share=0.1, together=0.2, phrase=0.0, cosine=None))


def test_where_nothing_was_found_nothing_is_answered() -> None:
    assert not answerable(signals("Where is Pharos?", [], Statistics(0, 0.0, {}), None))
    assert not answerable(signals("???", ["Pharos"], Statistics(1, 1.0, {}), None))


def test_terms_count_by_their_rarity_and_words_that_only_ask_do_not() -> None:
    lighthouse, pharos = terms("lighthouse Pharos")
    statistics = Statistics(100, 5.0, {lighthouse: 50, pharos: 1})
    question = "What is the lighthouse of Pharos?"
    common, rare = (signals(question, [content], statistics, None) for content in ("A lighthouse.", "Pharos."))
    assert common.together < 0.5 < rare.together
    assert common.keyword_share < rare.keyword_share
    assert signals(question, ["Pharos had a lighthouse."], statistics, None).together == pytest.approx(1.0)


def test_only_the_passage_that_was_ranked_first_counts() -> None:
    question, statistics = "Where is the lighthouse of Pharos?", of("lighthouse Pharos")
    alone = signals(question, ["A lighthouse."], statistics, 0.4)
    assert signals(question, ["A lighthouse.", "The lighthouse of Pharos."], statistics, 0.4) == alone


def test_terms_that_stand_far_apart_are_not_together() -> None:
    question, statistics = "Did the lighthouse on Pharos burn?", of("lighthouse Pharos burn")
    near = "The lighthouse on Pharos did burn. " + "Gulls circled over many quiet harbours. " * 8
    far = "The lighthouse stood. " + "Gulls circled over many quiet harbours. " * 8 + "Pharos did burn."
    held = signals(question, [near], statistics, None), signals(question, [far], statistics, None)
    assert held[0].together == pytest.approx(1.0)
    assert 0 < held[1].together < 0.7


def test_the_words_of_a_question_side_by_side_are_a_phrase() -> None:
    question, statistics = "Who wrote the old stone bridge poem?", of("wrote old stone bridge poem")
    same = signals(question, ["The old stone bridge poem has no author."], statistics, None)
    other = signals(question, ["Poem, bridge, old, stone: no author."], statistics, None)
    assert same.phrase > other.phrase
    assert same.together == other.together


def test_a_question_of_one_term_is_answered_by_what_holds_it() -> None:
    statistics = of("Pharos is an island off the coast of Alexandria with a famous lighthouse")
    found = signals("Pharos?", ["Pharos is an island off the coast of Alexandria."], statistics, 0.6)
    assert found.phrase == pytest.approx(1.0)
    assert answerable(found)


def test_a_term_that_no_passage_holds_weighs_less_than_one_that_another_passage_holds() -> None:
    content = "The harbour was closed in 1954."
    unknown = signals("When was the harbour shut?", [content], of("harbour"), None)
    elsewhere = signals("When was the harbour shut?", [content], of("harbour shut"), None)
    assert unknown.together > elsewhere.together


def test_in_chinese_two_characters_that_nothing_holds_hardly_weigh() -> None:
    content = "黑豹队的防守只丢了308分，排名联盟第六。"
    found = signals("黑豹队的防守丢了多少分？", [content], of(content, total=200), None, "zh")
    assert found.together > 0.75
    assert answerable(found)


def test_in_a_corpus_of_one_passage_a_question_in_other_words_is_still_answered() -> None:
    statistics = Statistics(1, 13.0, dict.fromkeys(terms(KEPT), 1))
    assert answerable(signals("For how many years are measurements kept by the station?", [KEPT], statistics, 0.6))


def test_signals_mean_the_same_in_corpora_of_every_size() -> None:
    question = "For how many years does the weather station of Kew keep its measurements?"
    frequencies = {"weather": 0.02, "station": 0.05, "year": 0.2, "keep": 0.1, "measur": 0.05, "kew": 0.0}

    def of_size(total: int) -> Signals:
        holding = {term: round(share * total) for term, share in frequencies.items()}
        return signals(question, [KEPT], Statistics(total, 13.0, holding), None)

    sizes = [of_size(total) for total in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)]
    for of_signal in ([one.keyword_share for one in sizes], [one.together for one in sizes]):
        assert max(of_signal) - min(of_signal) < 0.15
    assert len({answerable(one) for one in sizes}) == 1


def test_where_even_a_model_has_nothing_to_hope_for_is_far_below_where_answers_end() -> None:
    assert hopeless(Signals(keyword_share=0.0, together=0.0, phrase=0.0, cosine=0.05))
    unlikely = Signals(keyword_share=0.2, together=0.4, phrase=0.0, cosine=0.3)
    assert not answerable(unlikely)
    assert not hopeless(unlikely)


@given(SEEN)
def test_what_is_hopeless_is_not_answered_and_by_words_alone_nothing_is_hopeless(seen: Signals) -> None:
    assert not (hopeless(seen) and answerable(seen))
    assert not (hopeless(seen) and seen.cosine is None)


@given(SEEN, SHARE)
def test_more_evidence_never_makes_an_answer_less_likely(seen: Signals, more: float) -> None:
    little = probability(seen)
    assert probability(Signals(max(seen.keyword_share, more), seen.together, seen.phrase, seen.cosine)) >= little
    assert probability(Signals(seen.keyword_share, max(seen.together, more), seen.phrase, seen.cosine)) >= little
    assert probability(Signals(seen.keyword_share, seen.together, max(seen.phrase, more), seen.cosine)) >= little
    if seen.cosine is not None:
        nearer = max(seen.cosine, more)
        assert probability(Signals(seen.keyword_share, seen.together, seen.phrase, nearer)) >= little


@given(
    st.text(alphabet="ab 黑豹.-", max_size=40),
    st.lists(st.text(alphabet="ab 黑豹.-", max_size=80), max_size=3),
    st.integers(0, 5),
)
def test_every_signal_is_a_share(question: str, contents: list[str], frequency: int) -> None:
    statistics = Statistics(5, 3.0, dict.fromkeys(terms(question), frequency))
    found = signals(question, contents, statistics, None)
    for share in (found.keyword_share, found.together, found.phrase):
        assert 0 <= share <= 1 + 1e-9
