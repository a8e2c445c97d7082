"""An HTTP server on loopback that answers as it is told, for standing in for a model vendor's API."""

import json
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from types import TracebackType
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    client: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a JSON value, or bytes as they are, or `events` one by one as a stream."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    after_seconds: float = 0.0
    events: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """An ordinary answer that does not arrive as it should.

    `reset`: half of it, then the connection is reset; `half`: half of it, then the connection is closed; `trickle`:
    white space, a byte at a time for so many seconds, and only then the answer.
    """

    kind: Literal["reset", "half", "trickle"]
    seconds: float = 0.0


_TRICKLE_EVERY = 0.05


def sse(name: str | None, data: object) -> bytes:
    """A server-sent event."""
    shown = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {shown}\n\n".encode()


class LoopbackServer:
    """A JSON API on a free port; subclasses give its paths and its form of errors.

    `next` takes precedence over ordinary answers, first in, first out, for requests to `aimed_at`, or to any path if it
    is None; `requests` is all that was received. `context_tokens` is how many words a prompt may have.
    """

    key = "test-key"
    context_tokens: int | None = None
    aimed_at: str | None = None

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.next: deque[Reply | Fault] = deque()
        self._closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # the body would wait 40 ms for the head to be acknowledged

            def handle(self) -> None:
                # A client may give up whenever it likes.
                with suppress(ConnectionError):
                    super().handle()

            def do_POST(self) -> None:
                server._serve(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def fail(self, status: int, *, times: int = 1, retry_after: str | None = None, **details: str) -> None:
        """Answer the next `times` requests with this error."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self.next.extend(Reply(status, self.error(status, **details), headers) for _ in range(times))

    def delay(self, seconds: float) -> None:
        """Answer the next request after so long, or when the test is over."""
        self.next.append(Reply(200, {}, after_seconds=seconds))

    def say(self, body: object, content_type: str = "application/json") -> None:
        """Answer the next request with this, be it as the API promises or not."""
        self.next.append(Reply(200, body, {"Content-Type": content_type}))

    def spoil(self, kind: Literal["reset", "half", "trickle"], *, seconds: float = 0.0, times: int = 1) -> None:
        """Let the answers to the next `times` requests not arrive as they should."""
        self.next.extend(Fault(kind, seconds) for _ in range(times))

    def end(self, reason: str, text: str = "") -> None:
        """Answer the next request with `text`, ended for a reason in the vendor's own words."""
        raise NotImplementedError

    def authorized(self, headers: dict[str, str]) -> bool:
        """Whether a request carries the key."""
        return headers.get("authorization") == f"Bearer {self.key}"

    def error(self, status: int, **details: str) -> object:
        """The body of an error."""
        raise NotImplementedError

    def answer(self, request: Request) -> Reply:
        """What an ordinary request gets."""
        raise NotImplementedError

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.path, headers, json.loads(raw), handler.client_address)
        self.requests.append(request)
        told = self.next.popleft() if self.next and self.aimed_at in {None, request.path} else None
        if isinstance(told, Reply):
            reply = told
        elif not self.authorized(headers):
            reply = Reply(401, self.error(401))
        else:
            reply = self.answer(request)
        self._closing.wait(reply.after_seconds)
        try:
            self._send(handler, reply, told if isinstance(told, Fault) else None)
        except ConnectionError:
            handler.close_connection = True  # the client stopped waiting

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, fault: Fault | None) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        pieces: Iterable[bytes] = reply.events
        if fault is not None and fault.kind == "trickle":
            pieces = self._trickled(body, fault.seconds)
        handler.send_response(reply.status)
        kind = "text/event-stream" if reply.events else "application/json"
        for name, value in {"Content-Type": kind, **reply.headers}.items():
            handler.send_header(name, value)
        if pieces:
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for piece in chain(pieces, [b""]):
                handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            return
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if fault is None else body[: len(body) // 2])
        if fault is not None:
            handler.close_connection = True
            if fault.kind == "reset":
                _reset(handler.connection)

    def _trickled(self, body: bytes, seconds: float) -> Iterator[bytes]:
        for _ in range(int(seconds / _TRICKLE_EVERY)):
            yield b" "
            if self._closing.wait(_TRICKLE_EVERY):
                break
        yield body


def _reset(connection: socket.socket) -> None:
    """Close without the goodbye of a FIN: with no time to linger, what the peer gets is RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The handler's files hold the socket; closed by its number it is closed at once.
    os.close(connection.detach())
