"""What a call costs."""

from decimal import Decimal

import pytest

from minirag.knowledge.cost import PRICES, cost_usd
from minirag.knowledge.embeddings import minilm
from minirag.knowledge.llm import extractive
from minirag.runtime.settings import Settings


def test_the_cost_is_exact() -> None:
    assert cost_usd("gpt-4o-mini", 1_000, 200) == Decimal("0.00027")
    assert cost_usd("claude-haiku-4-5", 1, 1) == Decimal("0.000006")
    assert cost_usd("text-embedding-3-small", 3, 0) == Decimal("0.00000006")


@pytest.mark.parametrize("model", [extractive.MODEL, minilm.MODEL])
def test_what_runs_here_costs_nothing(model: str) -> None:
    assert cost_usd(model, 1_000_000, 1_000_000) == 0


def test_an_unknown_price_is_no_price() -> None:
    assert cost_usd("gpt-4o-2024-05-13", 1, 1) is None


def test_the_default_models_have_prices() -> None:
    settings = Settings(database_url="")
    for model in (settings.openai_model, settings.openai_embedding_model, settings.anthropic_model):
        assert PRICES[model].input > 0
