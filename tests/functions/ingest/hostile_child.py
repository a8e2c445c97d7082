"""Stands in for the child of the sandbox, as if a document had taken it over: does what the document says."""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.ingest.extract import child
from functions.ingest.extract.document import Document


def connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(b"stolen")


def listen(_: None) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))


def send(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"stolen", ("127.0.0.1", port))


def ring(_: None) -> None:
    if ctypes.CDLL(None, use_errno=True).syscall(425, 8, ctypes.create_string_buffer(120)) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")


def write(path: str) -> None:
    Path(path).write_text("left behind")


def append(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("left behind")


def remove(path: str) -> None:
    Path(path).unlink()


def change_mode(path: str) -> None:
    Path(path).chmod(0o777)


def read(path: str) -> str:
    return Path(path).read_text()


def list_folder(path: str) -> list[str]:
    return [entry.name for entry in Path(path).iterdir()]


def fork(_: None) -> None:
    if os.fork() == 0:
        time.sleep(30)


def execute(path: str) -> None:
    os.execv(path, [path])


def spawn(path: str) -> None:
    os.posix_spawn(path, [path], {})


def kill(process: int) -> None:
    os.kill(process, signal.SIGTERM)


def start_thread(_: None) -> str:
    answers: list[str] = []
    thread = threading.Thread(target=answers.append, args=("a thread ran",))
    thread.start()
    thread.join()
    return answers[0]


def raise_limits(_: None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def allocate(size: int) -> int:
    return len(bytearray(size))


def burn(_: None) -> None:
    while True:
        pass


def burn_on(_: None) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    burn(None)


def sleep(_: None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def flood(size: int) -> None:
    # Not through Python's own file, which the answer goes to.
    for _ in range(size // 1_000_000):
        os.write(1, bytes(1_000_000))


def answer(forged: str) -> None:
    os.write(1, forged.encode())
    os._exit(0)


def complain(size: int) -> None:
    os.write(2, b"x" * size)
    raise RuntimeError("the end")


def call_another_architecture(_: None) -> None:
    # The i386 entry knows other numbers: there, 102 is socketcall and 20 getpid.
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, 0)
    ctypes.memmove(page, code, len(code))
    ctypes.CFUNCTYPE(ctypes.c_int)(page)()


DEEDS: dict[str, Callable[[Any], Any]] = {
    deed.__name__: deed
    for deed in (
        connect, listen, send, ring, write, append, remove, change_mode, read, list_folder, fork, execute, spawn, kill,
        start_thread, raise_limits, allocate, burn, burn_on, sleep, flood, answer, complain, call_another_architecture,
    )
}  # fmt: skip


def obey(data: bytes) -> Document:
    """Do it; an OSError is told, all else is up to the child."""
    order = json.loads(data)
    try:
        done = DEEDS[order["deed"]](order.get("on"))
    except OSError as error:
        return Document("text", json.dumps({"failed": type(error).__name__}))
    return Document("text", json.dumps({"done": done}))


if __name__ == "__main__":
    child.main(obey, int(sys.argv[2]), int(sys.argv[3]))
