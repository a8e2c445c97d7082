"""A Lambda execution environment: one process that imports a handler and runs it on one event at a time.

Started by `local.pool` as `python -m local.environment MODULE:CALLABLE SOCKET PARENT`, where SOCKET is an inherited
file descriptor and PARENT the process to live and die with. Frames on the socket, both ways: the length as four bytes,
big-endian, then JSON. After the import comes `{}` or `{"error": …}`, then for every
`{"event", "request_id", "deadline_ms"}` one `{"result": …}` or `{"error": {"errorType", "errorMessage"}}`.
stdout and stderr are the function's log.
"""

import importlib
import io
import json
import os
import resource
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final, NoReturn

from local import leash

# Lambda's limit for the event and the result of a synchronous invocation, in bytes of JSON.
PAYLOAD_LIMIT: Final = 6_291_556
LENGTH: Final = struct.Struct(">I")

Handler = Callable[[Any, "LambdaContext"], Any]


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What Lambda tells a handler about its invocation; memory is text there too."""

    aws_request_id: str
    deadline_ms: int
    function_name: str
    function_version: str
    memory_limit_in_mb: str
    invoked_function_arn: str
    log_group_name: str
    log_stream_name: str
    client_context: None = None
    identity: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended by force."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def frame(message: object) -> bytes:
    """A message as it goes over the socket. Raises TypeError or ValueError for what JSON cannot hold."""
    payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return LENGTH.pack(len(payload)) + payload


def _context(request_id: str, deadline_ms: int) -> LambdaContext:
    name, region = os.environ["AWS_LAMBDA_FUNCTION_NAME"], os.environ["AWS_REGION"]
    return LambdaContext(
        aws_request_id=request_id,
        deadline_ms=deadline_ms,
        function_name=name,
        function_version=os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        memory_limit_in_mb=os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        invoked_function_arn=f"arn:aws:lambda:{region}:000000000000:function:{name}",
        log_group_name=os.environ["AWS_LAMBDA_LOG_GROUP_NAME"],
        log_stream_name=os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
    )


def _error(kind: str, message: str) -> dict[str, dict[str, str]]:
    return {"error": {"errorType": kind, "errorMessage": message}}


def _sendable(error: Exception) -> str:
    """The error's message, without the lone surrogates that UTF-8 cannot hold."""
    return str(error).encode(errors="replace").decode()


def _load(specification: str) -> Handler:
    module, _, name = specification.partition(":")
    handler: Handler = getattr(importlib.import_module(module), name)
    return handler


def _answer(handler: Handler, event: object, context: LambdaContext) -> bytes:
    """Run the handler once; whatever it raises or returns becomes a frame."""
    try:
        result = handler(event, context)
    except Exception as error:  # noqa: BLE001  the boundary: as on Lambda, any exception is the invocation's answer
        traceback.print_exc()
        return frame(_error(type(error).__name__, _sendable(error)))
    try:
        answer = frame({"result": result})
    except (TypeError, ValueError) as error:
        return frame(_error("Runtime.MarshalError", f"Unable to marshal response: {error}"))
    if len(answer) > PAYLOAD_LIMIT:
        message = f"Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."
        return frame(_error("Function.ResponseSizeTooLarge", message))
    return answer


def _receive(stream: IO[bytes]) -> dict[str, Any] | None:
    """The next message, or None when the parent is gone."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    payload = stream.read(length)
    if len(payload) < length:
        return None
    message: dict[str, Any] = json.loads(payload)
    return message


def _leave(status: int) -> NoReturn:
    """End now: no thread that a handler left behind may keep the process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve(handler: Handler, connection: socket.socket) -> None:
    with connection.makefile("rb") as stream:
        while (message := _receive(stream)) is not None:
            request_id, started = message["request_id"], time.perf_counter()
            answer = _answer(handler, message["event"], _context(request_id, message["deadline_ms"]))
            duration = (time.perf_counter() - started) * 1000
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"REPORT RequestId: {request_id} Duration: {duration:.2f} ms Max Memory Used: {peak} MB")
            connection.sendall(answer)


def _start(specification: str, connection: socket.socket) -> Handler:
    """The init phase: import the handler and tell the parent how that went."""
    try:
        handler = _load(specification)
    except Exception as error:  # noqa: BLE001  the boundary: an import may raise anything, and the parent must know
        traceback.print_exc()
        connection.sendall(frame(_error(type(error).__name__, _sendable(error))))
        _leave(1)
    connection.sendall(frame({}))
    return handler


def main(specification: str, descriptor: int, parent: int) -> NoReturn:
    """Import the handler, say so, and serve until the parent closes the socket."""
    leash.follow(parent)
    # Several environments append to one log file: write whole lines.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    try:
        _serve(_start(specification, connection), connection)
    except SystemExit as leaving:
        _leave(leaving.code if isinstance(leaving.code, int) else 1)
    _leave(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
