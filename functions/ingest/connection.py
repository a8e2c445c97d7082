"""One GET request over a connection to an address that was checked, with every wait and every byte counted.

httpcore does the protocol: no redirects, cookies, credentials, decompression or proxies, and headers of 100 kB at most.
"""

import ssl
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import httpcore2 as httpcore

from functions.ingest.network import Deadline, Network
from functions.ingest.urls import Location
from minirag.runtime.errors import ExtractionFailed, Unavailable
from minirag.runtime.settings import VERSION

USER_AGENT: Final = f"Mini-RAG/{VERSION} (+fetches single documents that its users name)"

_CONNECT_SECONDS: Final = 10.0  # for each address, so that time is left for the next
_MAX_ADDRESSES: Final = 4
_READ_BYTES: Final = 256 * 1024


@contextmanager
def get(
    location: Location, addresses: Sequence[str], network: Network, deadline: Deadline, *, max_bytes: int
) -> Generator[httpcore.Response]:
    """The response to a GET request, its body still to be read; errors of reading it are translated too.

    Raises ExtractionFailed with code `url_tls`, or `url_too_large` once far more than `max_bytes` have come in;
    Unavailable or OutOfTime.
    """
    target = httpcore.URL(
        scheme=location.scheme.encode(),
        host=location.host.encode(),
        port=location.port,
        target=location.target.encode(),
    )
    headers = [
        ("Host", location.authority),
        ("User-Agent", USER_AGENT),
        ("Accept", "text/html, application/xhtml+xml, application/pdf, */*;q=0.8"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    backend = _Pinned(addresses, deadline, max_bytes)
    context = network.tls or _system_trust()
    try:
        with (
            httpcore.ConnectionPool(ssl_context=context, max_connections=1, network_backend=backend) as pool,
            pool.stream("GET", target, headers=headers) as response,
        ):
            yield response
    except httpcore.TimeoutException as error:
        deadline.left()
        raise Unavailable(
            f"“{location.host}” does not answer. Try again in a few minutes.", code="url_unavailable"
        ) from error
    except httpcore.ProtocolError as error:
        raise broken(location.host) from error
    except httpcore.ConnectError as error:
        raise Unavailable(
            f"“{location.host}” cannot be reached. Check the URL, or try again in a few minutes.",
            code="url_unavailable",
        ) from error
    except httpcore.NetworkError as error:
        raise broken(location.host) from error


def broken(host: str) -> Unavailable:
    """The error for an answer that ends too early or is none."""
    return Unavailable(
        f"The answer of “{host}” broke off or could not be understood. Try again in a few minutes.",
        code="url_unavailable",
    )


@cache
def _system_trust() -> ssl.SSLContext:
    return httpcore.default_ssl_context()


def _untrusted(host: str | None, cause: ssl.SSLError) -> ExtractionFailed:
    reason = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "no common version of TLS"
    return ExtractionFailed(
        f"The secure connection to “{host}” cannot be trusted: {reason.rstrip('.')}. Check the URL, or tell those who "
        "run the site.",
        code="url_tls",
    )


class _Pinned(httpcore.NetworkBackend):
    """Connects to the given addresses only, in turn until one answers; the host's name is never looked up again."""

    def __init__(self, addresses: Sequence[str], deadline: Deadline, max_bytes: int) -> None:
        self._addresses = addresses[:_MAX_ADDRESSES]
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._tcp = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002  the name; TLS verifies it
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            seconds = min(_CONNECT_SECONDS, self._deadline.left())
            try:
                stream = self._tcp.connect_tcp(address, port, timeout=seconds, socket_options=socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Bounded(stream, self._deadline, self._max_bytes)
        raise failure


class _Bounded(httpcore.NetworkStream):
    """A stream that ends by the deadline, however slowly its bytes come, and after so many bytes.

    Headers and chunked framing come on top of the body; twice its size is enough for them.
    """

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline, max_bytes: int) -> None:
        self._stream = stream
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._room = 2 * max_bytes + _READ_BYTES

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        data = self._stream.read(max_bytes, timeout=self._deadline.left())
        self._room -= len(data)
        if self._room < 0:
            raise too_large(self._max_bytes)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, timeout=self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, timeout=self._deadline.left())
        except httpcore.ConnectError as error:
            cause = error.__cause__
            # A connection that is closed amid the handshake says nothing of certificates.
            if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
                raise _untrusted(server_hostname, cause) from error
            raise
        return _Bounded(stream, self._deadline, self._max_bytes)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  httpcore's signature
        return self._stream.get_extra_info(info)


def too_large(max_bytes: int) -> ExtractionFailed:
    """The error for a document of more than `max_bytes`."""
    return ExtractionFailed(
        f"The document behind this URL has more than {max_bytes:,} bytes, which is the most that is accepted. "
        "Name a part of it instead.",
        code="url_too_large",
    )
