"""The network that documents are fetched over: the public internet, and nothing of ours."""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Self

from minirag.runtime.errors import ExtractionFailed, OutOfTime, Unavailable

Address = IPv4Address | IPv6Address

# IANA's special-purpose registry (RFC 6890 and its updates), multicast, and one address that Azure keeps for itself.
# Python's is_global is asked as well, but what it knows has changed between releases.
_SPECIAL_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
            "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "168.63.129.16/32",
        ),
    )
)  # fmt: skip

# All that is assigned for general use (RFC 4291, 2.4). What embeds an IPv4 address lies outside (mapped, compatible,
# NAT64), as do unique local, link-local and site-local addresses; or it is listed below (Teredo, 6to4).
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)

# What getaddrinfo says when the resolver, not the name, is the trouble.
_PASSING: Final = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM)


def is_public(address: Address) -> bool:
    """Whether an address is unicast and globally reachable, and no way around to one that is not."""
    if isinstance(address, IPv6Address):
        public = address in _GLOBAL_UNICAST and address.scope_id is None
        return public and address.is_global and not any(address in network for network in _SPECIAL_V6)
    return address.is_global and not any(address in network for network in _SPECIAL_V4)


def _resolve(host: str) -> Sequence[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Network:
    """Where names lead (socket.gaierror if nowhere), which addresses and ports are let through, whom TLS trusts.

    Without `tls`, the certificate authorities of the system are trusted.
    """

    resolve: Callable[[str], Sequence[str]] = _resolve
    permitted: Callable[[Address], bool] = is_public
    ports: frozenset[int] = frozenset({80, 443})
    tls: ssl.SSLContext | None = None


PUBLIC: Final = Network()


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which all of one fetch must be over."""

    seconds: float
    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """A deadline `seconds` from now."""
        return cls(seconds, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds left, more than none; raises OutOfTime."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise OutOfTime(
                f"The URL could not be fetched within {max(0.0, self.seconds):.0f} seconds. Try again later, or "
                "download the document and upload the file.",
                code="url_timeout",
            )
        return left


def addresses_of(host: str, network: Network, deadline: Deadline) -> list[str]:
    """The addresses of a host, looked up once, each of them permitted.

    Raises ExtractionFailed with code `url_not_found` if there is none, `url_forbidden` if any is not permitted;
    Unavailable or OutOfTime.
    """
    try:
        addresses = [ip_address(address) for address in _looked_up(host, network, deadline)]
    except UnicodeError as error:  # a name that the resolver does not take
        raise _no_such_host(host) from error
    except OSError as error:
        if isinstance(error, socket.gaierror) and error.errno not in _PASSING:
            raise _no_such_host(host) from error
        detail = f"“{host}” cannot be looked up right now. Try again in a few minutes."
        raise Unavailable(detail, code="url_unavailable") from error
    if not addresses:
        raise _no_such_host(host)
    # One address that is not public is enough: a name that leads to both is no accident.
    if not all(map(network.permitted, addresses)):
        raise forbidden_address(host)
    return list(dict.fromkeys(map(str, addresses)))


def forbidden_address(host: str) -> ExtractionFailed:
    """The error for a host that is not on the public internet; it names no address."""
    return ExtractionFailed(
        f"“{host}” is not on the public internet, and only public pages are fetched. Download the document and "
        "upload the file.",
        code="url_forbidden",
    )


def _no_such_host(host: str) -> ExtractionFailed:
    return ExtractionFailed(f"There is no site called “{host}”. Check the URL.", code="url_not_found")


def _looked_up(host: str, network: Network, deadline: Deadline) -> Sequence[str]:
    # In a thread, since the system's resolver takes no timeout and may wait for half a minute.
    answers: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(network.resolve(host))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=look_up, name="resolver", daemon=True).start()
    while True:
        try:
            answer = answers.get(timeout=deadline.left())
        except queue.Empty:
            continue  # left() raises
        if isinstance(answer, (OSError, UnicodeError)):
            raise answer
        return answer
