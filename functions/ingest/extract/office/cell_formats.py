"""Number formats of spreadsheet cells: what is shown of a number (ECMA-376 part 1, 18.8.30 and 18.8.31)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

# The formats a workbook need not define, but for those of East Asian calendars.
_BUILT_IN: Final = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 14: "yyyy-mm-dd", 15: "d-mmm-yy",
    16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm",
    37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
}  # fmt: skip
# Text in quotes or behind a backslash, room left for a character, filling; colours, conditions and locales.
_QUOTED: Final = re.compile(r'"([^"]*)"|\\(.)|_.|\*.')
_BRACKETS: Final = re.compile(r"\[(?!h+\]|m+\]|s+\])(?:\$([^\]-]*))?[^\]]*\]", re.IGNORECASE)
_MAX_CODE: Final = 255  # Excel's own limit
_DATE_LETTERS: Final = re.compile(r"[ymdhs]", re.IGNORECASE)
_ELAPSED: Final = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_NUMBER: Final = re.compile(r"([^#0?]*?)((?:[#0?][#0?,]*[#0?]|[#0?])?)(?:\.([#0?]+))?(,*)([^#0?]*)")
_DIGITS: Final = re.compile(r"[#0?]")

# Excel's day 0; its calendar has a 29 February 1900, so days before 1 March 1900 are off by one.
_EPOCH_1900: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet's dates have no zone
_EPOCH_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001
_LAST_DAY: Final = 2_958_465  # 31 December 9999


@dataclass(frozen=True, slots=True)
class Format:
    """How a number is shown: as a date, as a time, or with so many decimals between a prefix and a suffix."""

    date: bool = False
    time: bool = False
    elapsed: bool = False
    decimals: int | None = None
    optional: int = 0
    thousands: bool = False
    percent: bool = False
    prefix: str = ""
    suffix: str = ""


GENERAL: Final = Format()


def parse(number: int, code: str | None) -> Format:
    """The format of this id, with the code the workbook defines for it; GENERAL for what is too rare to follow."""
    section = (code if code is not None else _BUILT_IN.get(number, "General")).split(";")[0]
    if not section or len(section) > _MAX_CODE or "general" in section.lower() or "@" in section:
        return GENERAL
    bare = _BRACKETS.sub("", _QUOTED.sub("", section))
    if _DATE_LETTERS.search(_ELAPSED.sub("h", bare)):
        letters = _ELAPSED.sub("", bare).lower()
        elapsed = bool(_ELAPSED.search(bare))
        day = any(letter in letters for letter in "yd") or (
            "m" in letters and "h" not in letters and "s" not in letters
        )
        return Format(date=day and not elapsed, time=elapsed or "h" in letters or "s" in letters, elapsed=elapsed)
    shown = _BRACKETS.sub(lambda match: match[1] or "", _QUOTED.sub(lambda match: match[1] or match[2] or "", section))
    match = _NUMBER.fullmatch(shown)
    # Scaled by thousands, fractions and exponents: the number itself says more.
    if match is None or match[4] or not _DIGITS.search(match[2] + (match[3] or "")):
        return GENERAL
    prefix, whole, decimals, _, suffix = match.groups()
    return Format(
        decimals=len(decimals or ""),
        optional=len(decimals or "") - len((decimals or "").rstrip("#?")),
        thousands="," in whole,
        percent="%" in bare,
        prefix=prefix,
        suffix=suffix,
    )


def shown(value: str, form: Format, *, since_1904: bool = False) -> str:
    """A stored number as the sheet shows it: dates as ISO 8601, numbers with a point and at most 15 digits.

    Raises ValueError if `value` is no number.
    """
    number = float(value)
    if form.date or form.time:
        return _date(number, form, since_1904=since_1904) or value
    if form.decimals is None or abs(number) >= 1e15 or number != number:
        return _general(value, number)
    text = f"{abs(number) * (100 if form.percent else 1):{',' if form.thousands else ''}.{form.decimals}f}"
    for _ in range(form.optional):
        text = text.removesuffix("0")
    text = text.removesuffix(".")
    sign = "-" if number < 0 and any(digit in text for digit in "123456789") else ""
    return f"{sign}{form.prefix}{text}{form.suffix}"


def _general(value: str, number: float) -> str:
    if value.lstrip("-").isdigit():
        return value
    return f"{number:.15g}"


def _date(days: float, form: Format, *, since_1904: bool) -> str | None:
    if not 0 <= days <= _LAST_DAY:
        return None
    seconds = round(days * 86400)
    if form.elapsed:
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    moment = (_EPOCH_1904 if since_1904 else _EPOCH_1900) + timedelta(seconds=seconds)
    if not since_1904 and days < 60:
        moment += timedelta(days=1)
    clock = moment.strftime("%H:%M:%S" if moment.second else "%H:%M")
    if not form.date:
        return clock
    day = moment.date().isoformat()
    return f"{day} {clock}" if form.time else day
