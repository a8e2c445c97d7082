"""What tokens cost. List prices, to be checked against the vendors' price pages before anyone is billed by them."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

PRICES_AS_OF: Final = date(2025, 10, 15)

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens: read by the model, and written by it."""

    input: Decimal
    output: Decimal


def _price(prompt: str, completion: str = "0") -> Price:
    return Price(Decimal(prompt), Decimal(completion))


_FREE: Final = _price("0")
_GPT_4O: Final = _price("2.50", "10")
_GPT_4O_MINI: Final = _price("0.15", "0.60")
_GPT_41_MINI: Final = _price("0.40", "1.60")
_HAIKU: Final = _price("1", "5")
_SONNET: Final = _price("3", "15")

# Vendors answer with the dated name of what an alias stood for. A snapshot may have a price of its own (the first
# gpt-4o has), so each is listed.
PRICES: Final[dict[str, Price]] = {
    "gpt-4o": _GPT_4O,
    "gpt-4o-2024-08-06": _GPT_4O,
    "gpt-4o-2024-11-20": _GPT_4O,
    "gpt-4o-mini": _GPT_4O_MINI,
    "gpt-4o-mini-2024-07-18": _GPT_4O_MINI,
    "gpt-4.1-mini": _GPT_41_MINI,
    "gpt-4.1-mini-2025-04-14": _GPT_41_MINI,
    "text-embedding-3-small": _price("0.02"),
    "text-embedding-3-large": _price("0.13"),
    "claude-haiku-4-5": _HAIKU,
    "claude-haiku-4-5-20251001": _HAIKU,
    "claude-sonnet-4-5": _SONNET,
    "claude-sonnet-4-5-20250929": _SONNET,
    "all-MiniLM-L6-v2-int8": _FREE,
    "extractive-1": _FREE,
}


def cost_usd(model: str, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
    """Dollars for a call, exact; None if the model's price is not known."""
    price = PRICES.get(model)
    if price is None:
        return None
    return (price.input * prompt_tokens + price.output * completion_tokens) / _MILLION
