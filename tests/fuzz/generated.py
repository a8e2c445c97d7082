"""Requests made from the description: half of them as it wants them, half of them not."""

from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from schemathesis.generation import GenerationMode

from tests.fuzz.call import Call
from tests.fuzz.description import OPERATIONS, Operation

# What requests may name: path parameters of any operation, and the workspace.
ID_NAMES: Final = frozenset({"workspace_id", *(name for operation in OPERATIONS for name in operation.parameters)})

# Each request has its own length, and a credential of its own is added when it is sent.
_NOT_KEPT: Final = frozenset({"content-length", "connection", "x-schemathesis-testcaseid", "user-agent"})
_ORIGIN: Final = "https://minirag.test"


def _make_real(case: Any) -> None:
    """Put {name} where an id is, and an address where one is read: by chance neither would be of anything."""
    for values in (case.path_parameters, case.query, case.body):
        if isinstance(values, dict):
            for name in ID_NAMES & values.keys():
                if isinstance(values[name], str):
                    values[name] = f"{{{name}}}"
    if isinstance(case.body, dict) and isinstance(urls := case.body.get("urls"), list):
        # The description says no more of an address than that it is text.
        case.body["urls"] = [f"https://example.com/{url}" if isinstance(url, str) else url for url in urls]


def _call_of(case: Any) -> Call:
    """The request that a case stands for; rejects one that cannot be written down."""
    try:
        prepared = requests.Request(**case.as_transport_kwargs(base_url=_ORIGIN)).prepare()
    except (requests.RequestException, UnicodeError):
        reject()
    parts = urlsplit(str(prepared.url))
    body = prepared.body or b""
    # `requests` writes header values as text or as bytes, whatever its types say.
    given: dict[str, Any] = dict(prepared.headers)
    headers = tuple(
        (name, value.decode("latin-1") if isinstance(value, bytes) else str(value))
        for name, value in given.items()
        if name.lower() not in _NOT_KEPT
    )
    return Call(
        method=case.operation.method.upper(),
        path=_with_names(parts.path),
        query=_with_names(parts.query),
        headers=headers,
        body=body.encode("utf-8", "replace") if isinstance(body, str) else bytes(body),
    )


def _with_names(text: str) -> str:
    for name in ID_NAMES:
        text = text.replace(f"%7B{name}%7D", f"{{{name}}}")
    return text


@st.composite
def _calls(draw: DrawFn, operation: Operation, right: SearchStrategy[Any], wrong: SearchStrategy[Any] | None) -> Call:
    is_wrong = wrong is not None and draw(st.booleans())
    case = draw(wrong if wrong is not None and is_wrong else right)
    # What is wrong is often but one thing, which need not be the id.
    if draw(st.integers(0, 3)):
        _make_real(case)
    return replace(_call_of(case), method=operation.method)


def generated(operation: Operation) -> SearchStrategy[Call]:
    """Requests to an operation, right and wrong."""
    right = operation.parsed.as_strategy(generation_mode=GenerationMode.POSITIVE)
    wrong = operation.parsed.as_strategy(generation_mode=GenerationMode.NEGATIVE) if operation.can_be_wrong else None
    return _calls(operation, right, wrong)
