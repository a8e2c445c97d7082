"""A web server on loopback that sends exactly the bytes it is told to, in the time it is told to take."""

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

Reply = bytes | Callable[[socket.socket], None]


def page(
    body: bytes, content_type: str | None = "text/html; charset=utf-8", status: str = "200 OK", **headers: str
) -> bytes:
    """A whole response; a header's name is written with underscores."""
    fields = {} if content_type is None else {"Content-Type": content_type}
    fields |= {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def redirect(target: str | bytes, status: str = "302 Found") -> bytes:
    """A redirect, its Location sent as it is given."""
    raw = target if isinstance(target, bytes) else target.encode()
    return f"HTTP/1.1 {status}\r\nLocation: ".encode() + raw + b"\r\nContent-Length: 0\r\n\r\n"


class Site:
    """Answers by path, one request a connection; `connections` counts, `requests` keeps what was received.

    With `tls`, `names` keeps what the clients asked for by SNI. `host` is an address of this machine.
    """

    def __init__(
        self,
        replies: Mapping[str, Reply] | Reply = b"",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.names: list[str | None] = []
        self.stopping = threading.Event()
        self._replies = replies
        self._tls = tls
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        with suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, suppress(OSError):
            if self._tls is not None:
                with self._tls.wrap_socket(connection, server_side=True) as secure:
                    self._reply(secure)
            else:
                self._reply(connection)

    def _reply(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            if not part:
                return
            received += part
        self.requests.append(received)
        replies = self._replies
        if isinstance(replies, Mapping):
            target = received.split(b" ", 2)[1].decode()
            replies = replies.get(target, page(b"nothing here", status="404 Not Found"))
        if callable(replies):
            replies(connection)
        else:
            connection.sendall(replies)
            connection.shutdown(socket.SHUT_WR)
