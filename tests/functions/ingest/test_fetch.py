"""Fetching over real connections: what comes in, what is refused, and that every fetch ends."""

import gzip
import socket
import ssl
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from functions.ingest.extract.html import extract
from functions.ingest.extract.sniff import sniff
from functions.ingest.fetch import Fetched, fetch
from functions.ingest.network import Network
from minirag.runtime.errors import ExtractionFailed, OutOfTime, Unavailable
from minirag.runtime.settings import VERSION
from tests.fakes.site import Reply, Site, page, redirect

HTML = b"<!DOCTYPE html><html><body><p>Hello</p></body></html>"
LIMIT = 100_000


def network_of(*sites: Site, tls: ssl.SSLContext | None = None) -> Network:
    """A network in which every name leads to this machine, and its sites' ports are let through."""
    ports = frozenset({80, 443, *(site.port for site in sites)})
    return Network(
        resolve=lambda _: ["127.0.0.1"], permitted=lambda address: str(address) == "127.0.0.1", ports=ports, tls=tls
    )


def get(site: Site, path: str = "/", *, seconds: float = 10, max_bytes: int = LIMIT) -> Fetched:
    url = f"http://site.example:{site.port}{path}"
    return fetch(url, seconds=seconds, max_bytes=max_bytes, network=network_of(site))


def fetched(reply: Reply, path: str = "/") -> Fetched:
    """What comes of a single reply."""
    with Site(reply) as site:
        return get(site, path)


def refusal(reply: Reply) -> ExtractionFailed:
    with pytest.raises(ExtractionFailed) as refused:
        fetched(reply)
    return refused.value


def chunked(*parts: bytes, headers: str = "Content-Type: text/html") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n\r\n".encode() + body


