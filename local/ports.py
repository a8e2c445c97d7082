"""Loopback ports for the servers of one machine."""

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def pick(preferred: int = 0) -> int:
    """Return the preferred TCP port of 127.0.0.1 if nothing listens there, else one that is free right now."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: a port in TIME_WAIT counts as free, one that is listened on does not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise OSError("127.0.0.1 has no free TCP port left.")
