"""When questions are answered: corpora with and without an article, and what observations come to."""

from collections.abc import Iterator

import numpy as np
import pytest

from evals import leftout, logistic, sets
from evals.abstention import MEANING, WORDS, answers, by, corpora, curve, fit
from evals.leftout import HALF, WHOLE, Articles, Observation, Question, Quoted
from evals.sets import Source
from evals.store import Store, store
from functions.ask.support import Signals
from infra import ranks

SURE = Signals(keyword_share=0.6, together=1.0, phrase=0.8, cosine=0.9)
NEVER = Signals(keyword_share=0.0, together=0.0, phrase=0.0, cosine=0.0)


@pytest.fixture(scope="module")
def database() -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(ranks.build()))
        with store() as started:
            yield started


@pytest.fixture(scope="module")
def rivers() -> Articles:
    """Four articles of two paragraphs each, a question about each paragraph, and one without an answer."""
    names = ("Amur", "Ebro", "Indus", "Volga")
    paragraphs = {
        name: [
            Source(f"{name}0", name, f"The {name} rises in mountains. Its source lies at {at + 1}200 metres."),
            Source(f"{name}1", name, f"Barges carry timber on the {name}. In winter {at + 3} ice breakers work there."),
        ]
        for at, name in enumerate(names)
    }
    asked = [
        question
        for at, name in enumerate(names)
        for question in (
            Question(f"Where does the {name} rise?", name, f"{name}0", ("mountains",), answerable=True),
            Question(f"What do barges carry on the {name}?", name, f"{name}1", ("timber",), answerable=True),
        )
    ]
    asked.append(Question("Who bridged the Amur?", "Amur", "Amur0", (), answerable=False))
    return Articles("rivers", "en", paragraphs, asked)


def observation(
    signals: Signals,
    *,
    corpus: str = HALF,
    inside: bool = True,
    answerable: bool = True,
    quoted: Quoted | None = None,
) -> Observation:
    return Observation(corpus, 10, "Amur", inside, answerable, signals, quoted)


def test_everything_holds_the_article_of_every_question_and_answers_are_judged(
    database: Store, rivers: Articles
) -> None:
    seen = leftout.everything(database, rivers, None)
    assert len(seen) == 9
    assert all(one.inside and one.chunks == 8 for one in seen)
    rising = [one.quoted for one in seen[:2] if one.quoted]
    assert [one.first for one in rising] == [True, True]
    assert [one.passage for one in rising] == [True, True]
    # What has no answer cannot be answered well.
    assert seen[-1].quoted is None


def test_each_question_is_asked_once_with_its_article_and_once_without(database: Store, rivers: Articles) -> None:
    seen = leftout.halves(database, rivers, None, partitions=1)
    assert len(seen) == 2 * 9
    for article in rivers.paragraphs:
        of_article = [one.inside for one in seen if one.article == article]
        assert sum(of_article) * 2 == len(of_article)
    assert {one.chunks for one in seen} == {4}
    share = {
        there: [one.signals.keyword_share for one in seen if one.inside is there and one.answerable]
        for there in (True, False)
    }
    assert min(share[True]) > max(share[False])


