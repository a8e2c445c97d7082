"""The ZIP packages that office documents and books are: opened within bounds, their parts read as harmless XML."""

import posixpath
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from functions.ingest.extract.document import one_line
from minirag.runtime.errors import ExtractionFailed

Element = Any

# Text deflates by 5 to 20, tables of styles by 60. A part that is both large and denser than this was made to harm.
_MAX_INFLATED: Final = 400 * 1024 * 1024
_MAX_RATIO: Final = 200
_SUSPICIOUS_BYTES: Final = 20 * 1024 * 1024
_MAX_ENTRIES: Final = 10_000
# As a tree, XML takes five to ten times its size.
_MAX_TREE: Final = 48 * 1024 * 1024

_MAX_LISTED: Final = 10
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 1  # bit 0 of an entry's flags (APPNOTE 4.4.4)
# Without huge_tree libxml2 refuses more than 256 levels and 10 MB in one text.
_SAFE: Final = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
_CLEAN: Final = {"remove_comments": True, "remove_pis": True}

_DAMAGE: Final = (
    etree.LxmlError, zipfile.BadZipFile, zlib.error, ArithmeticError, EOFError, LookupError, NotImplementedError,
    OSError, ValueError,
)  # fmt: skip


class Relation(NamedTuple):
    """What one part says of another (ECMA-376 part 2, 6.5): `kind` is the last word of the relation's type."""

    kind: str
    target: str


@contextmanager
def reading(what: str, program: str, code: str) -> Iterator[None]:
    """Raise ExtractionFailed with `code` for whatever a damaged package makes its reader stumble over."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, etree.XMLSyntaxError):
            if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
                raise MemoryError from error
            if error.code == etree.ErrorTypes.ERR_RESOURCE_LIMIT:
                raise _excessive(error.msg or "") from error
        raise ExtractionFailed(
            f"This {what} is damaged or cut short and cannot be opened. Check that it opens in {program}, save it "
            "anew and upload it again.",
            code=code,
        ) from error


def check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuse, by the ZIP's directory alone, what would inflate beyond all measure.

    zipfile stops reading an entry at the size the directory gives, so a directory that lies gains nothing. Raises
    ExtractionFailed with code `too_large_inside`.
    """
    entries = archive.infolist()
    dense = any(
        entry.file_size > _SUSPICIOUS_BYTES and entry.file_size > _MAX_RATIO * entry.compress_size for entry in entries
    )
    if dense or len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > _MAX_INFLATED:
        raise _too_large()


def _too_large() -> ExtractionFailed:
    return ExtractionFailed(
        "This document would unpack to far more than its size allows; it was not opened. Save it anew, without "
        "pictures and in parts, and upload those.",
        code="too_large_inside",
    )


def _excessive(message: str) -> ExtractionFailed:
    """The error for what libxml2 refuses to read on: more depth, text or entities than any program writes."""
    if "depth" in message:
        return ExtractionFailed(
            "This document is nested too deeply to be read. Save it anew in a simpler form and upload it again.",
            code="too_deep",
        )
    return _unsafe() if "entity" in message else _too_large()


def _unsafe() -> ExtractionFailed:
    return ExtractionFailed(
        "This document declares XML entities, which documents of its kind never need and attacks use; it was not "
        "read. Save it anew in the program it comes from and upload it again.",
        code="unsafe_xml",
    )


def _check_entities(root: Element) -> None:
    """Refuse a part that declares entities: office documents have none, and attacks are made of them."""
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and next(declared.iterentities(), None) is not None:
        raise _unsafe()


def encrypted() -> ExtractionFailed:
    """The error for a document that only a password, or its seller's program, opens."""
    return ExtractionFailed(
        "This document is protected with a password or a digital lock. Save it without one and upload it again.",
        code="encrypted",
    )


class Package:
    """An open package; its parts are found without regard to case (ECMA-376 part 2, 6.2.2.3).

    Raises zipfile.BadZipFile, and ExtractionFailed with code `too_large_inside` or `encrypted`.
    """

    def __init__(self, data: bytes) -> None:
        self._archive = zipfile.ZipFile(BytesIO(data))
        check_sizes(self._archive)
        entries = self._archive.infolist()
        if any(entry.flag_bits & _ENCRYPTED for entry in entries):
            raise encrypted()
        self._entries = {entry.filename.replace("\\", "/").lstrip("/").lower(): entry for entry in entries}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._entries

    def _entry(self, name: str, limit: int) -> zipfile.ZipInfo:
        entry = self._entries[name.lower()]
        if entry.compress_type not in _METHODS:
            raise zipfile.BadZipFile(f"compression method {entry.compress_type} in {name}")
        if entry.file_size > limit:
            raise ExtractionFailed(
                "This document holds more in one piece than can be read. Split it and upload the parts.",
                code="too_large_inside",
            )
        return entry

    def read(self, name: str, limit: int = _MAX_TREE) -> bytes:
        """The bytes of a part; KeyError if there is none, ExtractionFailed beyond `limit` bytes."""
        return self._archive.read(self._entry(name, limit))

    def xml(self, name: str) -> Element:
        """The root of a part, without comments; entities are left as they are."""
        root = etree.fromstring(self.read(name), etree.XMLParser(**_SAFE, **_CLEAN))
        _check_entities(root)
        return root

    def stream(self, name: str, tag: str) -> Iterator[Element]:
        """Each element of this local name in a part too large for a tree; it is emptied when the next is asked for."""
        with self._archive.open(self._entry(name, _MAX_INFLATED)) as file:
            elements = etree.iterparse(file, events=("end",), tag=f"{{*}}{tag}", **_SAFE, **_CLEAN)
            for number, (_, element) in enumerate(elements):
                if number == 0:
                    _check_entities(element)
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]

    def relations(self, part: str = "") -> dict[str, Relation]:
        """Id → relation of a part, or of the package itself, to the parts inside the package."""
        folder, name = posixpath.split(part)
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        if path not in self:
            return {}
        return {
            relation.get("Id", ""): Relation(
                relation.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/"),
            )
            for relation in self.xml(path).iter("{*}Relationship")
            if relation.get("TargetMode") != "External"
        }

    def related(self, part: str, kind: str) -> list[str]:
        """The parts that exist among those one part is related to in one way."""
        relations = self.relations(part).values()
        return [target for related_as, target in relations if related_as == kind and target in self]

    def main_part(self) -> str:
        """The part that an Office document begins with; LookupError if there is none."""
        return self.related("", "officeDocument")[0]

    def declared_title(self) -> str | None:
        """The title in an Office document's properties."""
        for part in self.related("", "core-properties")[:1]:
            return one_line(self.xml(part).findtext(".//{*}title") or "")
        return None


def local(element: Element) -> str:
    """An element's name without its namespace, of which Office has two sets; empty for an entity."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def reference(element: Element, name: str = "id") -> str:
    """The id of a relation, which an attribute of this name in a namespace holds; empty if there is none."""
    return next((value for key, value in element.items() if key.startswith("{") and key.endswith(f"}}{name}")), "")


def listed(what: str, names: Iterable[str]) -> Iterator[str]:
    """A note that says what happened to the parts of these names, of which it tells ten; none if there are none."""
    shown = [one_line(name, limit=60) or "without a name" for name in names]
    if shown:
        more = f" and {len(shown) - _MAX_LISTED} more" if len(shown) > _MAX_LISTED else ""
        yield f"{what}: {', '.join(shown[:_MAX_LISTED])}{more}."
