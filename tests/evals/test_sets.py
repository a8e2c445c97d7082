"""The sample that comes with the project."""

from evals.sets import SHIPPED, available, load


def test_the_sample_is_here_and_whole() -> None:
    assert SHIPPED in available()
    sample = load(SHIPPED)
    documents = {source.id for source in sample.sources}
    assert len(documents) == len(sample.sources)
    assert sample.questions.keys() == sample.relevant.keys()
    assert all(grades.keys() <= documents and min(grades.values()) > 0 for grades in sample.relevant.values())


def test_fewer_questions_are_the_same_ones_each_time() -> None:
    some = load(SHIPPED, questions=20)
    assert len(some.questions) == 20
    assert some == load(SHIPPED, questions=20)
    assert some.questions.items() <= load(SHIPPED).questions.items()
