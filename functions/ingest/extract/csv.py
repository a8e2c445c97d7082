"""CSV and its kin: whatever separates the cells, a row is a line `a | b | c`."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from typing import Final

from functions.ingest.extract.blocks import Block, assemble, joined
from functions.ingest.extract.charset import decode
from functions.ingest.extract.document import Document

# Where two separate equally well, the first is taken: a comma may be a decimal point, a tab hardly anything else.
_DELIMITERS: Final = ("\t", ";", "|", ",")
_SAMPLE_CHARACTERS: Final = 64 * 1024
_SAMPLE_ROWS: Final = 200
# Excel's own way to say what separates: the first line is `sep=;`.
_HINT: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
# A quoted cell of more lines than this begins with a quotation mark that is none.
_MAX_LINES: Final = 200


def extract(data: bytes) -> Document:
    """The rows of a table in a text file, the header row first as it stands; empty rows are dropped.

    The separator is the one of comma, semicolon, tab and bar that cuts most rows alike (RFC 4180 knows but the
    comma); a row with more or fewer cells than others is kept as it is. Raises ExtractionFailed with code
    `too_much_text`.
    """
    source = decode(data).replace("\0", "")
    csv.field_size_limit(max(len(source), 1))
    hint = _HINT.match(source)
    if hint:
        delimiter, source = hint[1], source[hint.end() :]
    else:
        delimiter = _delimiter(source[:_SAMPLE_CHARACTERS])
    run = object()
    blocks = (Block(joined(cells), run=run, row=True) for cells in _rows(source, delimiter))
    return assemble("csv", blocks)


def _rows(source: str, delimiter: str) -> Iterator[list[str]]:
    if any(cell.count("\n") > _MAX_LINES for row in _parsed(source, delimiter) for cell in row):
        return _parsed(source, delimiter, quoted=False)
    return _parsed(source, delimiter)


def _parsed(source: str, delimiter: str, *, quoted: bool = True) -> Iterator[list[str]]:
    lines = StringIO(source, newline="")
    if quoted:
        return csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t")
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def _delimiter(sample: str) -> str:
    """What cuts the most rows of the sample into the same number of cells."""
    shares = {delimiter: _share(sample, delimiter) for delimiter in _DELIMITERS}
    return max(shares, key=lambda delimiter: shares[delimiter]) if any(shares.values()) else ","


def _share(sample: str, delimiter: str) -> float:
    """The share of rows with the most common number of cells; 0 if that is one."""
    lengths = [len(row) for row in islice(_parsed(sample, delimiter), _SAMPLE_ROWS) if row]
    length, count = Counter(lengths).most_common(1)[0] if lengths else (0, 0)
    return count / len(lengths) if length > 1 else 0.0