def endlessly(head: bytes, part: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """A reply that goes on until the client closes the connection."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(head)
        stop = threading.Event()
        while True:
            connection.sendall(part)
            stop.wait(pause)

    return reply


# --- What is sent ---


def test_a_request_tells_who_asks_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with Site(page(b"proxied")) as proxy, Site(page(HTML)) as site:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        assert get(site, "/a%20b?c=d").data == HTML
        line, *headers = site.requests[0].decode().rstrip("\r\n").split("\r\n")
        assert line == "GET /a%20b?c=d HTTP/1.1"
        sent = dict(header.split(": ", 1) for header in headers)
        assert sent.pop("User-Agent").startswith(f"Mini-RAG/{VERSION} (+")
        assert sent.pop("Host") == f"site.example:{site.port}"
        assert sent.pop("Accept-Encoding") == "identity"
        assert set(sent) == {"Accept", "Connection"}
        assert proxy.connections == 0


def test_a_cookie_is_not_sent_back() -> None:
    first = redirect("/next").replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n", 1)
    with Site({"/": first, "/next": page(HTML)}) as site:
        assert get(site).url.endswith("/next")
        assert len(site.requests) == 2
        assert b"cookie" not in site.requests[1].lower()


def test_non_ascii_parts_of_a_url_are_sent_quoted() -> None:
    with Site(page(HTML)) as site:
        found = fetch(
            f"http://bücher.example:{site.port}/straße?ä=ö#ü", seconds=10, max_bytes=LIMIT, network=network_of(site)
        )
        assert site.requests[0].startswith(b"GET /stra%C3%9Fe?%C3%A4=%C3%B6 HTTP/1.1\r\n")
        assert f"Host: xn--bcher-kva.example:{site.port}\r\n".encode() in site.requests[0]
        assert found.name == "straße"


# --- Redirects ---


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize(
    ("target", "end"),
    [
        ("/b/c", "/b/c"),
        ("c", "/a/c"),
        ("../c?d=e", "/c?d=e"),
        ("?d=e", "/a/b?d=e"),
        ("//other.example:{port}/c", "/c"),
        ("http://other.example:{port}/c#part", "/c"),
        ("/ä b", "/%C3%A4%20b"),
        (b"/\xe4", "/%C3%A4"),
    ],
)
def test_a_redirect_is_followed_to_where_it_leads(target: str | bytes, end: str, status: str) -> None:
    # The site's port is only known once it listens, so the target is put in by the reply.
    def first(connection: socket.socket) -> None:
        port = str(connection.getsockname()[1])
        connection.sendall(redirect(target if isinstance(target, bytes) else target.replace("{port}", port), status))

    with Site({"/a/b": first, end: page(HTML)}) as site:
        host = "other" if "other" in str(target) else "site"
        assert get(site, "/a/b").url == f"http://{host}.example:{site.port}{end}"


def test_five_redirects_are_followed_and_no_sixth() -> None:
    hops: dict[str, Reply] = {f"/{hop}": redirect(f"/{hop + 1}") for hop in range(6)}
    with Site({**hops, "/6": page(HTML)}) as site:
        assert get(site, "/1").url.endswith("/6")
        with pytest.raises(ExtractionFailed) as refused:
            get(site, "/0")
        assert refused.value.code == "url_redirects"
        assert len(site.requests) == 6 + 6


def test_a_loop_of_redirects_ends() -> None:
    assert refusal(redirect("/")).code == "url_redirects"


def test_a_redirect_to_what_is_no_url_says_so() -> None:
    assert refusal(redirect("http://[::1")).code == "url_invalid"


def test_an_error_behind_a_redirect_names_both_hosts() -> None:
    def first(connection: socket.socket) -> None:
        connection.sendall(redirect(f"http://other.example:{connection.getsockname()[1]}/gone"))

    with (
        Site({"/": first}) as site,
        pytest.raises(ExtractionFailed, match=r"redirects.*“other") as gone,
    ):
        get(site)
    assert gone.value.code == "url_not_found"


# --- What a server answers instead of a document ---


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("201 Created", "url_status"),
        ("204 No Content", "url_status"),
        ("205 Reset Content", "url_status"),
        ("206 Partial Content", "url_status"),
        ("300 Multiple Choices", "url_status"),
        ("302 Found", "url_status"),  # without a Location
        ("304 Not Modified", "url_status"),
        ("400 Bad Request", "url_status"),
        ("401 Unauthorized", "url_status"),
        ("403 Forbidden", "url_status"),
        ("404 Not Found", "url_not_found"),
        ("410 Gone", "url_not_found"),
        ("418 I'm a teapot", "url_status"),
        ("451 Unavailable For Legal Reasons", "url_status"),
        ("299 Odd", "url_status"),
    ],
)
def test_an_answer_without_the_document_is_final(status: str, code: str) -> None:
    refused = refusal(page(b"", status=status))
    assert refused.code == code
    assert f"HTTP {status[:3]}" in refused.detail


@pytest.mark.parametrize(
    "status", ["408 Timeout", "425 Early", "429 Too Many", "500 Oops", "502 Bad", "503 Busy", "504 Slow", "599 Odd"]
)
def test_an_answer_that_may_change_is_tried_again(status: str) -> None:
    with pytest.raises(Unavailable) as passing:
        fetched(page(b"", status=status, Retry_After="120"))
    assert passing.value.code == "url_unavailable"
    assert passing.value.retry_after == 120


@pytest.mark.parametrize(
    ("value", "lowest", "highest"),
    [
        ("7", 7, 7),
        ("0", 1, 1),
        ("9" * 5000, 3600, 3600),
        ("-1", 60, 60),
        ("soon", 60, 60),
        ("١٢", 60, 60),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1, 1),
        ("Thu, 01 Jan 1970 00:00:00", 1, 1),
        ("Thu, 01 Jan 9999 23:59:59 -9999", 60, 60),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 60, 60),
        ("Thu, 99 Jan 1970 00:00:00 GMT", 60, 60),
        (format_datetime(datetime.now(UTC) + timedelta(minutes=30), usegmt=True), 1200, 1800),
    ],
)
def test_retry_after_is_heeded_within_reason(value: str, lowest: int, highest: int) -> None:
    with pytest.raises(Unavailable) as passing:
        fetched(page(b"", status="503 Busy", Retry_After=value))
    assert passing.value.retry_after is not None
    assert lowest <= passing.value.retry_after <= highest


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 1000,
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        chunked(b"whole") + b"zz\r\n",
        chunked(b"whole"),  # no last chunk
        chunked() + b"ffff\r\ncut",
        chunked() + b"-5\r\nwhole\r\n0\r\n\r\n",
        chunked() + b"f" * 300 + b"\r\nwhole",
        chunked() + b"5;" + b"x" * 200_000 + b"\r\nwhole\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 50_000 + b"Content-Length: 0\r\n\r\n",
    ],
    ids=range(21),
)
def test_what_is_no_proper_http_breaks_nothing(reply: bytes) -> None:
    with pytest.raises(Unavailable, match="broke off or could not be understood") as passing:
        fetched(reply)
    assert passing.value.code == "url_unavailable"


def test_headers_without_an_end_are_not_read_for_ever() -> None:
    with pytest.raises(Unavailable, match="could not be understood"):
        fetched(endlessly(b"HTTP/1.1 200 OK\r\n", b"X-Header: x\r\n" * 1000))


def test_a_connection_reset_amid_the_answer_is_tried_again() -> None:
    def reset(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with pytest.raises(Unavailable, match="broke off or could not be understood"):
        fetched(reset)


def test_bytes_beyond_the_declared_length_are_not_the_documents() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nfirstHTTP/1.1 200 OK\r\n\r\n"
    assert fetched(reply).data == b"first"


def test_a_refused_connection_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    network = Network(resolve=lambda _: ["127.0.0.1"], permitted=lambda _: True, ports=frozenset({port}))
    with pytest.raises(Unavailable, match=r"“site\.example” cannot be reached") as passing:
        fetch(f"http://site.example:{port}/", seconds=5, max_bytes=LIMIT, network=network)
    assert "127.0.0.1" not in passing.value.detail


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), ExtractionFailed),
        (socket.gaierror(socket.EAI_FAIL, "broken"), ExtractionFailed),
        (socket.gaierror(socket.EAI_AGAIN, "later"), Unavailable),
        (OSError("too many open files"), Unavailable),
        (UnicodeError("label too long"), ExtractionFailed),
        (None, ExtractionFailed),
    ],
)
def test_a_name_that_leads_nowhere_is_final_unless_the_resolver_is_down(
    error: Exception | None, raised: type[Exception]
) -> None:
    def resolve(_: str) -> list[str]:
        if error is not None:
            raise error
        return []

    with pytest.raises(raised) as refused:
        fetch("http://nowhere.example/", seconds=5, max_bytes=LIMIT, network=Network(resolve=resolve))
    assert getattr(refused.value, "code", "") in ("url_not_found", "url_unavailable")


# --- Size ---


def test_a_document_of_exactly_the_limit_is_accepted() -> None:
    body = b"x" * LIMIT
    assert fetched(page(body, "text/plain")).data == body
    assert fetched(chunked(body) + b"0\r\n\r\n").data == body


@pytest.mark.parametrize(
    "reply",
    [
        page(b"x" * (LIMIT + 1), "text/plain"),
        page(b"", "text/plain", Content_Length="99999999999999999999"),
        chunked(b"x" * LIMIT, b"x") + b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1),
        page(gzip.compress(b"x" * (LIMIT + 1)), "text/plain", Content_Encoding="gzip"),
    ],
    ids=["declared", "declared only", "chunked", "until closed", "inflated"],
)
def test_a_document_over_the_limit_is_refused(reply: bytes) -> None:
    refused = refusal(reply)
    assert refused.code == "url_too_large"
    assert "100,000 bytes" in refused.detail


@pytest.mark.parametrize(
    "reply",
    [
        endlessly(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000),
        endlessly(chunked(), b"1\r\nx\r\n" * 1000),
        endlessly(chunked(), b"1;" + b"e" * 10_000 + b"\r\nx\r\n"),  # hardly any body
        endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),  # no answer at all
    ],
    ids=["until closed", "chunks", "chunk extensions", "interim responses"],
)
def test_an_endless_answer_ends_at_the_limit(reply: Reply) -> None:
    assert refusal(reply).code == "url_too_large"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_not_unpacked_beyond_the_limit(encoding: str) -> None:
    compressor = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    million = b"\0" * 1_000_000
    bomb = b"".join(compressor.compress(million) for _ in range(64)) + compressor.flush()
    assert len(bomb) < LIMIT
    with Site(page(bomb, Content_Encoding=encoding)) as site:
        with pytest.raises(ExtractionFailed):
            get(site)  # imports what is imported on first use
        tracemalloc.start()
        try:
            with pytest.raises(ExtractionFailed) as refused:
                get(site)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert refused.value.code == "url_too_large"
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(HTML), "gzip"),
        (gzip.compress(HTML), "X-GZIP"),
        (zlib.compress(HTML), "deflate"),
        (gzip.compress(HTML[:20]) + gzip.compress(HTML[20:]), "gzip"),
        (HTML, "identity"),
    ],
)
def test_what_comes_compressed_unasked_is_read_all_the_same(body: bytes, encoding: str) -> None:
    assert fetched(page(body, Content_Encoding=encoding)).data == HTML
    # Byte by byte, so that members and chunks end anywhere.
    parts = chunked(
        *(body[at : at + 1] for at in range(len(body))),
        headers=f"Content-Encoding: {encoding}\r\nContent-Type: text/html",
    )
    assert fetched(parts + b"0\r\n\r\n").data == HTML


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_an_unknown_compression_is_refused(encoding: str) -> None:
    assert refusal(page(HTML, Content_Encoding=encoding)).code == "url_type"


@pytest.mark.parametrize("body", [HTML, gzip.compress(HTML)[:-10], gzip.compress(HTML)[:5], b"\x1f\x8b" + b"x" * 50])
def test_a_broken_compression_is_no_document(body: bytes) -> None:
    with pytest.raises(Unavailable, match="broke off or could not be understood"):
        fetched(page(body, Content_Encoding="gzip"))


# --- Time ---


@pytest.mark.parametrize(
    "reply",
    [
        lambda connection: connection.recv(1),  # not a byte
        endlessly(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", pause=0.05),
        endlessly(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", b"x", pause=0.05),
        endlessly(b"HTTP/1.1 200 OK\r\n\r\n", b"x", pause=0.05),
        endlessly(chunked(), b"1\r\nx\r\n", pause=0.05),
        endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.05),
    ],
    ids=["silent", "headers", "declared body", "body", "chunks", "interim responses"],
)
def test_a_slow_answer_ends_at_the_deadline(reply: Reply) -> None:
    """Each byte comes long before a timeout between bytes would end the wait; only the whole is too slow."""
    with Site(reply) as site, pytest.raises(OutOfTime, match="within 1 seconds") as late:
        get(site, seconds=0.6)
    assert late.value.code == "url_timeout"


def test_slow_redirects_share_one_deadline() -> None:
    def slow(connection: socket.socket) -> None:
        threading.Event().wait(0.2)
        connection.sendall(redirect("/"))

    with Site(slow) as site, pytest.raises(OutOfTime):
        get(site, seconds=0.5)


def test_a_resolver_that_hangs_ends_at_the_deadline() -> None:
    release = threading.Event()

    def hang(_: str) -> list[str]:
        release.wait(30)
        return []

    with pytest.raises(OutOfTime):
        fetch("http://site.example/", seconds=0.3, max_bytes=LIMIT, network=Network(resolve=hang))
    release.set()


def test_a_handshake_that_hangs_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network = network_of()
        network = replace(network, ports=frozenset({listener.getsockname()[1]}))
        with pytest.raises(OutOfTime):
            fetch(f"https://site.example:{listener.getsockname()[1]}/", seconds=0.3, max_bytes=LIMIT, network=network)


def test_no_time_is_no_fetch() -> None:
    with Site(page(HTML)) as site, pytest.raises(OutOfTime):
        get(site, seconds=0)


# --- TLS ---


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        builder = self._builder(self._name, self._key.public_key(), timedelta(days=1))
        certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self._key, hashes.SHA256()
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.trust = ssl.create_default_context(cadata=pem)

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey, left: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + left)
        )

    def server(self, name: str, left: timedelta = timedelta(days=1)) -> ssl.SSLContext:
        """The context of a server whose certificate is for this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(subject, key.public_key(), left)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secure(site: Site, trust: ssl.SSLContext | None, host: str = "secure.example") -> Fetched:
    network = network_of(site, tls=trust)
    return fetch(f"https://{host}:{site.port}/", seconds=10, max_bytes=LIMIT, network=network)


def test_the_name_is_what_tls_asks_for_and_verifies(authority: Authority) -> None:
    with Site(page(HTML), tls=authority.server("secure.example")) as site:
        assert secure(site, authority.trust).data == HTML
        assert site.names == ["secure.example"]
        assert f"Host: secure.example:{site.port}\r\n".encode() in site.requests[0]


@pytest.mark.parametrize(("name", "host"), [("other.example", "secure.example"), ("secure.example", "other.example")])
def test_a_certificate_for_another_name_is_refused(authority: Authority, name: str, host: str) -> None:
    with Site(page(HTML), tls=authority.server(name)) as site:
        with pytest.raises(ExtractionFailed, match=r"cannot be trusted: Hostname mismatch") as refused:
            secure(site, authority.trust, host)
        assert refused.value.code == "url_tls"
        assert site.names == [host]
        assert site.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    with Site(page(HTML), tls=authority.server("secure.example")) as site:
        with pytest.raises(ExtractionFailed, match="cannot be trusted: unable to get local issuer") as refused:
            secure(site, None)
        assert refused.value.code == "url_tls"
        assert site.requests == []


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    with Site(page(HTML), tls=authority.server("secure.example", left=-timedelta(days=1))) as site:
        with pytest.raises(ExtractionFailed, match="certificate has expired") as refused:
            secure(site, authority.trust)
        assert refused.value.code == "url_tls"


def at_handshake(answer: bytes) -> None:
    """Fetch from a server that answers the start of a handshake with these bytes and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            network = replace(network_of(), ports=frozenset({port}))
            fetch(f"https://secure.example:{port}/", seconds=10, max_bytes=LIMIT, network=network)
        finally:
            thread.join()


def test_a_server_without_tls_is_refused() -> None:
    with pytest.raises(ExtractionFailed, match="no common version of TLS") as refused:
        at_handshake(page(HTML))
    assert refused.value.code == "url_tls"


def test_a_connection_closed_amid_the_handshake_is_tried_again() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        at_handshake(b"")


def test_a_slow_answer_over_tls_ends_at_the_deadline(authority: Authority) -> None:
    with Site(endlessly(b"HTTP/1.1 200 OK\r\n\r\n", b"x", pause=0.05), tls=authority.server("secure.example")) as site:
        network = network_of(site, tls=authority.trust)
        with pytest.raises(OutOfTime):
            fetch(f"https://secure.example:{site.port}/", seconds=0.6, max_bytes=LIMIT, network=network)


def test_a_secure_page_redirects_to_no_insecure_one(authority: Authority) -> None:
    with (
        Site(page(HTML)) as insecure,
        Site(redirect(f"http://site.example:{insecure.port}/"), tls=authority.server("secure.example")) as site,
    ):
        network = network_of(site, insecure, tls=authority.trust)
        with pytest.raises(ExtractionFailed, match="redirects from https to a connection that is not") as refused:
            fetch(f"https://secure.example:{site.port}/", seconds=10, max_bytes=LIMIT, network=network)
        assert refused.value.code == "url_forbidden"
        assert insecure.connections == 0


def test_an_insecure_page_redirects_to_a_secure_one(authority: Authority) -> None:
    with (
        Site(page(HTML), tls=authority.server("secure.example")) as site,
        Site(redirect(f"https://secure.example:{site.port}/")) as insecure,
    ):
        network = network_of(site, insecure, tls=authority.trust)
        found = fetch(f"http://site.example:{insecure.port}/", seconds=10, max_bytes=LIMIT, network=network)
        assert (found.data, found.url) == (HTML, f"https://secure.example:{site.port}/")


# --- What it is, and what it is called ---


@pytest.mark.parametrize(
    ("disposition", "path", "name"),
    [
        (None, "/docs/handbook.html", "handbook.html"),
        (None, "/docs/handbook.html?v=2", "handbook.html"),
        (None, "/docs/Stra%C3%9Fe%20A.html", "Straße A.html"),
        (None, "/docs/a%2F..%2Fb.html", "b.html"),
        (None, "/docs/", "docs"),
        (None, "/", "site.example"),
        (None, "/%E2%80%AEx%00y.html", "xy.html"),
        (None, "/%FF.html", "�.html"),
        ('attachment; filename="report.html"', "/x", "report.html"),
        ("attachment; filename=report.html", "/x", "report.html"),
        ("ATTACHMENT;FILENAME = report.html ;x=y", "/x", "report.html"),
        (r'attachment; filename="a \"b\".html"', "/x", 'a "b".html'),
        ('attachment; filename="../../etc/x.html"', "/x", "x.html"),
        (r'attachment; filename="C:\\temp\\x.html"', "/x", "x.html"),
        ('attachment; filename="Übersicht.html"', "/x", "Übersicht.html"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.html", "/x", "€ rates.html"),
        ("attachment; filename=\"eur.html\"; filename*=UTF-8''%e2%82%ac.html", "/x", "€.html"),
        ("attachment; filename*=UTF-8''%e2%82%ac.html; filename=\"eur.html\"", "/x", "€.html"),
        ("attachment; filename*=iso-8859-1'en'%A3%20rates.html", "/x", "£ rates.html"),
        ("attachment; filename*=utf-7''+AGE-.html", "/x", "+AGE-.html"),
        ("attachment; filename*=UTF-8''%ff%fe.html", "/x", "��.html"),
        ("attachment; filename*=UTF-8''..%2f..%2fx.html", "/x", "x.html"),
        ("attachment; filename*=UTF-8''", "/y.html", "y.html"),
        ('attachment; filename=""', "/y.html", "y.html"),
        ('attachment; filename="/"', "/y.html", "y.html"),
        ("inline", "/y.html", "y.html"),
        ('attachment; filename="' + "a" * 400 + '.html"', "/x", "a" * 255),
    ],
)
def test_a_document_is_called_as_its_server_says_else_by_its_path_else_by_its_host(
    disposition: str | None, path: str, name: str
) -> None:
    headers = {} if disposition is None else {"Content_Disposition": disposition}
    assert fetched(page(HTML, **headers), path).name == name


def test_a_name_in_latin_1_is_read() -> None:
    reply = page(HTML, Content_Disposition='attachment; filename="£.html"').replace("£".encode(), b"\xa3")
    assert fetched(reply).name == "£.html"


@pytest.mark.parametrize(
    ("body", "content_type", "path", "name", "kind"),
    [
        (b"%PDF-1.7\n", "text/html", "/paper", "paper", "pdf"),
        (b"%PDF-1.7\n", None, "/2401.00001", "2401.00001", "pdf"),
        (HTML, "application/pdf", "/paper.pdf", "paper.pdf", "html"),
        (HTML, None, "/page", "page", "html"),
        (HTML, "text/html", "/README.md", "README.md.html", "html"),
        (HTML, "text/html", "/data.csv", "data.csv.html", "html"),
        (HTML, "text/html", "/index.php", "index.php", "html"),
        (b"# Title\n", "text/plain", "/README.md", "README.md", "markdown"),
        (b"# Title\n", "text/html", "/README.md", "README.md", "markdown"),
        (b"# Title\n", "text/markdown; charset=UTF-8", "/readme", "readme.md", "markdown"),
        (b"a,b\n1,2\n", "text/csv", "/export", "export.csv", "csv"),
        (b"a,b\n1,2\n", "text/html", "/export.csv", "export.csv", "csv"),
        (b'{"a": 1}', "application/json", "/api", "api.json", "json"),
        (b"<p>Hello", "text/html", "/fragment", "fragment.html", "html"),
        (b"plain", "text/plain", "/notes", "notes", "text"),
        (b"plain", "application/octet-stream", "/notes", "notes", "text"),
    ],
)
def test_the_bytes_decide_what_a_document_is_and_the_header_what_they_leave_open(
    body: bytes, content_type: str | None, path: str, name: str, kind: str
) -> None:
    found = fetched(page(body, content_type), path)
    assert (found.name, sniff(found.data, found.name), found.content_type) == (name, kind, content_type)
    assert found.data == body


@pytest.mark.parametrize("body", [b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"\x7fELF" + b"\0" * 50, bytes(range(20)) * 50])
def test_what_is_no_document_is_refused_whatever_its_header_says(body: bytes) -> None:
    refused = refusal(page(body, "text/html"))
    assert refused.code == "url_type"
    assert "Accepted are" in refused.detail


def test_an_empty_document_is_refused() -> None:
    assert refusal(page(b"")).code == "empty_file"


@pytest.mark.parametrize(
    "meta", ["", '<meta charset="utf-8">', '<meta charset="koi8-r">', '<meta charset="iso-2022-jp">']
)
@pytest.mark.parametrize("label", ["windows-1251", '"Windows-1251"', "cp1251; x=y"])
def test_a_charset_that_only_the_header_declares_is_kept(label: str, meta: str) -> None:
    text = "Съешь же ещё этих мягких французских булок"
    body = f"<!DOCTYPE html><html><head>{meta}</head><body><p>{text}</p></body></html>".encode("cp1251")
    found = fetched(page(body, f"text/html; charset={label}"))
    assert extract(found.data).text == text


@pytest.mark.parametrize("label", ["utf-8", "windows-1251", "nonsense", "zlib", "\u0430", ""])
def test_bytes_that_speak_for_themselves_stay_as_they_are(label: str) -> None:
    body = "<!DOCTYPE html><html><body><p>Съешь</p></body></html>".encode()
    assert fetched(page(body, f"text/html; charset={label}")).data == body


def test_utf_16_is_not_taken_for_what_its_header_says() -> None:
    body = "<!DOCTYPE html><p>Съешь</p>".encode("utf-16")
    assert fetched(page(body, "text/html; charset=windows-1251")).data == body


def test_xml_keeps_the_encoding_that_it_declares() -> None:
    body = '<?xml version="1.0" encoding="windows-1251"?><a>Съешь</a>'.encode("cp1251")
    assert fetched(page(body, "application/xml; charset=windows-1251")).data == body


def test_what_is_kept_of_long_headers_and_paths_is_bounded() -> None:
    found = fetched(page(b"a,b\n1,2\n", "text/csv; x=" + "y" * 1000), "/" + "a" * 400)
    assert found.name == "a" * 251 + ".csv"
    assert found.content_type == "text/csv; x=" + "y" * 243
