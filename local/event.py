"""The events that API Gateway, function URLs and SQS hand to Lambda functions. Pure.

Formats: "Lambda proxy integrations" (payload 1.0) in the API Gateway guide, "Lambda function URLs" (payload 2.0) and
"Using Lambda with Amazon SQS" in the Lambda guide.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl
from uuid import uuid4

# What json.loads gives: what is in it is between a function and its caller.
Json: TypeAlias = Any

ACCOUNT_ID: Final = "000000000000"
_API_ID: Final = "local"
# RFC 9110, 7.6.1: these belong to one connection, not to the message.
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Written by the front door, whatever a client or a function says.
_OWN_REQUEST: Final = HOP_BY_HOP | {"x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came; `path` percent-encoded, header names in lower case, `protocol` like HTTP/1.1."""

    method: str
    path: str
    query_string: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    port: int
    scheme: str
    protocol: str
    request_id: str
    received: datetime

    def header(self, name: str) -> str:
        """The last value of a header, or an empty text."""
        return next((value for key, value in reversed(self.headers) if key == name), "")


def _forwarded_headers(request: HttpRequest) -> list[tuple[str, str]]:
    """The headers a function gets to see."""
    headers = [(name, value) for name, value in request.headers if name not in _OWN_REQUEST]
    before = ", ".join(value for name, value in headers if name == "x-forwarded-for")
    headers = [(name, value) for name, value in headers if name != "x-forwarded-for"]
    trace = uuid4().hex
    return [
        *headers,
        ("x-amzn-trace-id", f"Root=1-{int(request.received.timestamp()):08x}-{trace[:24]}"),
        ("x-forwarded-for", f"{before}, {request.source_ip}" if before else request.source_ip),
        ("x-forwarded-port", str(request.port)),
        ("x-forwarded-proto", request.scheme),
    ]


def _body(request: HttpRequest, *, form_is_text: bool) -> tuple[str | None, bool]:
    """The body for an event and whether it is base64: text types stay text if they are valid UTF-8."""
    if not request.body:
        return None, False
    kind = request.header("content-type").partition(";")[0].strip().lower() or "application/json"
    is_text = (
        kind.startswith("text/")
        or kind.endswith(("+json", "+xml"))
        or kind in {"application/json", "application/xml", "application/javascript"}
        or (form_is_text and kind == "application/x-www-form-urlencoded")
    )
    if is_text:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def rest_event(request: HttpRequest, *, resource: str, path_parameters: Mapping[str, str], stage: str) -> Json:
    """The event of a REST API's Lambda proxy integration.

    As there, `path` and `path_parameters` stay percent-encoded as the client sent them, query parameters are decoded,
    and of repeated names the last value wins outside the multi-value maps.
    """
    headers = _grouped(_forwarded_headers(request))
    query = _grouped(parse_qsl(request.query_string, keep_blank_values=True, errors="replace"))
    body, is_base64 = _body(request, form_is_text=True)
    domain = request.header("host") or "localhost"
    return {
        "resource": resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(path_parameters) or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": _API_ID,
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "extendedRequestId": request.request_id,
            "httpMethod": request.method,
            "identity": {
                "sourceIp": request.source_ip,
                "userAgent": request.header("user-agent") or None,
                **dict.fromkeys(
                    ("accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType")
                ),
                **dict.fromkeys(("cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn")),
            },
            # As under a custom domain: the stage is not part of the path.
            "path": request.path,
            "protocol": request.protocol,
            "requestId": request.request_id,
            "requestTime": request.received.strftime("%d/%b/%Y:%H:%M:%S %z"),
            "requestTimeEpoch": int(request.received.timestamp() * 1000),
            "resourceId": resource,
            "resourcePath": resource,
            "stage": stage,
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }


def function_url_event(request: HttpRequest) -> Json:
    """The event of a function URL: header names in lower case, values of one name joined by commas."""
    forwarded = _grouped(_forwarded_headers(request))
    cookies = [part.strip() for value in forwarded.pop("cookie", []) for part in value.split(";") if part.strip()]
    body, is_base64 = _body(request, form_is_text=False)
    domain = request.header("host") or "localhost"
    query = _grouped(parse_qsl(request.query_string, keep_blank_values=True, errors="replace"))
    event: dict[str, Json] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query_string,
        "headers": {name: ",".join(values) for name, values in forwarded.items()},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": _API_ID,
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": request.header("user-agent"),
            },
            "requestId": request.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": request.received.strftime("%d/%b/%Y:%H:%M:%S %z"),
            "timeEpoch": int(request.received.timestamp() * 1000),
        },
        "isBase64Encoded": is_base64,
    }
    # Unlike a REST API's, these are left out when there is nothing to say.
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in query.items()}
    if body is not None:
        event["body"] = body
    return event


def sqs_event(messages: Sequence[Mapping[str, Json]], *, queue_arn: str) -> Json:
    """The event of one batch of messages, as `ReceiveMessage` gave them with all attributes."""
    return {"Records": [_sqs_record(message, queue_arn) for message in messages]}


def _sqs_record(message: Mapping[str, Json], queue_arn: str) -> dict[str, Json]:
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {
            name: _sqs_attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def _sqs_attribute(value: Mapping[str, Json]) -> dict[str, Json]:
    attribute = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return attribute
