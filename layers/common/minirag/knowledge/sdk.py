"""Calls to a model vendor through its SDK: clients that are kept, one deadline, retries, errors in our terms.

The SDKs' own retries are off: they sleep for as long as `Retry-After` says, up to two minutes, past any deadline.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from random import uniform
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, TypeVar

from minirag.runtime import telemetry
from minirag.runtime.errors import MiniRagError, OutOfTime, Unavailable, Unprocessable

if TYPE_CHECKING:
    import anthropic
    import openai

T = TypeVar("T")

TOO_LONG: Final = frozenset({400, 413, 422})
"""How vendors refuse a request that is too long, among others."""

_ATTEMPTS: Final = 3
# Seconds that the pause before the second attempt is drawn from, if the vendor asks for no other; then twice as many.
_PAUSE: Final = 0.5
_LONGEST_RETRY_AFTER: Final = 3600
# What reading an answer raises that is not shaped as the vendor's API promises.
_MALFORMED: Final = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)

UNREADABLE: Final = "model_unreadable"
"""The code of an answer that came, and could not be read."""
BROKE_OFF: Final = "model_broke_off"
"""The code of a request that was sent, and whose answer did not come whole."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """What distinguishes one vendor's calls: names for the operator, and the SDK's exceptions."""

    name: str
    key_variable: str
    model_variable: str
    selectable: bool  # whether a caller may name the model, and so may name a wrong one
    any_error: type[Exception]
    timed_out: type[Exception]
    status_error: "type[openai.APIStatusError | anthropic.APIStatusError]"


@cache
def openai_client(key: str, base_url: str | None) -> "openai.OpenAI":
    """One client per key and address; the SDK is imported by the first call."""
    import openai

    return openai.OpenAI(api_key=key, base_url=base_url, max_retries=0)


@cache
def openai_vendor(model_variable: str, *, selectable: bool) -> Vendor:
    """OpenAI, for the models that `model_variable` sets."""
    import openai

    errors = openai.OpenAIError, openai.APITimeoutError, openai.APIStatusError
    return Vendor("OpenAI", "OPENAI_API_KEY", model_variable, selectable, *errors)


@cache
def anthropic_client(key: str, base_url: str | None) -> "anthropic.Anthropic":
    """One client per key and address; the SDK is imported by the first call."""
    import anthropic

    return anthropic.Anthropic(api_key=key, base_url=base_url, max_retries=0)


@cache
def anthropic_vendor(model_variable: str, *, selectable: bool) -> Vendor:
    """Anthropic, for the models that `model_variable` sets."""
    import anthropic

    errors = anthropic.AnthropicError, anthropic.APITimeoutError, anthropic.APIStatusError
    return Vendor("Anthropic", "ANTHROPIC_API_KEY", model_variable, selectable, *errors)


def call(vendor: Vendor, request: Callable[[float], T], *, seconds: float) -> T:
    """Send `request(seconds left)` and read its answer; again after a failure that may pass, if time allows.

    Three attempts at most, with pauses drawn at random below a bound that doubles (full jitter), or as long as the
    vendor asks; if that is too long there is no other attempt. Raises OutOfTime, Unprocessable (no such model), or
    Unavailable for all else. No message repeats the vendor's own, which may quote the key or the prompt.
    """
    deadline = monotonic() + seconds
    for attempt in range(1, _ATTEMPTS + 1):
        left = deadline - monotonic()
        if left <= 0:
            break
        pause = uniform(0, _PAUSE * 2 ** (attempt - 1))  # noqa: S311  so that not all come back at once
        try:
            return _within(left, request)
        except (TimeoutError, vendor.timed_out):
            break
        except vendor.status_error as error:
            problem, passes, asked = _refused(vendor, error)
            pause = pause if asked is None else asked
            # The chain would put the vendor's words into the log.
            if not passes or attempt == _ATTEMPTS or monotonic() + pause >= deadline:
                raise problem from None
        except vendor.any_error as error:
            if attempt == _ATTEMPTS or monotonic() + pause >= deadline:
                raise _broken(vendor, error) from error
        except _MALFORMED as error:
            detail = f"{vendor.name}'s answer could not be read; try again shortly"
            raise Unavailable(detail, code=UNREADABLE) from error
        sleep(pause)
    raise OutOfTime(f"{vendor.name} gave no answer within {max(0.0, seconds):.1f} seconds; try again")


def _within(seconds: float, request: Callable[[float], T]) -> T:
    """What `request` returns, or TimeoutError after `seconds`, whatever it is waiting for.

    The SDKs' timeouts are for each wait: looking up a name has none, and an answer that trickles never meets one.
    """
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vendor")
    try:
        return thread.submit(request, seconds).result(timeout=seconds)
    finally:
        thread.shutdown(wait=False)


def _broken(vendor: Vendor, error: Exception) -> Unavailable:
    """A connection that failed. By its name, since which HTTP library an SDK builds on is the SDK's affair."""
    if type(error.__cause__).__name__ == "ConnectError":
        return Unavailable(f"{vendor.name} cannot be reached; try again shortly")
    return Unavailable(f"{vendor.name}'s answer broke off; try again shortly", code=BROKE_OFF)


