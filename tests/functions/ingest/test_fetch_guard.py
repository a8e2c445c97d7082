"""Which URLs are fetched at all: none that leads into our own network, however it is written."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from ipaddress import ip_address

import pytest

from functions.ingest.fetch import Fetched, fetch, normalise
from functions.ingest.network import Network, is_public
from minirag.runtime.errors import ExtractionFailed
from tests.fakes.site import Site, page, redirect

NAMES = {
    "rebound.example": ["127.0.0.1"],
    "private.example": ["10.0.0.7"],
    "metadata.example": ["169.254.169.254"],
    "metadata6.example": ["fd00:ec2::254"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "mixed6.example": ["2606:2800:220:1::1", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "local-nat64.example": ["64:ff9b:1::7f00:1"],
    "6to4.example": ["2002:7f00:1::1"],
    "teredo.example": ["2001:0:7f00:1::1"],
    "zone.example": ["fe80::1%lo"],
    "nothing.example": ["0.0.0.0"],
    "carrier.example": ["100.64.0.1"],
}


def resolve(host: str) -> list[str]:
    """Names as above; what the system takes for an address is one, so that only the guard stands before it."""
    if host in NAMES:
        return NAMES[host]
    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)]


@pytest.fixture(scope="module")
def internal() -> Iterator[list[Site]]:
    """What must not be reached: on both loopback addresses, at one port."""
    with ExitStack() as stack:
        sites = [stack.enter_context(Site(page(b"secret")))]
        with suppress(OSError):  # a machine without IPv6
            sites.append(stack.enter_context(Site(page(b"secret"), host="::1", port=sites[0].port)))
        yield sites


# (what is tried, the code it is refused with); {port} is the internal listener's.
HOSTILE = [
    # Names and addresses of this machine.
    ("http://127.0.0.1:{port}/", "url_forbidden"),
    ("http://127.0.0.1", "url_forbidden"),
    ("http://127.255.255.254:{port}/", "url_forbidden"),
    ("http://localhost:{port}/", "url_forbidden"),
    ("http://LOCALHOST:{port}/", "url_forbidden"),
    ("http://localhost.:{port}/", "url_invalid"),
    ("http://app.localhost:{port}/", "url_forbidden"),
    ("http://localhost.localdomain:{port}/", "url_forbidden"),
    ("http://127.0.0.1.:{port}/", "url_invalid"),
    ("http://0.0.0.0:{port}/", "url_forbidden"),
    # Numbers that inet_aton takes for an address.
    ("http://2130706433:{port}/", "url_forbidden"),
    ("http://0x7f000001:{port}/", "url_forbidden"),
    ("http://0X7F000001:{port}/", "url_forbidden"),
    ("http://017700000001:{port}/", "url_forbidden"),
    ("http://0177.0.0.1:{port}/", "url_forbidden"),
    ("http://0x7f.0.0.1:{port}/", "url_forbidden"),
    ("http://0x7f.1:{port}/", "url_forbidden"),
    ("http://127.0.0.0x1:{port}/", "url_forbidden"),
    ("http://127.0.0.01:{port}/", "url_forbidden"),
    ("http://127.1:{port}/", "url_forbidden"),
    ("http://127.0.1:{port}/", "url_forbidden"),
    ("http://0:{port}/", "url_forbidden"),
    ("http://0/", "url_forbidden"),
    ("http://0x/", "url_forbidden"),
    ("http://127.0.0.256/", "url_forbidden"),
    ("http://127.0.0.1.1/", "url_forbidden"),
    ("http://4294967296/", "url_forbidden"),
    # Digits, letters and dots that only look different.
    ("http://①②⑦.⓪.⓪.①:{port}/", "url_forbidden"),
    ("http://127。0。0。1:{port}/", "url_forbidden"),
    ("http://127．0．0．1:{port}/", "url_forbidden"),
    ("http://127｡0｡0｡1:{port}/", "url_forbidden"),
    ("http://１２７.0.0.1:{port}/", "url_forbidden"),
    ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/", "url_forbidden"),
    ("http://loc\u00adalhost:{port}/", "url_forbidden"),
    ("http://localhost。:{port}/", "url_invalid"),
    ("http://%31%32%37.0.0.1:{port}/", "url_invalid"),
    ("http://127.0.0.1%00.example.org:{port}/", "url_invalid"),
    ("http://127.0.0.1%2f.example.org:{port}/", "url_invalid"),
    # IPv6, and IPv4 within it.
    ("http://[::1]:{port}/", "url_forbidden"),
    ("http://[0:0:0:0:0:0:0:1]:{port}/", "url_forbidden"),
    ("http://[::]:{port}/", "url_forbidden"),
    ("http://[::ffff:127.0.0.1]:{port}/", "url_forbidden"),
    ("http://[::ffff:7f00:1]:{port}/", "url_forbidden"),
    ("http://[::127.0.0.1]:{port}/", "url_forbidden"),
    ("http://[64:ff9b::7f00:1]:{port}/", "url_forbidden"),
    ("http://[64:ff9b:1::a9fe:a9fe]/", "url_forbidden"),
    ("http://[2002:7f00:1::]/", "url_forbidden"),
    ("http://[2001:0:7f00:1::]/", "url_forbidden"),
    ("http://[fe80::1%25lo]:{port}/", "url_forbidden"),
    ("http://[::1%lo]:{port}/", "url_forbidden"),
    ("http://[fc00::1]/", "url_forbidden"),
    ("http://[fec0::1]/", "url_forbidden"),
    ("http://[ff02::1]/", "url_forbidden"),
    ("http://[fd00:ec2::254]/latest/meta-data/", "url_forbidden"),
    ("http://[v1.fe80]/", "url_invalid"),
    ("http://[::1/", "url_invalid"),
    ("http://::1/", "url_invalid"),
    ("http://[::1]evil.example/", "url_invalid"),
    # The services of a cloud, and private networks.
    ("http://169.254.169.254/latest/meta-data/", "url_forbidden"),
    ("http://169.254.170.2/v2/credentials", "url_forbidden"),
    ("http://2852039166/latest/meta-data/", "url_forbidden"),
    ("http://metadata/computeMetadata/v1/", "url_forbidden"),
    ("http://metadata.google.internal/", "url_forbidden"),
    ("http://100.100.100.200/", "url_forbidden"),
    ("http://168.63.129.16/", "url_forbidden"),
    ("http://10.0.0.1/", "url_forbidden"),
    ("http://172.16.0.1/", "url_forbidden"),
    ("http://192.168.1.1/", "url_forbidden"),
    ("http://100.64.0.1/", "url_forbidden"),
    ("http://255.255.255.255/", "url_forbidden"),
    ("http://redis/", "url_forbidden"),
    ("http://printer.local/", "url_forbidden"),
    ("http://wiki.corp/", "url_forbidden"),
    ("http://router.home.arpa/", "url_forbidden"),
    ("http://something.onion/", "url_forbidden"),
    # Names that lead there.
    *((f"http://{name}:{{port}}/", "url_forbidden") for name in NAMES),
    ("https://rebound.example/", "url_forbidden"),
    # Credentials, and what is taken for them.
    ("http://good@127.0.0.1:{port}/", "url_forbidden"),
    ("http://example.org@127.0.0.1:{port}/", "url_forbidden"),
    ("http://example.org:80@127.0.0.1:{port}/", "url_forbidden"),
    ("http://user:secret@example.org/", "url_forbidden"),
    ("http://@example.org/", "url_forbidden"),
    ("http://127.0.0.1:{port}@example.org@127.0.0.1:{port}/", "url_forbidden"),
    ("http://example.org\\@127.0.0.1:{port}/", "url_forbidden"),
    ("http://127.0.0.1:{port}\\.example.org/", "url_invalid"),
    ("http:\\\\127.0.0.1:{port}\\", "url_invalid"),
    ("http://127.0.0.1:{port}#@example.org/", "url_forbidden"),
    ("http://127.0.0.1:{port}?@example.org/", "url_forbidden"),
    # Ports.
    ("http://example.org:22/", "url_forbidden"),
    ("http://example.org:6379/", "url_forbidden"),
    ("https://example.org:8443/", "url_forbidden"),
    ("http://example.org:0/", "url_forbidden"),
    ("http://example.org:65616/", "url_forbidden"),
    ("http://example.org:4294967376/", "url_invalid"),
    ("http://example.org:80:22/", "url_invalid"),
    ("http://example.org:８０/", "url_invalid"),
    ("http://example.org:-80/", "url_invalid"),
    ("http://example.org:+80/", "url_invalid"),
    # Schemes.
    ("file:///etc/passwd", "url_forbidden"),
    ("FILE:///etc/passwd", "url_forbidden"),
    ("gopher://127.0.0.1:{port}/_INFO", "url_forbidden"),
    ("ftp://127.0.0.1:{port}/", "url_forbidden"),
    ("dict://127.0.0.1:{port}/info", "url_forbidden"),
    ("data:text/html,hello", "url_forbidden"),
    ("javascript:alert(1)", "url_forbidden"),
    ("jar:http://127.0.0.1:{port}/!/", "url_forbidden"),
    ("view-source:http://127.0.0.1:{port}/", "url_forbidden"),
    ("HTTP://127.0.0.1:{port}/", "url_forbidden"),
    ("hTTp://localhost:{port}/", "url_forbidden"),
    ("localhost:{port}", "url_forbidden"),
    ("127.0.0.1:{port}/", "url_invalid"),
    ("//127.0.0.1:{port}/", "url_invalid"),
    ("/etc/passwd", "url_invalid"),
    ("http:127.0.0.1:{port}/", "url_invalid"),
    ("http:/127.0.0.1:{port}/", "url_invalid"),
    ("http:///127.0.0.1:{port}/", "url_invalid"),
    ("http://", "url_invalid"),
    ("http://:{port}/", "url_invalid"),
    ("http://?q", "url_invalid"),
    ("", "url_invalid"),
    # White space, control characters, injected lines.
    (" http://127.0.0.1:{port}/ ", "url_forbidden"),
    ("ht\ttp://127.0.0.1:{port}/", "url_invalid"),
    ("http://127.0.0.1\t:{port}/", "url_invalid"),
    ("http://127.0.\n0.1:{port}/", "url_invalid"),
    ("http:// 127.0.0.1:{port}/", "url_invalid"),
    ("http://exam ple.org/", "url_invalid"),
    ("http://example.org\u3000/", "url_invalid"),
    ("http://example.org/\r\nHost: 127.0.0.1", "url_invalid"),
    ("http://example.org\r\nX: y/", "url_invalid"),
    ("http://example.org/a\x00b", "url_invalid"),
    ("http://example.org/a\x7f", "url_invalid"),
    ("http://example.org/\ud800", "url_invalid"),
    ("http://\x00example.org/", "url_invalid"),
    # Names that are none.
    ("http://example..org/", "url_invalid"),
    ("http://.example.org/", "url_invalid"),
    ("http://-example.org/", "url_invalid"),
    ("http://example.org-/", "url_invalid"),
    ("http://exa<mple.org/", "url_invalid"),
    ("http://℀.example.org/", "url_invalid"),
    ("http://a" + "." * 300 + "org/", "url_invalid"),
    ("http://" + "a" * 64 + ".example/", "url_invalid"),
    ("http://" + "a." * 127 + "example/", "url_invalid"),
    ("http://" + "a" * 10_240 + "/", "url_invalid"),
    ("http://" + "ä" * 5_000 + ".example/", "url_invalid"),
    ("http://example.org/" + "a" * 10_240, "url_invalid"),
]


@pytest.mark.parametrize(("url", "code"), HOSTILE)
def test_no_form_of_an_address_reaches_our_network(url: str, code: str, internal: list[Site]) -> None:
    port = internal[0].port
    network = Network(resolve=resolve, ports=frozenset({80, 443, port}))
    with pytest.raises(ExtractionFailed) as refused:
        fetch(url.replace("{port}", str(port)), seconds=5, max_bytes=1000, network=network)
    assert refused.value.code == code
    assert sum(site.connections for site in internal) == 0


def test_the_listener_that_must_stay_silent_can_be_reached_without_the_guard() -> None:
    with Site(page(b"secret")) as site:
        network = Network(permitted=lambda _: True, ports=frozenset({site.port}))
        assert fetch(f"http://127.0.0.1:{site.port}/", seconds=5, max_bytes=1000, network=network).data == b"secret"
        assert site.connections == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/",
        "//127.0.0.2:{port}/",
        "http://2130706434:{port}/",
        "http://[::ffff:127.0.0.2]:{port}/",
        "http://inside.example:{port}/",
        "http://localhost:{port}/",
        "http://user@127.0.0.2:{port}/",
        "http://127.0.0.2\\@world.example:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://world.example:6379/",
        "file:///etc/passwd",
        "gopher://127.0.0.2:{port}/",
        "data:text/html,hello",
        "/again",  # which redirects to the first of these
    ],
)
def test_a_redirect_is_judged_like_the_first_url(target: str) -> None:
    with Site(page(b"secret"), host="127.0.0.2") as inside:
        first = redirect(target.replace("{port}", str(inside.port)))
        second = redirect(f"http://127.0.0.2:{inside.port}/")
        with Site({"/": first, "/again": second}) as world:
            network = loopback(world, inside, names={"inside.example": ["127.0.0.2"]})
            with pytest.raises(ExtractionFailed) as refused:
                fetch(f"http://world.example:{world.port}/", seconds=5, max_bytes=1000, network=network)
        assert refused.value.code == "url_forbidden"
        assert "redirects" in refused.value.detail
        assert (world.connections, inside.connections) == (2 if target == "/again" else 1, 0)


def loopback(*sites: Site, names: dict[str, list[str]] | None = None) -> Network:
    """A network in which 127.0.0.1 is the world, and every other address is as it is."""
    known = {"world.example": ["127.0.0.1"], **(names or {})}

    def permitted(address: object) -> bool:
        return str(address) == "127.0.0.1" or is_public(ip_address(str(address)))

    ports = frozenset({80, 443, *(site.port for site in sites)})
    return Network(resolve=lambda host: known[host], permitted=permitted, ports=ports)


def test_a_name_that_changes_its_address_is_held_to_the_one_that_was_checked() -> None:
    lookups: list[str] = []

    def rebinding(host: str) -> list[str]:
        lookups.append(host)
        return ["127.0.0.1"] if len(lookups) == 1 else ["127.0.0.2"]

    with (
        Site({"/": page(b"public"), "/twice": redirect("/")}) as world,
        Site(page(b"secret"), host="127.0.0.2", port=world.port) as inside,
    ):
        network = Network(resolve=rebinding, permitted=loopback().permitted, ports=frozenset({world.port}))
        url = f"http://rebinding.example:{world.port}/"
        assert fetch(url, seconds=5, max_bytes=1000, network=network).data == b"public"
        assert lookups == ["rebinding.example"]
        lookups.clear()
        with pytest.raises(ExtractionFailed, match="not on the public internet"):
            fetch(f"{url}twice", seconds=5, max_bytes=1000, network=network)
        assert len(lookups) == 2
        assert inside.connections == 0


def test_a_zone_is_refused_even_where_its_address_is_not() -> None:
    network = Network(permitted=lambda _: True)
    with pytest.raises(ExtractionFailed, match="with a zone"):
        fetch("http://[2606:2800:220:1::1%25eth0]/", seconds=5, max_bytes=1000, network=network)


def test_no_error_names_an_address_that_a_name_led_to() -> None:
    for name, (address, *_) in NAMES.items():
        with pytest.raises(ExtractionFailed) as refused:
            fetch(f"http://{name}/", seconds=5, max_bytes=1000, network=Network(resolve=resolve))
        assert address not in refused.value.detail


def test_an_address_that_does_not_answer_leaves_the_others() -> None:
    with Site(page(b"here")) as world:
        network = Network(
            resolve=lambda _: ["127.0.0.3", "127.0.0.1"], permitted=lambda _: True, ports=frozenset({world.port})
        )
        found = fetch(f"http://two.example:{world.port}/", seconds=5, max_bytes=1000, network=network)
        assert found.data == b"here"


@pytest.mark.parametrize(
    "address",
    [
        "0.1.2.3", "10.1.2.3", "100.127.255.255", "127.0.0.1", "169.254.169.254", "172.31.0.1", "192.0.0.9",
        "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.19.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "::7f00:1",
        "::ffff:93.184.216.34", "64:ff9b::5db8:d822", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1",
        "2001:20::1", "2001:db8::1", "2002:5db8:d822::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fec0::1", "ff02::1", "2606:2800:220:1::1%eth0", "4000::1",
    ],
)  # fmt: skip
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:2800:220:1::1", "2a00:1450::1"])
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://EXAMPLE.Org/Path?Q=A", "https://example.org/Path?Q=A"),
        (" https://example.org/a\r\n", "https://example.org/a"),
        ("https://example.org:443/a", "https://example.org/a"),
        ("http://example.org:80", "http://example.org/"),
        ("http://example.org:/", "http://example.org/"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("https://example.org/a#part", "https://example.org/a"),
        ("https://example.org?a=b#c?d", "https://example.org/?a=b"),
        ("https://bücher.example/straße", "https://xn--bcher-kva.example/stra%C3%9Fe"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://日本語。jp/", "https://xn--wgv71a119e.jp/"),
        ("https://example.org/a b?c d", "https://example.org/a%20b?c%20d"),
        ("https://example.org/a%20b%2Fc?d=%26", "https://example.org/a%20b%2Fc?d=%26"),
        ("https://example.org/~user/(1);v=2,3?q=a+b&c[]=d@e:f", "https://example.org/~user/(1);v=2,3?q=a+b&c[]=d@e:f"),
        ("https://my_bucket.example.org/", "https://my_bucket.example.org/"),
        ("http://93.184.216.34/", "http://93.184.216.34/"),
        ("http://[2606:2800:0220:0001::1]:80/x", "http://[2606:2800:220:1::1]/x"),
    ],
)
def test_a_url_has_one_form(url: str, known: str) -> None:
    assert normalise(url) == known
    assert normalise(known) == known


@pytest.mark.parametrize(("url", "code"), [(url, code) for url, code in HOSTILE if ".example:" not in url])
def test_what_is_refused_by_syntax_is_refused_before_anything_is_looked_up(url: str, code: str) -> None:
    if url == "https://rebound.example/":
        assert normalise(url) == url
        return
    with pytest.raises(ExtractionFailed) as refused:
        normalise(url.replace("{port}", "80"))
    assert refused.value.code == code


def test_a_url_too_long_for_the_index_is_refused() -> None:
    fits = "https://example.org/" + "a" * 2028
    assert normalise(fits) == fits
    with pytest.raises(ExtractionFailed, match="2049 characters; at most 2048"):
        normalise(fits + "a")
    with pytest.raises(ExtractionFailed, match="at most 2048"):  # quoted, each takes six characters
        normalise("https://example.org/" + "ä" * 1000)


def test_fetched_is_what_was_served() -> None:
    with Site(page(b"<html><p>Hello</p></html>")) as world:
        url = f"http://world.example:{world.port}/greeting#part"
        found = fetch(url, seconds=5, max_bytes=1000, network=loopback(world))
        assert found == Fetched(
            b"<html><p>Hello</p></html>", url.removesuffix("#part"), "greeting", "text/html; charset=utf-8"
        )
