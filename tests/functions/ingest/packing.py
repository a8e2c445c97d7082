"""Office packages made by hand: their parts as text."""

import zipfile
from collections.abc import Mapping
from io import BytesIO

from functions.ingest.extract.document import Document

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """A ZIP of these parts."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            # OpenDocument and EPUB tell what they are in a first entry that is not compressed.
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else None)
    return file.getvalue()


def relations(*pairs: tuple[str, str]) -> str:
    """The relations r1, r2, … of a part: (kind, target) each."""
    entries = "".join(
        f'<Relationship Id="r{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(pairs, start=1)
    )
    return f'<Relationships xmlns="{RELATIONSHIPS}">{entries}</Relationships>'


def titles(document: Document) -> list[tuple[int, str]]:
    """(level, title) of each heading, each of which stands where it says."""
    for heading in document.headings:
        assert document.text[heading.start :].startswith(heading.title)
    return [(heading.level, heading.title) for heading in document.headings]


def table_texts(document: Document) -> list[str]:
    """The text of each table."""
    return [document.text[table.start : table.end] for table in document.tables]