def _refused(
    vendor: Vendor, error: "openai.APIStatusError | anthropic.APIStatusError"
) -> tuple[MiniRagError, bool, float | None]:
    """An HTTP error in our terms, whether it may pass, and the seconds the vendor asks to wait for that."""
    status = error.status_code
    wait = _retry_after(error.response.headers.get("retry-after"))
    after = None if wait is None else max(1, min(_LONGEST_RETRY_AFTER, math.ceil(wait)))
    spent = status == 402 or (status == 429 and getattr(error, "code", None) == "insufficient_quota")
    match status:
        case 401:
            detail = f"{vendor.name} rejects the API key: the operator should check {vendor.key_variable}"
            return _for_operators(vendor, status, detail, "model_key_rejected", vendor.key_variable), False, None
        case 403:
            detail = (
                f"{vendor.name} does not allow this: the operator should check what the key in {vendor.key_variable} "
                f"may use"
            )
            return _for_operators(vendor, status, detail, "model_not_allowed", vendor.key_variable), False, None
        case 404:
            detail = (
                f"{vendor.name} does not know this model, or not for this key: name another, or let the operator "
                f"check {vendor.model_variable}"
            )
            if vendor.selectable:
                return Unprocessable(detail, code="model_unknown"), False, None
            return _for_operators(vendor, status, detail, "model_unknown", vendor.model_variable), False, None
        case _ if spent:
            detail = f"the {vendor.name} account has no credit left: the operator should check its billing"
            return _for_operators(vendor, status, detail, "model_credit_spent", vendor.key_variable), False, None
        case 429:
            detail = f"{vendor.name} limits the rate of questions; try again shortly"
            return Unavailable(detail, code="model_rate_limited", retry_after=after or 5), True, wait
        case _ if status in {408, 409} or status >= 500:
            detail = f"{vendor.name} is failing (HTTP {status}); try again shortly"
            return Unavailable(detail, retry_after=after or 5), True, wait
        case _:
            detail = f"{vendor.name} refused the request (HTTP {status})"
            return _for_operators(vendor, status, detail, "model_refused", vendor.model_variable), False, None


def _for_operators(vendor: Vendor, status: int, detail: str, code: str, variable: str) -> Unavailable:
    """What only the operator can mend; the log says which variable to look at, and never what is in it."""
    telemetry.event("model.refused", vendor=vendor.name, status=status, code=code, variable=variable)
    return Unavailable(detail, code=code, retry_after=60)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header; its form as a date is not used by these vendors."""
    try:
        seconds = float(value) if value else math.nan
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
