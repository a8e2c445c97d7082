"""Which module reads which type."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from functions.ingest.extract.document import Document, DocumentType

# By name, so that only the libraries a document needs are imported.
_MODULES: Final[Mapping[DocumentType, str]] = {
    "pdf": "functions.ingest.extract.pdf.pdf",
    "docx": "functions.ingest.extract.office.docx",
    "pptx": "functions.ingest.extract.office.pptx",
    "xlsx": "functions.ingest.extract.office.xlsx",
    "csv": "functions.ingest.extract.csv",
    "odt": "functions.ingest.extract.office.odf",
    "ods": "functions.ingest.extract.office.odf",
    "odp": "functions.ingest.extract.office.odf",
    "rtf": "functions.ingest.extract.rtf.rtf",
    "epub": "functions.ingest.extract.epub",
    "html": "functions.ingest.extract.html",
    "markdown": "functions.ingest.extract.markdown",
    "text": "functions.ingest.extract.plain",
    "json": "functions.ingest.extract.json",
    "xml": "functions.ingest.extract.xml",
    "eml": "functions.ingest.extract.eml",
    "ipynb": "functions.ingest.extract.notebook",
    "code": "functions.ingest.extract.code",
    "zip": "functions.ingest.extract.archive",
}


def extractor(document_type: DocumentType) -> Callable[[bytes], Document]:
    """The function that reads documents of this type; its module is imported now."""
    read: Callable[[bytes], Document] = import_module(_MODULES[document_type]).extract
    return read


HOLDING: Final[frozenset[DocumentType]] = frozenset(("zip", "eml"))
"""The types that hold documents of other types."""


def holder(document_type: DocumentType) -> Callable[[bytes, Any], Document]:
    """The function that reads one of HOLDING for whoever counts the members of all (nested.Members)."""
    read: Callable[[bytes, Any], Document] = import_module(_MODULES[document_type]).read
    return read
