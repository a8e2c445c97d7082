"""A proxy on loopback that can make trouble, for calls that must come through it."""

import random
import select
import socket
import threading
import time


class Proxy:
    """Stands before a server on loopback and passes on what is said.

    While it is `troubled`, replies come late, in two parts, up to their middle and then no more, or not at all.
    """

    def __init__(self, port: int, chance: random.Random, *, late_seconds: float) -> None:
        """Begin, before the server on this port; what is late is so by less than this. `close` must follow."""
        self.troubled = False
        self.pause_seconds = 0.0  # before each reply
        self._server = ("127.0.0.1", port)
        self._chance = chance
        self._late_seconds = late_seconds
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: set[threading.Thread] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        self._ended.set()
        # First the one that makes the others.
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            if select.select([self._listener], [], [], 0.05)[0]:
                thread = threading.Thread(target=self._connect, args=self._listener.accept()[:1], daemon=True)
                self._threads = {other for other in self._threads if other.is_alive()} | {thread}
                thread.start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while not self._ended.is_set():
                    ready = select.select([client, server], [], [], 0.05)[0]
                    if server in ready and not self._reply(client, server.recv(1 << 16)):
                        return
                    if client in ready:
                        request = client.recv(1 << 16)
                        if not request:
                            return
                        server.sendall(request)
            except OSError:
                return  # the client did not wait

    def _reply(self, client: socket.socket, data: bytes) -> bool:
        """Pass on a reply; whether there may be more."""
        time.sleep(self.pause_seconds)
        if not self.troubled:
            client.sendall(data)
            return bool(data)
        trouble = self._chance.choice(("none", "late", "in parts", "cut off", "none at all"))
        cut = self._chance.randrange(len(data)) if trouble in ("in parts", "cut off") and data else 0
        client.sendall(data[:cut])
        if trouble == "cut off":
            return False
        if trouble != "none":
            time.sleep(self._chance.uniform(0.1, 1.0) * self._late_seconds)
        if trouble == "none at all":
            return False
        client.sendall(data[cut:])
        return bool(data)
