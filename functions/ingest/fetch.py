"""Fetching the document behind a URL that somebody else chose: from the public internet only, within limits."""

import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin

from functions.ingest.extract.charset import declared_encoding, unicode_encoding
from functions.ingest.extract.sniff import sniff
from functions.ingest.names import NAME_CHARS, safe_name
from functions.ingest.network import PUBLIC, Deadline, Network, addresses_of
from functions.ingest.urls import Location, parse, too_long
from minirag.runtime.errors import ExtractionFailed, MiniRagError, Unavailable, UnsupportedType

if TYPE_CHECKING:
    import httpcore2 as httpcore

MAX_REDIRECTS: Final = 5
MAX_URL_CHARS: Final = 2048

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_LATER: Final = (408, 425, 429)
_INFLATED_BYTES: Final = 1024 * 1024
_LONGEST_RETRY_AFTER: Final = 3600
_HEADER_CHARS: Final = 255

# RFC 6266: filename="a \"b\".pdf", filename=a.pdf, filename*=UTF-8''%e2%82%ac.pdf
_FILENAME: Final = re.compile(r';\s*filename(\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.IGNORECASE)
_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([\w:.-]{2,40})', re.IGNORECASE)

# What a header may tell of text that neither its bytes nor its name tell; the endings are those that `sniff` knows.
_SUFFIXES: Final = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "message/rfc822": ".eml",
}
_TEXT_TYPES: Final = ("html", "markdown", "text", "csv", "json", "xml", "code")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document as it was served: by which URL in the end, what to call it, and what the server called its type.

    Text in a legacy encoding that only the server's header declares comes as UTF-8 with a byte order mark.
    """

    data: bytes
    url: str
    name: str
    content_type: str | None


def normalise(url: str) -> str:
    """The one form of a URL, by which its source is known: RFC 3986, 6.2.2 and 6.2.3, as far as no meaning changes.

    Scheme and host in lower case, the host by UTS #46, no default port, no fragment, `/` for an empty path. Raises
    ExtractionFailed with code `url_invalid` or `url_forbidden`, judged by syntax alone.
    """
    known = parse(url, PUBLIC).url
    if len(known) > MAX_URL_CHARS:
        raise too_long(len(known), MAX_URL_CHARS)
    return known


def fetch(url: str, *, seconds: float, max_bytes: int, network: Network = PUBLIC) -> Fetched:
    """The document behind an http or https URL, of at most `max_bytes`, all within `seconds`.

    Every host on the way is looked up once, each of its addresses must be public, and the connection goes to one of
    these. Raises ExtractionFailed with code `url_invalid`, `url_forbidden`, `url_not_found`, `url_status`,
    `url_too_large`, `url_redirects`, `url_type`, `url_tls` or `empty_file`; Unavailable with `url_unavailable` or
    OutOfTime with `url_timeout` for what may pass.
    """
    deadline = Deadline.after(seconds)
    location = first = parse(url, network)
    for _ in range(MAX_REDIRECTS + 1):
        try:
            answer = _request(location, network, deadline, max_bytes)
        except ExtractionFailed as error:
            if location.host == first.host:
                raise
            raise _behind(first.host, error) from error
        if isinstance(answer, Fetched):
            return answer
        location = answer
    raise ExtractionFailed(
        f"This URL redirects more than {MAX_REDIRECTS} times. Open it in a browser and copy the URL you end up at.",
        code="url_redirects",
    )


def _request(location: Location, network: Network, deadline: Deadline, max_bytes: int) -> Fetched | Location:
    """What one URL gives: a document, or where to look instead."""
    addresses = [str(location.address)] if location.address else addresses_of(location.host, network, deadline)
    from functions.ingest import connection  # costs 100 ms, and only the worker fetches

    with connection.get(location, addresses, network, deadline, max_bytes=max_bytes) as response:
        target = _header(response, "location")
        if response.status in _REDIRECTS and target is not None:
            return _redirected(location, target, network)
        if response.status not in (200, 203):
            raise _refusal(location.host, response.status, _header(response, "retry-after"))
        length = _header(response, "content-length") or ""
        # Longer numbers than that are refused by httpcore.
        if length.isascii() and length.isdigit() and int(length) > max_bytes:
            raise connection.too_large(max_bytes)
        data = _body(response, location, max_bytes)
    return _document(location, response, data)


def _body(response: "httpcore.Response", location: Location, max_bytes: int) -> bytes:
    from functions.ingest import connection

    body = io.BytesIO()
    try:
        for piece in _decoded(response):
            if body.tell() + len(piece) > max_bytes:
                raise connection.too_large(max_bytes)
            body.write(piece)
    except zlib.error as error:
        raise connection.broken(location.host) from error
    return body.getvalue()


def _redirected(location: Location, target: str, network: Network) -> Location:
    try:
        following = parse(urljoin(location.url, target), network)
    except ValueError as error:  # brackets that do not match
        raise ExtractionFailed(f"“{location.host}” redirects to what is no URL.", code="url_invalid") from error
    except ExtractionFailed as error:
        raise _behind(location.host, error) from error
    if (location.scheme, following.scheme) == ("https", "http"):
        raise ExtractionFailed(
            f"“{location.host}” redirects from https to a connection that is not secure, which is not followed. "
            "Download the document and upload the file.",
            code="url_forbidden",
        )
    return following


def _behind(host: str, error: ExtractionFailed) -> ExtractionFailed:
    return ExtractionFailed(f"“{host}” redirects to another URL. {error.detail}", code=error.code)


def _refusal(host: str, status: int, retry_after: str | None) -> MiniRagError:
    """The error for an answer without a document."""
    match status:
        case 404 | 410:
            return ExtractionFailed(f"“{host}” has nothing at this URL (HTTP {status}).", code="url_not_found")
        case 401 | 402 | 403 | 407 | 451:
            detail = f"“{host}” does not show this to everybody (HTTP {status}). Download it and upload the file."
            return ExtractionFailed(detail, code="url_status")
        case _ if status >= 500 or status in _LATER:
            detail = f"“{host}” cannot answer right now (HTTP {status}). Try again later."
            return Unavailable(detail, code="url_unavailable", retry_after=_seconds(retry_after) or 60)
        case _:
            return ExtractionFailed(
                f"“{host}” answers without a document (HTTP {status}). Check the URL in a browser.", code="url_status"
            )


def _seconds(retry_after: str | None) -> int | None:
    """Retry-After, RFC 9110, 10.2.3: seconds or a date. Between a second and an hour; None if it is neither."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        wait = int(retry_after[:9])
    else:
        try:
            date = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return None
        wait = int((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return max(1, min(_LONGEST_RETRY_AFTER, wait))


def _decoded(response: "httpcore.Response") -> Iterable[bytes]:
    """The body in small pieces, whatever its encoding makes of it; raises zlib.error if it is not in that encoding."""
    encoding = (_header(response, "content-encoding") or "identity").strip().lower()
    if encoding == "identity":
        return response.iter_stream()
    # Not asked for, but some stores have nothing else.
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflated(response.iter_stream())
    raise ExtractionFailed(
        "The document comes in a compression that was not asked for and is not read. Download it and upload the file.",
        code="url_type",
    )


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """RFC 9110, 8.4.1: one or more members of gzip, or a zlib stream."""
    either = zlib.MAX_WBITS | 32
    inflater = zlib.decompressobj(either)
    for chunk in chunks:
        left = chunk
        while left:
            if inflater.eof:
                inflater = zlib.decompressobj(either)
            yield inflater.decompress(left, _INFLATED_BYTES)
            left = inflater.unconsumed_tail or inflater.unused_data
    if not inflater.eof:
        raise zlib.error("the stream has no end")


def _document(location: Location, response: "httpcore.Response", data: bytes) -> Fetched:
    if not data:
        raise ExtractionFailed(f"What “{location.host}” has at this URL is empty: it has no bytes.", code="empty_file")
    content_type = (_header(response, "content-type") or "")[:_HEADER_CHARS]
    name = _name(_header(response, "content-disposition") or "", location)
    try:
        name = _told(name, data, content_type)
        # XML says its encoding itself, and would go on saying it.
        if (kind := sniff(data, name)) in _TEXT_TYPES and kind != "xml":
            data = _unicode(data, content_type)
    except UnsupportedType as error:
        raise ExtractionFailed(error.detail, code="url_type") from error
    return Fetched(data, location.url, name, content_type or None)


def _name(disposition: str, location: Location) -> str:
    """What a document is called: as its server says (RFC 6266), else by its path, else by its host."""
    given: dict[bool, str] = {}
    for extended, quoted, token in _FILENAME.findall(disposition):
        value = re.sub(r"\\(.)", r"\1", quoted) or token
        if extended:
            charset, _, rest = value.partition("'")
            known = "iso-8859-1" if charset.lower() == "iso-8859-1" else "utf-8"
            value = unquote(rest.partition("'")[2], encoding=known, errors="replace")
        given.setdefault(bool(extended), value)
    segments = location.target.partition("?")[0].rstrip("/").rpartition("/")
    for name in (given.get(True), given.get(False), unquote(segments[2])):
        if name and (safe := safe_name(name, default="")):
            return safe
    return location.host


def _told(name: str, data: bytes, content_type: str) -> str:
    """The name, with the ending that makes it what its header says, where bytes and name leave that open."""
    suffix = _SUFFIXES.get(content_type.partition(";")[0].strip().lower())
    if suffix is None:
        return name
    kind = sniff(data, name)
    # A page about a file often has that file's name: README.md, data.csv.
    page = suffix == ".html" and kind in _TEXT_TYPES and kind != "html" and sniff(data, "") == "html"
    return name[: NAME_CHARS - len(suffix)] + suffix if page or kind == "text" else name


def _unicode(data: bytes, content_type: str) -> bytes:
    """Text as it is, unless its encoding is known from the header alone: the bytes are kept without the header."""
    declared = _CHARSET.search(content_type)
    encoding = declared_encoding(declared[1]) if declared else None
    if encoding in (None, "utf-8") or unicode_encoding(data) is not None:
        return data
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return b"\xef\xbb\xbf" + data.decode(encoding or "utf-8", errors="replace").encode()
    return data


def _header(response: "httpcore.Response", name: str) -> str | None:
    """The first header of this name; UTF-8 if it can be, since servers send what they have."""
    for key, value in response.headers:
        if key.lower() == name.encode():
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                return value.decode("latin-1")
    return None
