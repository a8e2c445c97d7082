"""Which module reads which type."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final

from functions.ingest.extract.document import Document, DocumentType

# By name, so that only the libraries a document needs are imported.
_MODULES: Final[Mapping[DocumentType, str]] = {
    "pdf": "functions.ingest.extract.pdf",
    "docx": "functions.ingest.extract.docx",
    "html": "functions.ingest.extract.html",
    "markdown": "functions.ingest.extract.markdown",
    "text": "functions.ingest.extract.plain",
}


def extractor(document_type: DocumentType) -> Callable[[bytes], Document]:
    """The function that reads documents of this type; its module is imported now."""
    read: Callable[[bytes], Document] = import_module(_MODULES[document_type]).extract
    return read
