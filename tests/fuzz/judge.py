"""What every response must be, whatever was asked. Pure."""

import json
from typing import Final

import httpx

from minirag.runtime.problem import MEDIA_TYPE

_MEMBERS: Final = {"type": str, "title": str, "status": int, "detail": str, "request_id": str}


def faults(response: httpx.Response) -> list[str]:
    """What is wrong with a response, by itself."""
    found = []
    if response.is_server_error:
        found.append(f"status {response.status_code}")
    if not response.headers.get("x-request-id"):
        found.append("no X-Request-ID")
    if response.is_error:
        found.extend(_faults_of_problem(response))
    return found


def _faults_of_problem(response: httpx.Response) -> list[str]:
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind != MEDIA_TYPE:
        return [f"an error as {kind or 'nothing'}, not {MEDIA_TYPE}"]
    try:
        document = json.loads(response.content)
    except ValueError:
        return ["a problem document that is not JSON"]
    if not isinstance(document, dict):
        return ["a problem document that is not an object"]
    found = [
        f"a problem document without {name}"
        for name, kind in _MEMBERS.items()
        if not isinstance(document.get(name), kind)
    ]
    if document.get("status") != response.status_code:
        found.append("a problem document with another status than its response")
    if document.get("request_id") != response.headers.get("x-request-id"):
        found.append("a problem document with another request id than its response")
    return found
