"""Structured log lines: one JSON object each, with the fields of the request on every one of them.

Only ids, counts, times and outcomes are logged; never secrets, questions or document text.
"""

import traceback
from typing import Final

from aws_lambda_powertools.logging import Logger

Field = str | int | float | bool | None

_logger: Final = Logger(service="mini-rag", utc=True, use_rfc3339=True, location=None)


def begin(request_id: str, **fields: Field) -> None:
    """Start the lines of a new request or job: forget the last one's fields, keep these."""
    _logger.clear_state()
    _logger.append_keys(request_id=request_id, **fields)


def bind(**fields: Field) -> None:
    """Add fields to every further line of this request."""
    _logger.append_keys(**fields)


def event(name: str, **fields: Field) -> None:
    """Log that `name` (like request.completed) happened."""
    _logger.info(name, extra={"event": name, **fields})


def failure(name: str, error: BaseException, **fields: Field) -> None:
    """Log that `name` went wrong and where; never the error's message, which may quote a document or a row."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    _logger.error(name, extra={"event": name, "error_type": type(error).__name__, "stack": where, **fields})
