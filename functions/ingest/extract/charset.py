"""From bytes to text, for the formats that may come in any encoding."""

import codecs
import re
from typing import Final

_BYTE_ORDER_MARKS: Final = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Encodings a document may declare, by the name of Python's codec, and what browsers really decode them with
# (WHATWG Encoding Standard). Python has more codecs, some of them no text encodings and some of quadratic cost.
_DECLARABLE: Final = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "cp1252": "cp1252", "iso8859-9": "cp1254", "cp1254": "cp1254",
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "shift_jis": "cp932", "cp932": "cp932",
    "euc_kr": "cp949", "cp949": "cp949", "euc_jp": "euc_jp", "iso2022_jp": "iso2022_jp", "big5": "big5hkscs",
    "big5hkscs": "big5hkscs", "koi8-r": "koi8-r", "koi8-u": "koi8-u", "cp866": "cp866", "mac-roman": "mac-roman",
    "tis-620": "cp874", "cp874": "cp874", "utf-8": "utf-8", "utf-16": "utf-8", "utf-16-le": "utf-8",
    **{f"cp125{n}": f"cp125{n}" for n in (0, 1, 3, 5, 6, 7, 8)},
    **{f"iso8859-{n}": f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
}  # fmt: skip

# What charset-normalizer may choose from: without a list it prefers rarities over what people use.
_LIKELY: Final = [
    "cp1252", "cp1250", "iso8859_2", "cp1251", "koi8_r", "cp866", "iso8859_5", "cp1253", "cp1254", "cp1255", "cp1256",
    "cp1257", "cp1258", "cp850", "cp437", "cp932", "euc_jp", "gb18030", "big5", "cp949", "tis_620",
]  # fmt: skip
_SAMPLE_BYTES: Final = 128 * 1024


def unicode_encoding(data: bytes) -> str | None:
    """The encoding that a byte order mark, or the zero bytes of UTF-16 and UTF-32, give away; None if neither does."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    head = data[: 4096 if len(data) >= 4096 else len(data) & ~3]
    if not head:
        return None
    zeros = [head[position::4].count(0) / (len(head) / 4) for position in range(4)]
    by_zeros = {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }
    # In Latin text nearly all high bytes are zero and no low byte is.
    one, two, three, four = (share > 0.4 for share in zeros)
    return by_zeros.get((one, two, three, four)) if min(zeros) < 0.05 else None


def declared_encoding(label: str) -> str | None:
    """Python's codec for the encoding a document declares; None if the label is unknown or no text encoding."""
    try:
        return _DECLARABLE.get(codecs.lookup(label.strip()).name)
    except (LookupError, ValueError):  # ValueError: a NUL or a letter outside ASCII in the label
        return None


def _guess(data: bytes) -> str:
    """The most likely legacy encoding of bytes that are not UTF-8; UTF-8 if none fits at all."""
    # Costs 65 ms to import and is needed for old files only.
    from charset_normalizer import from_bytes

    # The neighbourhood of the first letter outside ASCII, cut at a line end so that no character is cut.
    first = re.search(rb"[\x80-\xff]", data)
    start = max(0, first.start() - 1024) if first else 0
    sample = data[start : start + _SAMPLE_BYTES]
    if start + _SAMPLE_BYTES < len(data) and b"\n" in sample:
        sample = sample[: sample.rindex(b"\n")]
    matches = list(from_bytes(sample, cp_isolation=_LIKELY, threshold=0.3))
    if not matches:
        return "utf-8"
    best = matches[0]
    # French or Portuguese also reads as Central European with hardly a difference; the former is far more common.
    western = [
        match
        for match in matches
        if match.encoding == "cp1252"
        and match.chaos <= best.chaos + 0.1
        and match.coherence >= best.coherence
        and best.encoding in ("cp1250", "cp1258", "iso8859_2")
    ]
    return (western or [best])[0].encoding


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of bytes in UTF-8, UTF-16, UTF-32, the declared or else the most likely encoding. Never fails.

    UTF-8 wins over a declaration wherever the bytes are valid UTF-8: no other text is by chance.
    """
    encoding = unicode_encoding(data)
    if encoding is not None:
        return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    if declared == "iso2022_jp" or b"\x1b$B" in data:  # seven-bit Japanese is valid ASCII too
        return data.decode("iso2022_jp", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    whole = len(text) - len(text.encode("ascii", errors="ignore")) - broken
    if whole >= 4 * broken:
        return text  # UTF-8 with a few damaged bytes
    return data.decode(declared or _guess(data), errors="replace")
