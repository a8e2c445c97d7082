"""Errors as RFC 9457 problem documents: the one place that renders them, with or without a web framework."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from minirag.runtime.errors import MiniRagError

MEDIA_TYPE: Final = "application/problem+json"

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id_from(headers: Mapping[str, str]) -> str:
    """The client's X-Request-ID if it is well formed, else a new one; `headers` are looked up in lower case."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{uuid4().hex}"


def document(
    status: int,
    title: str,
    detail: str,
    request_id: str,
    *,
    code: str | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """A problem document; `code` becomes its type."""
    kind = f"urn:minirag:problem:{code}" if code else "about:blank"
    body: dict[str, Any] = {"type": kind, "title": title, "status": status, "detail": detail, "request_id": request_id}
    return {**body, "errors": list(errors)} if errors else body


def of(error: MiniRagError, request_id: str) -> dict[str, Any]:
    """The problem document of an error of our tree."""
    return document(error.status, error.title, error.detail, request_id, code=error.code)
