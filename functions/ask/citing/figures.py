"""The numbers of a text, in forms that can be compared whatever separators they are written with. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Final
from unicodedata import decimal

# One way to read a number: the values it stands for together, 1.5 for one and 15.1.2024 for three.
Reading = frozenset[str]

_ISO_DATE: Final = re.compile(r"(?<!\d)(\d{4})-\d\d-(\d\d)(?!\d)")
_NUMBER: Final = re.compile(
    r"(\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,'’]\d+)*)"
    r"(?:\s?(thousand|million|billion|trillion|k|mn?|bn)\b)?",
    re.IGNORECASE,
)
_SEPARATOR: Final = re.compile(r"[.,'’ \u00a0\u202f]")
_ZEROS: Final = {"thousand": 3, "k": 3, "million": 6, "m": 6, "mn": 6, "billion": 9, "bn": 9, "trillion": 12}
# 1990-95 is 1990 to 1995.
_SINCE: Final = re.compile(r"(?<!\d)(\d\d)\d\d[-–/]\Z")

_UNITS: Final = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS: Final = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_POWERS: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9}
_IN_WORDS: Final = re.compile(
    rf"\b(?:({'|'.join(_TENS[2:])})(?:[\s-]({'|'.join(_UNITS[1:])}))?|({'|'.join(_TEENS)})"
    rf"|(?:({'|'.join(_UNITS[1:])})\s)?({'|'.join(_POWERS)}))\b",
    re.IGNORECASE,
)


def numbers(text: str) -> list[list[Reading]]:
    """The numbers of two digits or more in a text, each with the ways to read it."""
    return [readings for digits, readings in _read(text) if sum(map(str.isdecimal, digits)) > 1]


def values(text: str) -> frozenset[str]:
    """All that the numbers of a text may stand for, those in English words too."""
    found = {value for _, readings in _read(text) for reading in readings for value in reading}
    return frozenset(found.union(_in_words(text)))


def told(claimed: Iterable[Iterable[Reading]], known: frozenset[str]) -> bool:
    """Whether each of the claimed numbers can be read so that it is known."""
    return all(any(reading <= known for reading in readings) for readings in claimed)


def _read(text: str) -> Iterator[tuple[str, list[Reading]]]:
    text = _ISO_DATE.sub(r"\1 \2", text)
    for match in _NUMBER.finditer(text):
        digits, scale = match.groups()
        since = _SINCE.search(text[max(0, match.start() - 6) : match.start()])
        plain = "".join(str(decimal(char)) if char.isdecimal() else char for char in digits)
        readings = _readings(plain)
        if since and plain.isdecimal() and len(plain) == 2:
            readings.append(frozenset({since.group(1) + plain}))
        if scale:
            zeros = _ZEROS[scale.casefold()]
            readings += [
                frozenset({_times(value, zeros)}) for reading in readings if len(reading) == 1 for value in reading
            ]
        yield digits, readings


def _readings(digits: str) -> list[Reading]:
    """Of 1,234: as a whole number and as a decimal; of 15.01.2024: its parts."""
    whole, *rest = _SEPARATOR.split(digits)
    if not rest:
        return [frozenset({_value(digits)})]
    separators = _SEPARATOR.findall(digits)
    point = separators[-1] in ".," and separators[-1] not in separators[:-1]
    thousands = len(whole) <= 3 and all(len(group) == 3 for group in rest[:-1])
    readings = []
    if thousands and len(rest[-1]) == 3:
        readings.append(frozenset({_value(whole + "".join(rest))}))
    # 2,000 is no way to write 2.
    if point and (thousands or len(rest) == 1) and not (thousands and rest[-1] == "000"):
        readings.append(frozenset({_value(whole + "".join(rest[:-1]), rest[-1])}))
    if len(rest) > 1 or not point:
        readings.append(frozenset(map(_value, (whole, *rest))))
    return readings


def _value(whole: str, decimals: str = "") -> str:
    decimals = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{decimals}" if decimals else "")


def _times(value: str, zeros: int) -> str:
    whole, _, decimals = value.partition(".")
    return _value(whole + decimals[:zeros].ljust(zeros, "0"), decimals[zeros:])


def _in_words(text: str) -> Iterator[str]:
    for match in _IN_WORDS.finditer(text):
        tens, unit, teen, times, power = (word.casefold() for word in match.groups(""))
        if power:
            yield str(_UNITS.index(times) or 1) + "0" * _POWERS[power]
        else:
            yield str(10 + _TEENS.index(teen) if teen else 10 * _TENS.index(tens) + _UNITS.index(unit))
