"""An HTTP server on loopback that answers as it is told, for standing in for a model vendor's API."""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    client: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a JSON value, or bytes as they are."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    after_seconds: float = 0.0


class LoopbackServer:
    """A JSON API on a free port; subclasses give its paths and its form of errors.

    `next` takes precedence over ordinary answers, first in, first out; `requests` is all that was received.
    """

    key = "test-key"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.next: deque[Reply] = deque()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

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
        """Answer the next request after so long."""
        self.next.append(Reply(200, {}, after_seconds=seconds))

    def say(self, body: object, content_type: str = "application/json") -> None:
        """Answer the next request with this, be it as the API promises or not."""
        self.next.append(Reply(200, body, {"Content-Type": content_type}))

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
        if self.next:
            reply = self.next.popleft()
        elif not self.authorized(headers):
            reply = Reply(401, self.error(401))
        else:
            reply = self.answer(request)
        time.sleep(reply.after_seconds)
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        try:
            handler.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except ConnectionError:
            handler.close_connection = True  # the client stopped waiting
