"""Plain text."""

from functions.ingest.extract.charset import decode
from functions.ingest.extract.document import Document, normalise


def extract(data: bytes) -> Document:
    """The text of a plain-text file in whatever encoding it comes."""
    return Document(type="text", text=normalise(decode(data)))
