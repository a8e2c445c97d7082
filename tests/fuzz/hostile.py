"""Requests made by hand: what attackers and broken clients are known to send."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tests.fuzz.call import Call, encoded
from tests.fuzz.description import Json, Operation
from tests.fuzz.distortion import TEXTS

_DEEP: Final = 100_000
_JSON: Final = (("content-type", "application/json"),)
_BOUNDARY: Final = "fuzz"
_FORM: Final = (("content-type", f"multipart/form-data; boundary={_BOUNDARY}"),)
# JSON text that takes the place of one value; not all of it is valid JSON.
_VALUES: Final = (
    *(json.dumps(text) for text in TEXTS),
    "NaN", "Infinity", "-Infinity", "1e400", "-1", "0", "1000000000", "9" * 5_000, "0.5", "true", "null", "[]", "{}",
    "[[[[[[]]]]]]", "[null]", '["a", 1, {}]', "[" + ",".join(['""'] * 2_000) + "]", '{"$ne": null}',
    '{"\'; DROP TABLE chunks; --": 1}', '{"source_ids": ["\' OR 1=1"]}', '{"tags": ["\\u0000"]}',
    '{"tags": ["\\ud800"]}', '{"created_after": "9999-12-31T23:59:59.999999-23:59"}', '{"language": "\\u0000"}',
    '{"created_before": "0001-01-01T00:00:00+23:59"}', '{"created_after": 1e300}', '{"types": [{}]}',
    '{"__proto__": {}, "constructor": 1}', '"\\ud800"', '"\\u0000"',
)  # fmt: skip
_BODIES: Final = (
    b"", b" ", b"null", b"[]", b"[{}]", b'"text"', b"1", b"true", b"{", b"}", b"{}{}", b"{} x", b'{"a":}', b"{'a': 1}",
    b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b'{"query": "\xff\xfe"}', b'{"\xc3\x28": 1}', b"\0", b'{"": ""}',
    b"/**/{}", b"NaN", b"[" * _DEEP, b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    b"9" * 100_000,
    b'{"filters": ' + b'{"tags": ' * _DEEP + b"1" + b"}" * (_DEEP + 1), b'"' + b"a" * 1_000_000 + b'"',
    b"{" + b",".join(b'"k%d": 1' % number for number in range(50_000)) + b"}",
)  # fmt: skip
_HEADS: Final[tuple[tuple[tuple[str, str], ...], ...]] = (
    (("x-request-id", "a\r\nX-Injected: 1"),),
    (("x-request-id", "a" * 5_000),),
    (("x-request-id", "\u00e4\0\x7f"),),
    (("x-request-id", "one"), ("x-request-id", "two")),
    (("x-api-key", "mrag_"),),
    (("x-api-key", "' OR 1=1 --"),),
    (("x-api-key", "mrag_" + "A" * 8_000),),
    (("x-api-key", "mrag_\u00ff\0\u00ff"),),
    (("x-api-key", "\t"), ("authorization", "Bearer")),
    (("x-api-key", " "), ("authorization", "Bearer " + "A" * 4_000)),
    (("x-api-key", " "), ("authorization", "Basic \u00ff:\u00ff")),
    (("host", "[::1"),),
    (("host", "a:99999999999999999999"),),
    (("host", "\u00fc.example"),),
    (("x-forwarded-for", "'; --, \0, 999.999.999.999"),),
    (("cookie", "=;;=\u00ff; a=" + "b" * 5_000),),
    (("accept", "application/xml;q=nonsense, */*;q=9e999"),),
    (("content-length", "-1"),),
    (("content-length", "9" * 30),),
    (("content-encoding", "gzip"),),
    (("transfer-encoding", "chunked"),),
    (("expect", "100-continue"),),
    (("range", "bytes=9-1,--"),),
    (("x-filler", "a" * 9_000),),
    tuple((f"x-{number}", "a") for number in range(400)),
)
_TYPES: Final = (
    "", "application/json; charset=utf-16", "application/json; charset=\0", "application/+json", "text/plain",
    "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=nonsense", "multipart/form-data",
    "multipart/form-data; boundary=", 'multipart/form-data; boundary="', "multipart/form-data; boundary=" + "a" * 500,
    "multipart/form-data; boundary=\u00ff", "multipart/mixed; boundary=a", "application/octet-stream", ";",
    "\u00ff/\u00ff",
)  # fmt: skip


def _part(head: bytes, content: bytes = b"content") -> bytes:
    return b"--fuzz\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def _field(name: bytes, content: bytes) -> bytes:
    return _part(b'Content-Disposition: form-data; name="' + name + b'"', content)


_FILE: Final = b'Content-Disposition: form-data; name="files"; filename="%b"'
_GOOD: Final = _part(_FILE % b"a.txt")
_END: Final = b"--fuzz--\r\n"
_FORMS: Final = (
    b"", b"--fuzz", b"--fuzz--", _END, b"\r\n" * 5_000 + _END, _GOOD, _GOOD[:-9], _GOOD + b"--fuzz",
    _part(b"Content-Disposition: form-data; name=" + b"a" * 200_000) + _END,
    _part(b"X-" + b"a" * 200_000 + b": 1\r\n" + _FILE % b"a.txt") + _END,
    _part(b"\r\n".join(b"X-%d: 1" % number for number in range(20_000)) + b"\r\n" + _FILE % b"a.txt") + _END,
    _part(b"") + _END, _part(b"Content-Disposition: form-data") + _END, _part(b"Content-Disposition: \xff") + _END,
    _part(b'Content-Disposition: form-data; name="files"; filename*=utf-16\'\'%FF%FE') + _END,
    _part(b'Content-Disposition: form-data; name="files"; filename*=none\'\'%41') + _END,
    *(_part(_FILE % name) + _END for name in (
        b"", b"\0", b"\xff\xfe.txt", b"../../etc/passwd", b"a" * 70_000, b"\xed\xa0\x80.txt", b"CON", b".", b"..", b"/",
        b"a\\b\\\\c.pdf", b"%00.pdf", "\u202etxt.exe".encode(), b"a.txt; name=x", b"'; DROP TABLE sources; --.txt",
    )),
    *(_part(_FILE % b"a.bin" + b"\r\nContent-Type: " + kind) + _END for kind in (b"", b"\xff", b"a/b; charset=x")),
    *(_part(_FILE % name, content) + _END for name, content in (
        (b"a.txt", b""), (b"a.txt", b"\0" * 1_000), (b"a.pdf", b"%PDF-1.7\n"), (b"a.docx", b"PK\x03\x04"),
        (b"a.json", b"[" * _DEEP), (b"a.txt", b"\xff\xfe\0\xd8"), (b"a.txt", b"x" * 4_190_000),
        (b"a.zip", b"PK\x05\x06"),
        (b"a.csv", b'"' * 9_999), (b"a.xml", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"),
    )),
    *(_GOOD + _field(name, content) + _END for name, content in (
        (b"wait", b"NaN"), (b"wait", b"-1"), (b"wait", b"1e999"), (b"wait", b"9" * 5_000), (b"tags", b"\0"),
        (b"tags", b"\xff\xfe"), (b"tags", b""), (b"tags", b"a" * 100_000), (b"language", b"\0"), (b"language", b"en\n"),
        (b"source_id", b"' OR 1=1"), (b"source_id", b"\xff"), (b"workspace_id", b"\0"), (b"workspace_id", b"1"),
        (b"files", b"no file"), (b"\xff", b"1"), (b"__proto__", b"1"),
    )),
    _field(b"a", b"1") * 1_500 + _END, _GOOD * 60 + _END, _GOOD * 1_200 + _END, _field(b"a", b"b" * 1_100_000) + _END,
)  # fmt: skip


def example(operation: Operation, schema: Json) -> object:
    """A small value that a schema allows; of text that may be an address, it is one."""
    schema = operation.resolve(schema)
    if "default" in schema or "const" in schema or "enum" in schema:
        return schema.get("default", schema.get("const", next(iter(schema.get("enum", [])), None)))
    if options := schema.get("anyOf", schema.get("oneOf", schema.get("allOf"))):
        return example(operation, options[0])
    match schema.get("type"):
        case "object":
            properties: Json = schema.get("properties", {})
            return {name: example(operation, properties.get(name, {})) for name in schema.get("required", [])}
        case "array":
            return [example(operation, schema.get("items", {}))] * int(schema.get("minItems", 0))
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
        case "null":
            return None
    known = {"uuid": "{source_id}", "date-time": "2030-01-01T00:00:00Z", "uri": "https://example.com/"}
    return known.get(schema.get("format", ""), f"https://example.com/{'s' * int(schema.get('minLength', 0))}")


def _json_bodies(operation: Operation, schema: Json) -> Iterator[bytes]:
    yield from _BODIES
    valid = example(operation, schema)
    if not isinstance(valid, dict):
        return
    yield json.dumps(valid).encode()
    properties: Json = schema.get("properties", {})
    for name in properties:
        others = {key: value for key, value in valid.items() if key != name}
        beginning = json.dumps(others)[:-1] + (", " if others else "")
        for value in _VALUES:
            yield f"{beginning}{json.dumps(name)}: {value}}}".encode()
        # Twice the same key, and a key beside it that nobody knows.
        yield f'{beginning}"{name}": null, "{name}": {json.dumps(valid.get(name, 1))}}}'.encode()
        yield f'{beginning}"{name}": 1, "\\ud800": 1, "\\u0000; --": 1}}'.encode()
    room = 4 * 1024 * 1024 - 100
    yield f"{json.dumps(valid)[:-1]}, {json.dumps('a' * room)}: 1}}".encode()


def _bodies(operation: Operation, plain: Call) -> Iterator[Call]:
    for media_type, schema in operation.bodies.items():
        if media_type == "multipart/form-data":
            yield from (replace(plain, headers=_FORM, body=body) for body in _FORMS)
        elif media_type == "application/json":
            yield from (replace(plain, headers=_JSON, body=body) for body in _json_bodies(operation, schema))
            valid = json.dumps(example(operation, schema)).encode()
            for kind in _TYPES:
                yield replace(plain, headers=(("content-type", kind),), body=valid)
                yield replace(plain, headers=(("content-type", kind),), body=b"a=%ff&a=%00&=&%zz&query=\xff")
    if not operation.bodies:
        # Also where none is described: the description need not tell all that is read.
        yield from (replace(plain, headers=_JSON, body=body) for body in _BODIES)


def _queries(operation: Operation) -> Iterator[str]:
    for name in [*operation.query_names, "unknown"]:
        yield from (f"{name}={encoded(text)}" for text in TEXTS)
        yield f"{name}=%ff%fe&{name}=%ed%a0%80&{name}=%c3%28"
        yield f"{name}=1&{name}=2&{name}"
        yield f"{name}[]=1&{name}[$gt]=1&{name.upper()}=1&;{name}=1"
        yield f"{name}={'9' * 9_500}"
    yield from ("&&&===", "%", "%%%", "=", "?" * 100, "&".join(f"a{number}=1" for number in range(1_000)))


def calls(operation: Operation) -> Iterator[Call]:
    """All the requests by hand to an operation."""
    plain = Call(operation.method, operation.path)
    if "application/json" in operation.bodies:
        body = json.dumps(example(operation, operation.bodies["application/json"])).encode()
        plain = replace(plain, headers=_JSON, body=body)
    yield plain
    yield from (replace(plain, headers=(*plain.headers, *head)) for head in _HEADS)
    yield from (replace(plain, query=query) for query in _queries(operation))
    for name in operation.parameters:
        yield from (replace(plain, path=plain.path.replace(f"{{{name}}}", encoded(text))) for text in TEXTS if text)
    yield from _bodies(operation, plain)
