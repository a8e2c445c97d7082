"""Hostile texts, and ways to bend a request that its description knows nothing of."""

from dataclasses import replace
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.fuzz.call import Call, encoded

TEXTS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "-1",
    "0",
    "1000000000",
    "9" * 400,
    "-" + "9" * 400,
    "1e999",
    "-0.0",
    "NaN",
    "Infinity",
    "0x10",
    "1_000",
    "\u0661\u0662",
    "true",
    "null",
    "undefined",
    "[]",
    "{}",
    "' OR 1=1 --",
    "'; DROP TABLE sources; --",
    "$$; SELECT pg_sleep(1); $$",
    "%s %(id)s {0} ${HOME}",
    "%",
    "%00",
    "%ZZ",
    "../../../etc/passwd",
    "..%2f..%2f",
    "<script>alert(1)</script>",
    "\r\nX-Injected: 1",
    "\u202e\u0000\ufeff",
    "\U0010ffff",
    "e\u0301" * 40,
    "A" * 3_000,
    "00000000-0000-0000-0000-000000000000",
    "urn:uuid:12345678-1234-5678-1234-567812345678",
    "{12345678123456781234567812345678}",
    "not-a-uuid",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999-23:59",
    "2026-02-30T00:00:00Z",
    "MDAwMS0wMS0wMVQwMDowMDowMCswMDowMCBub3QtYS11dWlk",
)

_HEADERS: Final = (
    "accept", "accept-encoding", "accept-language", "authorization", "content-encoding", "content-length",
    "content-type", "cookie", "expect", "host", "if-match", "if-none-match", "last-event-id", "origin", "range",
    "referer", "traceparent", "user-agent", "x-forwarded-for", "x-forwarded-proto", "x-http-method-override",
    "x-request-id", "idempotency-key",
)  # fmt: skip
_TYPES: Final = (
    "application/json", "application/json; charset=utf-16", "application/json;charset=none", "application/x-json",
    "application/vnd.api+json", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=a; boundary=b", "text/plain", "text/xml",
    "application/octet-stream", ";;;", "/", "\u00ff",
)  # fmt: skip
_BODIES: Final = (b"", b"{}", b"[]", b"null", b'"', b"\xff\xfe{\x00}\x00", b"\0", b"query=%ff&query=%00", b"--\r\n\r\n")


def _headers(draw: DrawFn, call: Call) -> Call:
    name = draw(st.sampled_from(_HEADERS))
    value = draw(st.sampled_from(_TYPES if name == "content-type" else TEXTS))
    # What cannot be in a header at all no front door lets through.
    latin = value.encode("latin-1", "replace").decode("latin-1")
    return replace(call, headers=(*call.headers, (name, latin)))


def _query(draw: DrawFn, call: Call) -> Call:
    given = [pair.partition("=")[0] for pair in call.query.split("&") if pair]
    name = draw(st.sampled_from([*given, "workspace_id", "limit", "cursor", "", "a[]", "\0"]))
    more = f"{encoded(name) if name not in given else name}={encoded(draw(st.sampled_from(TEXTS)))}"
    return replace(call, query=f"{call.query}&{more}" if call.query else more)


def _repeated_query(_: DrawFn, call: Call) -> Call:
    return replace(call, query="&".join([call.query or "limit=1"] * 3))


def _cut_body(draw: DrawFn, call: Call) -> Call:
    return replace(call, body=call.body[: draw(st.integers(0, max(0, len(call.body) - 1)))])


def _broken_body(draw: DrawFn, call: Call) -> Call:
    at = draw(st.integers(0, len(call.body)))
    return replace(call, body=call.body[:at] + draw(st.binary(min_size=1, max_size=4)) + call.body[at + 1 :])


def _other_body(draw: DrawFn, call: Call) -> Call:
    return replace(call, body=draw(st.sampled_from(_BODIES)))


def _other_type(draw: DrawFn, call: Call) -> Call:
    others = tuple(pair for pair in call.headers if pair[0].lower() != "content-type")
    return replace(call, headers=(*others, ("content-type", draw(st.sampled_from(_TYPES)))))


_WAYS: Final = (_headers, _query, _repeated_query, _cut_body, _broken_body, _other_body, _other_type)


@st.composite
def _distorted(draw: DrawFn, calls: SearchStrategy[Call]) -> Call:
    call = draw(calls)
    # Two of three requests are hostile, if at all, only in what the description speaks of.
    if draw(st.integers(0, 2)):
        return call
    return draw(st.sampled_from(_WAYS))(draw, call)


def distorted(calls: SearchStrategy[Call]) -> SearchStrategy[Call]:
    """The same calls, of which one in three is bent in a way that its description knows nothing of."""
    return _distorted(calls)
