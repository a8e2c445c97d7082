"""A Lambda function as it would be deployed, and the ways in which invoking it can fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """One function as it would be deployed.

    `handler` is `package.module:callable`; `concurrency_group` one of the pool's groups, whose environments its
    functions share; `memory_mb` is told to the handler, not enforced; `environment` is set over the pool's.
    """

    name: str
    handler: str
    timeout_seconds: float
    memory_mb: int = 512
    concurrency_group: str = "http"
    environment: Mapping[str, str] = field(default_factory=dict)


class InvokeError(Exception):
    """An invocation that gave no result; the message names the function and what happened."""


class FunctionError(InvokeError):
    """The handler raised, or returned what JSON or Lambda's size limit cannot hold; its environment stays warm.

    What it said is in `error_message` and in the function's log only: it may quote a document or a row.
    """

    def __init__(self, function: str, error_type: str, error_message: str) -> None:
        super().__init__(f"{function} raised {error_type}; the traceback is in its log")
        self.error_type = error_type
        self.error_message = error_message


class InitFailed(InvokeError):
    """The handler could not be imported; the traceback is in the function's log."""


class TimedOut(InvokeError):
    """The handler ran past the function's timeout; its environment was killed."""


class Crashed(InvokeError):
    """The environment ended before it answered."""


class NoCapacity(InvokeError):
    """No environment became free in time, or the pool is closing."""


class RequestTooLarge(InvokeError):
    """The event is larger than Lambda takes."""
