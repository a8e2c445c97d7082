"""A way to a server on which everything takes its time, in both directions: it shows how often somebody waits."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Queue
from typing import Final

ONE_WAY: Final = 0.1
ROUND_TRIP: Final = 2 * ONE_WAY


@contextmanager
def far(host: str, port: int) -> Iterator[int]:
    """A port of this machine that leads to the server, a tenth of a second away."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, host, port), daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()


def _accept(listener: socket.socket, host: str, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.create_connection((host, port))
        for source, sink in ((client, server), (server, client)):
            under_way: Queue[tuple[float, bytes]] = Queue()
            threading.Thread(target=_take, args=(source, under_way), daemon=True).start()
            threading.Thread(target=_bring, args=(under_way, sink), daemon=True).start()


def _take(source: socket.socket, under_way: "Queue[tuple[float, bytes]]") -> None:
    data = b"-"
    while data:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        under_way.put((time.perf_counter() + ONE_WAY, data))


def _bring(under_way: "Queue[tuple[float, bytes]]", sink: socket.socket) -> None:
    sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sink, suppress(OSError):
        while True:
            due, data = under_way.get()
            time.sleep(max(0.0, due - time.perf_counter()))
            if not data:
                return
            sink.sendall(data)
