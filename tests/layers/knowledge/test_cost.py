"""What a call and the time of a function cost."""

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from minirag.knowledge.cost import PRICES, cost_usd, function_usd, version
from minirag.knowledge.embeddings import minilm
from minirag.knowledge.llm import extractive
from minirag.runtime import settings
from minirag.runtime.settings import Settings

Set = Callable[..., None]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """Sets variables of the environment, of which those about costs are not set before."""

    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings.current.cache_clear()

    for name in ("MINIRAG_PRICES", "MINIRAG_GB_SECOND_USD", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"):
        monkeypatch.delenv(name, raising=False)
    put(MINIRAG_DATABASE_URL="postgresql://")
    yield put
    monkeypatch.undo()
    settings.current.cache_clear()


def test_the_cost_is_exact() -> None:
    assert cost_usd("gpt-4o-mini", 1_000, 200) == Decimal("0.00027")
    assert cost_usd("claude-haiku-4-5", 1, 1) == Decimal("0.000006")
    assert cost_usd("text-embedding-3-small", 3, 0) == Decimal("0.00000006")


@pytest.mark.parametrize("model", [extractive.MODEL, minilm.MODEL])
def test_what_runs_here_costs_nothing(model: str) -> None:
    assert cost_usd(model, 1_000_000, 1_000_000) == 0


def test_an_unknown_price_is_no_price() -> None:
    assert cost_usd("gpt-4o-2024-05-13", 1, 1) is None
    assert cost_usd("llama-3.1-8b", 1, 1) is None


@pytest.mark.parametrize(
    ("alias", "dated"),
    [
        ("gpt-4o", "gpt-4o-2024-11-20"),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    ],
)
def test_the_dated_name_that_a_vendor_answers_with_has_the_price_of_its_alias(alias: str, dated: str) -> None:
    assert cost_usd(dated, 1_000, 1_000) == cost_usd(alias, 1_000, 1_000) is not None


def test_the_default_models_have_prices() -> None:
    settings = Settings(database_url="")
    for model in (settings.openai_model, settings.openai_embedding_model, settings.anthropic_model):
        assert PRICES[model].input > 0


def test_the_most_a_call_can_cost_is_known_before_it() -> None:
    assert cost_usd("gpt-4o-mini", 1_000, 800) == Decimal("0.00063")


def test_the_settings_override_prices_and_add_to_them(variables: Set) -> None:
    variables(MINIRAG_PRICES='{"gpt-4o-mini": [1, 0.5], "llama-3.1-8b": [0.000001, 2e-7], "gpt-4o": [0, 0]}')
    assert cost_usd("gpt-4o-mini", 1_000_000, 1_000_000) == Decimal("1.5")
    assert cost_usd("llama-3.1-8b", 1_000_000, 10_000_000) == Decimal("0.000003")
    assert cost_usd("gpt-4o", 1_000_000, 1_000_000) == 0
    assert cost_usd("claude-haiku-4-5", 1_000_000, 0) == 1


def test_a_price_set_for_an_alias_holds_for_its_snapshots(variables: Set) -> None:
    variables(MINIRAG_PRICES='{"gpt-4o-mini": [1, 2], "claude-haiku-4-5": [3, 4], "gpt-4o-2024-11-20": [5, 6]}')
    assert cost_usd("gpt-4o-mini-2024-07-18", 1_000_000, 0) == 1
    assert cost_usd("claude-haiku-4-5-20251001", 1_000_000, 0) == 3
    assert cost_usd("gpt-4o-2024-11-20", 1_000_000, 0) == 5
    assert cost_usd("gpt-4o", 1_000_000, 0) == Decimal("2.5")


def test_the_version_tells_other_prices_apart_and_equal_ones_not(variables: Set) -> None:
    assert version() == "2025-10-15"
    variables(MINIRAG_PRICES='{"a": [1, 2], "b": [3, 4]}')
    first = version()
    assert first.startswith("2025-10-15+")
    assert len(first) == len("2025-10-15+") + 8
    variables(MINIRAG_PRICES='{"b": [3.0, 4], "a": [1, 2.00]}')
    assert version() == first
    variables(MINIRAG_PRICES='{"b": [3, 4], "a": [1, 2.01]}')
    assert version() != first


@pytest.mark.parametrize(
    "prices",
    [
        "{", "[]", "3", "null", '{"a": 1}', '{"a": [1]}', '{"a": [1, 2, 3]}', '{"a": ["1", "2"]}', '{"a": [1, -2]}',
        '{"a": [1, NaN]}', '{"a": [1, Infinity]}', '{"a": [true, 1]}', '{"a": [null, 1]}', '{"a": {"x": 1, "y": 2}}',
    ],
)  # fmt: skip
def test_prices_that_are_none_are_refused_by_the_name_of_their_variable(prices: str, variables: Set) -> None:
    variables(MINIRAG_PRICES=prices)
    with pytest.raises(ValueError, match="MINIRAG_PRICES must be like"):
        settings.current()


def test_the_time_of_a_function_has_a_price(variables: Set) -> None:
    assert function_usd(1_000) == 0, "this is no function"
    variables(AWS_LAMBDA_FUNCTION_MEMORY_SIZE="2048")
    assert function_usd(1_000) == 2 * Decimal("0.0000133334") + Decimal("0.0000002")
    assert function_usd(0.2) == function_usd(1), "a millisecond begun counts"
    variables(MINIRAG_GB_SECOND_USD="0.5")
    assert function_usd(2_000) == Decimal("2.0000002")
    variables(MINIRAG_GB_SECOND_USD="0")
    assert function_usd(2_000) == 0, "on a machine of one's own"


@pytest.mark.parametrize("amount", ["free", "-1", "NaN", "Infinity"])
def test_an_amount_that_is_none_is_refused_by_the_name_of_its_variable(amount: str, variables: Set) -> None:
    variables(MINIRAG_GB_SECOND_USD=amount)
    with pytest.raises(ValueError, match="MINIRAG_GB_SECOND_USD must be"):
        settings.current()
