"""An HTTP request as plain data, which can be bent into shapes that no client library would send. Pure."""

from dataclasses import dataclass
from urllib.parse import quote

SHOWN = 2_000


@dataclass(frozen=True, slots=True)
class Call:
    """A request without its credential; `path` may hold {parameters}, for which real ids are put in when it is sent."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query as they go over the wire."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def header(self, name: str) -> str:
        """The last value of a header, or an empty text."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name), "")

    def size_of_head(self) -> int:
        """Bytes of path, query and headers, as the front door counts them."""
        return len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def __str__(self) -> str:
        lines = [f"{self.method} {self.target}", *(f"{name}: {value!r}" for name, value in self.headers)]
        body = repr(self.body) if len(self.body) <= SHOWN else f"{self.body[:SHOWN]!r}… ({len(self.body)} bytes)"
        return "\n".join([*(line[:SHOWN] for line in lines), body])


def encoded(text: str) -> str:
    """Any text, with lone surrogates too, as one percent-encoded part of a path or a query."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")
