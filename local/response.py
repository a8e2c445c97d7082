"""The HTTP response in a Lambda function's result, in the formats of API Gateway and of function URLs. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from local.event import HOP_BY_HOP, Json

_NOT_SENT: Final = HOP_BY_HOP | {"content-length"}
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110, 5.6.2, in lower case


class MalformedResult(Exception):
    """A function's result is no HTTP response; the message says why."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response ready to send, without connection headers and content-length; header names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def _response(result: Mapping[str, Json], headers: Sequence[tuple[str, Json]]) -> HttpResponse:
    """Check what both formats share. Raises MalformedResult."""
    status = result.get("statusCode")
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise MalformedResult(f"statusCode must be a whole number from 200 to 599, not {status!r}")
    sent: list[tuple[str, str]] = []
    for given, value in headers:
        name = given.lower()
        if not isinstance(value, str | int | float):
            raise MalformedResult(f"the value of header {given!r} must be text, not {type(value).__name__}")
        text = str(value)
        if not name or not _TOKEN.issuperset(name) or not text.isprintable() or not _is_latin_1(text):
            raise MalformedResult(f"header {given!r} cannot be sent over HTTP")
        if name not in _NOT_SENT:
            sent.append((name, text))
    if not any(name == "content-type" for name, _ in sent):
        sent.append(("content-type", "application/json"))
    body = result.get("body")
    if body is not None and not isinstance(body, str):
        raise MalformedResult(f"body must be text, not {type(body).__name__}")
    if not result.get("isBase64Encoded"):
        return HttpResponse(status, tuple(sent), (body or "").encode())
    try:
        return HttpResponse(status, tuple(sent), base64.b64decode(body or "", validate=True))
    except (binascii.Error, ValueError) as error:
        raise MalformedResult(f"body is not base64: {error}") from error


def _is_latin_1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def _mapping(result: Mapping[str, Json], name: str, kind: type) -> dict[str, Json]:
    value = result.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(entry, kind) for entry in value.values()):
        raise MalformedResult(f"{name} must be an object of {kind.__name__} values")
    return value


def rest_response(result: Json) -> HttpResponse:
    """The response in a proxy integration's result; `headers` and `multiValueHeaders` are merged.

    Raises MalformedResult, where API Gateway answers 502.
    """
    if not isinstance(result, dict):
        raise MalformedResult(f"the result must be an object with statusCode, not {type(result).__name__}")
    multiple = _mapping(result, "multiValueHeaders", list)
    repeated = [(name, value) for name, values in multiple.items() for value in values]
    single = [pair for pair in _mapping(result, "headers", object).items() if pair not in repeated]
    return _response(result, [*single, *repeated])


def function_url_response(result: Json) -> HttpResponse:
    """The response in a function URL's result: the form with statusCode, or any JSON, sent as it is with 200.

    Raises MalformedResult.
    """
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        return HttpResponse(200, (("content-type", "application/json"),), body.encode())
    cookies = result.get("cookies")
    if not isinstance(cookies, list | None):
        raise MalformedResult(f"cookies must be a list, not {type(cookies).__name__}")
    headers = list(_mapping(result, "headers", object).items())
    return _response(result, [*headers, *(("set-cookie", cookie) for cookie in cookies or ())])
