"""Line plots as SVG, readable without anything but a browser."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 800, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 310, 48, 50
# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS: Final = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")


def lines(title: str, across: str, up: str, series: Mapping[str, Points], *, logarithmic: bool = False) -> str:
    """A plot of `series`, with both axes logarithmic or both linear from 0."""
    drawn = {name: points for name, points in series.items() if points}
    xs = _Axis([x for points in drawn.values() for x, _ in points], _LEFT, _WIDTH - _RIGHT, logarithmic=logarithmic)
    ys = _Axis([y for points in drawn.values() for _, y in points], _HEIGHT - _BOTTOM, _TOP, logarithmic=logarithmic)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, title, "start", size=15),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, across, "middle"),
        _text(_LEFT, _TOP - 8, up, "middle"),
    ]
    for value in xs.ticks():
        parts.append(_line(xs.at(value), _TOP, xs.at(value), _HEIGHT - _BOTTOM))
        parts.append(_text(xs.at(value), _HEIGHT - _BOTTOM + 16, f"{value:,g}", "middle"))
    for value in ys.ticks():
        parts.append(_line(_LEFT, ys.at(value), _WIDTH - _RIGHT, ys.at(value)))
        parts.append(_text(_LEFT - 6, ys.at(value) + 4, f"{value:,g}", "end"))
    for number, (name, points) in enumerate(drawn.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{xs.at(x):.1f},{ys.at(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) <= 12:
            parts += [f'<circle cx="{xs.at(x):.1f}" cy="{ys.at(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        row = _TOP + 10 + 20 * number
        parts.append(_line(_WIDTH - _RIGHT + 12, row, _WIDTH - _RIGHT + 30, row, colour=colour, width=3))
        parts.append(_text(_WIDTH - _RIGHT + 36, row + 4, name, "start", size=11))
    return "\n".join([*parts, "</svg>\n"])


class _Axis:
    def __init__(self, values: Sequence[float], begin: float, end: float, *, logarithmic: bool) -> None:
        self._begin, self._end, self._log = begin, end, logarithmic
        if logarithmic:
            self._low, self._high = floor(log10(min(values))), ceil(log10(max(values)))
            self._high = max(self._high, self._low + 1)
        else:
            step = 10 ** floor(log10(max(*values, 1e-9)))
            self._step = next(part * step for part in (0.2, 0.5, 1, 2) if max(values) <= 5.5 * part * step or part == 2)
            self._low, self._high = 0, ceil(max(values) / self._step)

    def at(self, value: float) -> float:
        place = log10(value) if self._log else value / self._step
        return self._begin + (self._end - self._begin) * (place - self._low) / (self._high - self._low)

    def ticks(self) -> list[float]:
        steps = range(self._low, self._high + 1)
        return [10.0**step if self._log else step * self._step for step in steps]


def _line(x: float, y: float, x_to: float, y_to: float, *, colour: str = "#dddddd", width: float = 1) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x_to:.1f}" y2="{y_to:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str, *, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
