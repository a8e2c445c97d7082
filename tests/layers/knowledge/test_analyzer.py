"""Text to terms."""

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minirag.knowledge import language
from minirag.knowledge.lexical import analyzer
from minirag.knowledge.lexical.analyzer import STEMMERS, analysis_of, query_terms, terms, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The runners were running", ["runner", "run"]),
        ("Pumps, PUMPS and pump", ["pump"] * 3),
        ("part AB-1234 of snake_case", ["part", "ab", "1234", "snake", "case"]),
        ("C++, F# and don't", ["c++", "f#", "don't"]),
        ("ｆｕｌｌ ﬁsh Ⅳ", ["full", "fish", "iv"]),
        ("guidelines of the WHO on IT", ["guidelin", "who", "it"]),
        ("in the U.S. and the US", ["us", "us"]),
        ("THE WHO", []),
        ("who is it", []),
        ("The plum rain 梅雨 falls", ["plum", "rain", "梅雨", "fall"]),
        ("東京都民", ["東京", "京都", "都民"]),
        ("雨", ["雨"]),
        ("한국어", ["한국", "국어"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("", []),
        ("\0 😀 \ud800 \n\t", []),
    ],
)
def test_text_becomes_the_terms_a_reader_would_look_for(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_all_words_count_where_sentences_are_compared() -> None:
    assert words("The runners of the WHO") == ["the", "runner", "of", "the", "who"]


@example("The U.S. and the U.K. don’t use C++ or F#.", "en")
@given(
    st.text(alphabet=st.sampled_from("aZ.'’é\u0301\u00a0\u00b4\ufb01ﷺ黑豹ก \n\t.U+#-1"), max_size=60),
    st.sampled_from(["en", "fr", "zh", None]),
)
def test_words_that_are_remembered_one_by_one_are_those_of_the_whole_text(text: str, language: str | None) -> None:
    assert words(text, language) == list(analyzer._analyzed(text, analysis_of(language), stop=False))


def test_no_more_words_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzer, "_REMEMBERED", 3)
    known = analyzer._Words("en")
    for number in range(10):
        assert known[f"pumps{number}"] == (f"pumps{number}",)
        assert len(known) <= 3
    assert known["pumps"] == ("pump",)


def test_each_language_has_its_own_endings_and_stop_words() -> None:
    assert terms("Los puertos y las casas", "es") == ["puert", "cas"]
    assert terms("Die Häuser und das Haus", "de") == ["haus", "haus"]
    assert terms("houses", "zh") == ["houses"]


def test_a_language_tag_is_analyzed_as_its_language() -> None:
    assert terms("houses", "en-GB") == terms("houses", "EN") == terms("houses") == ["hous"]
    assert [analysis_of(tag) for tag in (None, "de-AT", "zh-Hant", "nonsense")] == ["en", "de", "und", "und"]


def test_a_question_is_analyzed_in_every_language_and_shared_terms_count_once() -> None:
    assert query_terms("banks banks", ["en"]) == ["bank", "bank"]
    assert Counter(query_terms("panthers 2015", ["en", "es"])) == {"panther": 1, "2015": 1, "panthers": 1}
    assert query_terms("houses", []) == ["hous"]


@given(st.text(), st.sampled_from([None, *STEMMERS, "zh", "xx"]))
def test_any_text_in_any_language_gives_bounded_terms_that_can_be_stored(text: str, code: str | None) -> None:
    for term in terms(text, code):
        assert 0 < len(term) <= 64 + 2
        assert not {"\n", "\t", "\0"} & set(term)
        term.encode()


def test_the_language_of_a_document_is_told_or_said_not_to_be_known() -> None:
    assert language.detect("The pump must be serviced once a year by trained staff, who keep a record.") == "en"
    assert language.detect("La bomba debe revisarse una vez al año por personal formado que lleve un registro.") == "es"
    assert language.detect("梅雨は日本の六月から七月にかけての雨の多い季節である。") == "ja"
    assert language.detect("12345 67") is None
    assert language.detect("") is None
