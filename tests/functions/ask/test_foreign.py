"""An answer in the language of the question, from documents in another, keeps its sources and claims no support."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from functions.ask.citing.foreign import foreign
from functions.ask.citing.verify import Verified, verify
from minirag.knowledge.llm import Passage
from tests.fakes.openai_server import OpenAIServer
from tests.functions.ask.test_ask_with_models import TEXT, ask, ingest
from tests.tenants import TestTenant

PASSAGE = (
    "The lighthouse of Alexandria stood on the island of Pharos. It was about 100 metres high, and one of the tallest "
    "structures that had been built by then. It was destroyed by an earthquake in 1323."
)


def verified(draft: str) -> Verified:
    return verify(draft, [Passage(1, uuid4(), uuid4(), "Pharos", PASSAGE, 1.0)], {1: PASSAGE})


@pytest.mark.parametrize(
    "answer",
    [
        "Der Leuchtturm von Alexandria stand auf der Insel Pharos.",
        "Le phare d'Alexandrie se trouvait sur l'île de Pharos, et il était l'un des plus hauts.",
        "El faro de Alejandría estaba en la isla de Faros y fue una de las más altas de su tiempo.",
        "亚历山大灯塔位于法罗斯岛。",
        "Александрийский маяк стоял на острове Фарос.",
    ],
)
def test_another_language_is_told(answer: str) -> None:
    assert foreign(answer, [PASSAGE])
    kept = verified(f"{answer} [1]")
    assert (kept.score, kept.unsupported) == (0.0, [answer])
    assert kept.text == f"{answer} [1]"
    [span] = kept.spans
    assert span.quote == PASSAGE[span.start : span.end]


@pytest.mark.parametrize(
    "answer",
    [
        "Quantum computers factor integers.",
        "It stood on Pharos.",
        "1323",
        "Pharos",
        "",
        "The lighthouse stood on an island, and was said to be the tallest of all that had been built.",
    ],
)
def test_the_same_language_is_not_taken_for_another(answer: str) -> None:
    assert not foreign(answer, [PASSAGE])


def test_a_number_that_is_in_no_passage_has_no_source_in_any_language() -> None:
    assert verified("Er war etwa 350 Meter hoch und stand auf der Insel Pharos. [1]").spans == []
    assert verified("Er war etwa 100 Meter hoch und stand auf der Insel Pharos. [1]").spans != []
    assert verified("Er war etwa 100 Meter hoch und stand auf der Insel Pharos. [2]").spans == []


def test_a_question_in_another_language_is_answered_in_it(
    api: httpx.Client, tenant: TestTenant, deliver: Callable[[], Any], openai: OpenAIServer
) -> None:
    ingest(api, tenant, deliver)
    openai.completion = lambda _: "Der Leuchtturm von Alexandria stand auf der Insel Pharos. [1]"
    answer = ask(api, tenant, "Auf welcher Insel stand der Leuchtturm von Alexandria?")
    assert (answer["outcome"], answer["score"]) == ("answered", 0.0)
    assert answer["unsupported"] == ["Der Leuchtturm von Alexandria stand auf der Insel Pharos."]
    [citation] = answer["citations"]
    assert citation["quote"] == TEXT[citation["start"] : citation["end"]]
