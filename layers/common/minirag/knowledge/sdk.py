"""Calls to a model vendor through its SDK: clients that are kept, one deadline, one retry, errors in our terms.

The SDKs' own retries are off: they sleep for as long as `Retry-After` says, up to two minutes, past any deadline.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from minirag.runtime.errors import MiniRagError, OutOfTime, Unavailable, Unprocessable

if TYPE_CHECKING:
    import anthropic
    import openai

T = TypeVar("T")

_PAUSE: Final = 0.5  # seconds before the one retry, if the vendor asks for no other
_LONGEST_RETRY_AFTER: Final = 3600
# What reading an answer raises that is not shaped as the vendor's API promises.
_MALFORMED: Final = (ValueError, TypeError, AttributeError, LookupError)


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
    """Send `request(seconds left)` and read its answer; once more after a failure that may pass, if time allows.

    Raises OutOfTime, Unprocessable (no such model), or Unavailable for all else. No message repeats the vendor's
    own, which may quote the key or the prompt.
    """
    deadline = time.monotonic() + seconds
    retried = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _out_of_time(vendor, seconds)
        try:
            return request(left)
        except vendor.timed_out as error:
            raise _out_of_time(vendor, seconds) from error
        except vendor.status_error as error:
            problem, pause = _refused(vendor, error)
            # The chain would put the vendor's words into the log.
            if retried or pause is None or time.monotonic() + pause >= deadline:
                raise problem from None
        except vendor.any_error as error:
            pause = _PAUSE
            if retried or time.monotonic() + pause >= deadline:
                raise Unavailable(f"{vendor.name} cannot be reached; try again shortly") from error
        except _MALFORMED as error:
            raise Unavailable(f"{vendor.name}'s answer could not be read; try again shortly") from error
        retried = True
        time.sleep(pause)


def _out_of_time(vendor: Vendor, seconds: float) -> OutOfTime:
    return OutOfTime(f"{vendor.name} gave no answer within {max(0.0, seconds):.1f} seconds; try again")


def _refused(
    vendor: Vendor, error: "openai.APIStatusError | anthropic.APIStatusError"
) -> tuple[MiniRagError, float | None]:
    """An HTTP error in our terms, and the seconds to wait before a retry, or None if a retry cannot help."""
    status = error.status_code
    wait = _retry_after(error.response.headers.get("retry-after"))
    after = None if wait is None else max(1, min(_LONGEST_RETRY_AFTER, math.ceil(wait)))
    pause = _PAUSE if wait is None else wait
    match status:
        case 401:
            detail = f"{vendor.name} rejects the API key: the operator should check {vendor.key_variable}"
            return Unavailable(detail, code="model_key_rejected", retry_after=60), None
        case 403:
            detail = (
                f"{vendor.name} does not allow this: the operator should check what the key in {vendor.key_variable} "
                f"may use"
            )
            return Unavailable(detail, code="model_not_allowed", retry_after=60), None
        case 404:
            detail = (
                f"{vendor.name} does not know this model, or not for this key: name another, or let the operator "
                f"check {vendor.model_variable}"
            )
            kind = Unprocessable if vendor.selectable else Unavailable
            return kind(detail, code="model_unknown"), None
        case 429 if getattr(error, "code", None) == "insufficient_quota":
            detail = f"the {vendor.name} account has no credit left: the operator should check its billing"
            return Unavailable(detail, code="model_credit_spent", retry_after=60), None
        case 429:
            detail = f"{vendor.name} limits the rate of questions; try again shortly"
            return Unavailable(detail, code="model_rate_limited", retry_after=after or 5), pause
        case _ if status in {408, 409} or status >= 500:
            detail = f"{vendor.name} is failing (HTTP {status}); try again shortly"
            return Unavailable(detail, retry_after=after or 5), pause
        case _:
            return Unavailable(f"{vendor.name} refused the request (HTTP {status})", code="model_refused"), None


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header; its form as a date is not used by these vendors."""
    try:
        seconds = float(value) if value else math.nan
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