def test_a_small_corpus_has_as_many_chunks_as_it_should_and_is_about_one_article_or_the_next(
    database: Store, rivers: Articles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(leftout.SIZES, 1, 1)
    seen = leftout.small(database, rivers, None, 1)
    assert {(one.corpus, one.chunks) for one in seen} == {("1 chunk", 1)}
    inside, outside = ({one.article for one in seen if one.inside is there} for there in (True, False))
    assert len(inside) == 1
    assert outside == rivers.paragraphs.keys() - inside
    assert leftout.small(database, rivers, None, 8) == []


def test_a_small_corpus_is_asked_of_the_text_that_is_in_it(database: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(leftout.SIZES, 1, 2)
    paragraphs = {
        name: [
            Source(f"{name}{at}", name, " ".join(f"{name} {at} kept ledger {line} by hand." for line in range(40)))
            for at in range(3)
        ]
        for name in ("Alma", "Bela")
    }
    asked = [
        Question(f"Which ledger did {one.title} keep?", one.title, one.id, ("by hand",), answerable=True)
        for each in paragraphs.values()
        for one in each
    ]
    seen = leftout.small(database, Articles("ledgers", "en", paragraphs, asked), None, 1)
    # A chunk holds one of three paragraphs whole.
    assert sum(one.inside for one in seen) <= 2
    assert sum(not one.inside for one in seen) == 6


def test_the_shipped_sample_can_be_asked() -> None:
    sample = leftout.load(sets.SHIPPED)
    assert len(sample.questions) == 500
    held = {source.id: title for title, each in sample.paragraphs.items() for source in each}
    assert all(held[one.passage] == one.article and one.answerable for one in sample.questions)
    assert len(sample.only(20).questions) == 20


def test_logistic_regression_finds_the_weights_that_made_the_labels() -> None:
    chance = np.random.default_rng(1)
    features = chance.normal(size=(20_000, 2))
    labels = chance.random(20_000) < 1 / (1 + np.exp(-(0.5 + 2 * features[:, 0] - features[:, 1])))
    assert logistic.fit(features, labels, np.ones(20_000)) == pytest.approx([0.5, 2, -1], abs=0.1)


def test_weights_stay_finite_where_no_error_is_left() -> None:
    features = np.array([[0.0], [0.1], [0.9], [1.0]])
    found = logistic.fit(features, np.array([False, False, True, True]), np.ones(4))
    assert np.isfinite(found).all()
    assert found[1] > 0


def test_the_threshold_is_where_the_least_likely_of_the_answerable_are_refused() -> None:
    shares = np.linspace(0, 1, 201)
    seen = [observation(Signals(share, 0.5, 0.5, 0.5)) for share in shares]
    seen += [observation(Signals(share / 2, 0.5, 0.5, 0.5), inside=False) for share in shares]
    found = fit(seen, 0.02)
    assert found.weights[0] > 0
    z = found.intercept + found.weights[0] * shares + 0.5 * sum(found.weights[1:])
    refused = (1 / (1 + np.exp(-z)) < found.threshold).mean()
    assert refused == pytest.approx(0.02, abs=0.005)
    assert found.hopeless < found.threshold


def test_every_corpus_weighs_the_same_however_many_questions_it_was_asked() -> None:
    few = [observation(SURE, corpus="few"), observation(NEVER, corpus="few", inside=False)]
    many = [observation(Signals(share, 0.5, 0.5, 0.5)) for share in np.linspace(0, 1, 50)]
    many += [observation(Signals(share / 2, 0.5, 0.5, 0.5), inside=False) for share in np.linspace(0, 1, 50)]
    once, twice = fit([*few, *many], 0.02), fit([*few, *many, *many], 0.02)
    assert once.weights == pytest.approx(twice.weights, rel=1e-6)


def test_what_was_asked_by_meaning_is_told_from_what_was_asked_by_words() -> None:
    words = observation(Signals(0.6, 1.0, 0.8, None))
    meaning = observation(SURE)
    assert by(WORDS, [words, meaning]) == [words]
    assert by(MEANING, [words, meaning]) == [meaning]


def test_refusals_are_counted_by_whether_the_article_was_there() -> None:
    seen = [
        *(observation(SURE) for _ in range(3)),
        observation(NEVER),
        *(observation(NEVER, inside=False) for _ in range(2)),
        observation(SURE, answerable=False),
    ]
    head, row = corpora(seen)
    assert dict(zip(head[:3], row[:3], strict=True)) == {"corpus": HALF, "mode": MEANING, "chunks": "10"}
    assert row[3:] == ["4", "25.0", "2", "100.0", "1", "0.0", "25.0", "100.0"]


def test_an_answer_that_is_not_given_is_no_good_answer() -> None:
    good, poor = Quoted(True, True, True, 1, 2.0), Quoted(False, True, False, 3, 4.0)
    seen = [observation(SURE, corpus=WHOLE, quoted=good), observation(NEVER, corpus=WHOLE, quoted=poor)]
    _, off, on = answers(seen)
    assert off[2:] == ["off", "2", "100.0", "50.0", "100.0", "50.0", "2.00", "3.0"]
    assert on[2:] == ["on", "2", "50.0", "50.0", "50.0", "50.0", "1.00", "2.0"]


def test_where_no_answers_are_known_none_is_called_good() -> None:
    unknown = Quoted(None, None, True, 1, 2.0)
    _, off, _ = answers([observation(SURE, corpus=WHOLE, quoted=unknown)])
    assert off[5:8] == ["–", "–", "100.0"]


def test_the_curve_refuses_nothing_at_first_and_more_at_each_step() -> None:
    quoted = Quoted(True, True, True, 1, 2.0)
    between = [Signals(share, share, share, share) for share in np.linspace(0, 1, 20)]
    seen = [observation(one, corpus=corpus, quoted=quoted) for one in between for corpus in (HALF, WHOLE)]
    seen += [observation(one, inside=False) for one in between]
    _, *points = curve(seen)
    assert points[0][1:3] == ["0.0", "0.0"]
    assert points[0][4:] == ["100.0", "100.0"]
    for column, sign in ((1, 1), (2, 1), (4, -1), (5, -1)):
        values = [sign * float(point[column]) for point in points[:-1]]
        assert values == sorted(values)
    assert values[0] < values[-1]
    assert points[-1][0] == "chosen"
