"""URLs as they are written: their parts, in one form, or why one is not fetched. Nothing is looked up here."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote

from functions.ingest.network import Address, Network, forbidden_address
from minirag.runtime.errors import ExtractionFailed

_MAX_CHARS: Final = 8192
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# RFC 3986, appendix B. The standard library's urlsplit would first remove tabs and line ends.
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):"
    r"(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{0,5}))?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# What inet_aton, and so many a resolver, takes for (part of) an IPv4 address; "ends in a number" in WHATWG's terms.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Names that lead into somebody's own network: RFC 6761, 6762 (with appendix G), 7686, 8375, 9476, and ICANN's
# reservation of .internal.
_LOCAL: Final = re.compile(
    r"[^.]+|(?:.*\.)?"
    r"(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|home\.arpa|onion|alt|invalid)"
)

# What stays as it is in a path and a query; "%" since it may begin what is quoted already.
_PATH_SAFE: Final = "%/:@!$&'()*+,;=~|[]"
_QUERY_SAFE: Final = _PATH_SAFE + "?"


@dataclass(frozen=True, slots=True)
class Location:
    """The parts of a URL that a request needs: `host` in ASCII and without brackets, `target` a path and its query."""

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None

    @property
    def authority(self) -> str:
        """Host and port as a Host header names them (RFC 9110, 7.2): no port where it is the scheme's own."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The one form of this URL."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(url: str, network: Network) -> Location:
    """The parts of an absolute URL, without its fragment.

    Raises ExtractionFailed, with code `url_invalid` for what is no URL and `url_forbidden` for what is not fetched.
    """
    url = url.strip(" \t\r\n")
    if len(url) > _MAX_CHARS:
        raise too_long(len(url), _MAX_CHARS)
    if _CONTROL.search(url):
        raise _invalid("It holds an invisible control character")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _invalid("It must begin with https:// or http://")
    scheme = parts["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise _forbidden("Only URLs that begin with https:// or http:// are fetched")
    if not parts["authority"]:
        raise _invalid("It names no host after the two slashes")
    if "@" in parts["authority"]:
        raise _forbidden("A URL with a user name or a password, or an @ before its path, is not fetched")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise _invalid("What should be its host, perhaps with a port, is neither")
    host, address = _host(authority["host"])
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if port not in network.ports:
        allowed = " and ".join(map(str, sorted(network.ports)))
        raise _forbidden(f"Only the ports {allowed} are fetched from, not {port}")
    if address is not None and not network.permitted(address):
        raise forbidden_address(host)
    path = quote(parts["path"], safe=_PATH_SAFE) or "/"
    query = quote(parts["query"] or "", safe=_QUERY_SAFE)
    return Location(scheme, host, port, path + query, address)


def _host(written: str) -> tuple[str, Address | None]:
    if written.startswith("["):
        try:
            address = IPv6Address(written[1:-1])
        except ValueError as error:
            raise _invalid("What stands in brackets is no IPv6 address") from error
        if address.scope_id is not None:
            raise _forbidden("An IPv6 address with a zone is one of a local network, which is not fetched from")
        return str(address), address
    name = written.lower() if written.isascii() else _ascii(written)
    if not _NAME.fullmatch(name):
        raise _invalid(f"“{written[:100]}” is no name of a host")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return name, IPv4Address(name)
        except ValueError as error:
            raise _forbidden("An IPv4 address must be written as four decimal numbers without leading zeros") from error
    if _LOCAL.fullmatch(name):
        raise forbidden_address(name)
    return name, None


def _ascii(written: str) -> str:
    import idna  # its tables are large, and few names need them

    try:
        # UTS #46 makes what only looks like a letter, a digit or a dot into one; the checks that follow see that.
        return idna.encode(written, uts46=True, std3_rules=True).decode("ascii").lower()
    except UnicodeError as error:  # idna's errors are of this kind
        raise _invalid(f"“{written[:100]}” is no internationalised name of a host") from error


def too_long(chars: int, most: int) -> ExtractionFailed:
    """The error for a URL of so many characters."""
    return ExtractionFailed(f"The URL has {chars} characters; at most {most} are accepted.", code="url_invalid")


def _invalid(why: str) -> ExtractionFailed:
    return ExtractionFailed(f"This is not a valid URL. {why}. Copy it from the browser again.", code="url_invalid")


def _forbidden(why: str) -> ExtractionFailed:
    return ExtractionFailed(f"{why}. Download the document and upload the file.", code="url_forbidden")
