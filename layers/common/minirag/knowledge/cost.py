"""What tokens and the time of a function cost.

List prices, to be checked against the vendors' price pages before anyone is billed by them; the settings override them.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from math import ceil
from typing import Final

from minirag.runtime import settings

PRICES_AS_OF: Final = date(2025, 10, 15)

_MILLION: Final = 1_000_000
_REQUEST_USD: Final = Decimal("0.20") / _MILLION  # of Lambda, beside its time
_MB_IN_GB: Final = 1024
# At the end of the names that vendors answer with.
_DATE: Final = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")

_Overrides = tuple[tuple[str, Decimal, Decimal], ...]


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
# gpt-4o has), so each is listed. A price that the settings give to an alias holds for all of its snapshots.
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


def version() -> str:
    """Which prices hold: the day of the list, and a digest of what the settings override."""
    overrides = settings.current().prices
    if not overrides:
        return str(PRICES_AS_OF)
    text = ";".join(f"{model}={read.normalize()},{written.normalize()}" for model, read, written in overrides)
    return f"{PRICES_AS_OF}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def cost_usd(model: str, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
    """Dollars for a call, exact; None if the model's price is not known."""
    price = _price_of(model)
    if price is None:
        return None
    return (price.input * prompt_tokens + price.output * completion_tokens) / _MILLION


def function_usd(milliseconds: float) -> Decimal:
    """Dollars for one request of this function that took so long; 0 where it is none, or its time costs nothing."""
    current = settings.current()
    if current.function_memory_mb is None or not current.gb_second_usd:
        return Decimal(0)
    gb_seconds = Decimal(current.function_memory_mb) / _MB_IN_GB * ceil(milliseconds) / 1000
    return gb_seconds * current.gb_second_usd + _REQUEST_USD


def _price_of(model: str) -> Price | None:
    overrides = _by_model(settings.current().prices)
    return overrides.get(model) or overrides.get(_DATE.sub("", model)) or PRICES.get(model)


@lru_cache(maxsize=4)
def _by_model(overrides: _Overrides) -> Mapping[str, Price]:
    return {model: Price(read, written) for model, read, written in overrides}
