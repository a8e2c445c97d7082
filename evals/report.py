"""What was measured, as tables in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from evals import metrics

BEGIN: Final = "<!-- measured -->"
END: Final = "<!-- /measured -->"

# By set, then by system, then by measure.
Results = Mapping[str, Mapping[str, Mapping[str, float]]]


def tables(results: Results, sizes: Mapping[str, str]) -> str:
    """A table a measure: a row a system, a column a set; the best of a column stands out."""
    names = list(results)
    systems = list(dict.fromkeys(system for measured in results.values() for system in measured))
    parts = []
    for measure in metrics.MEASURES:
        rows = [["", *names]]
        if measure == metrics.MEASURES[0]:
            rows.append(["questions / documents", *(sizes[name] for name in names)])
        rows.extend(_rows(results, systems, measure))
        parts.append(f"### {measure}\n\n{table(rows)}")
    return "\n".join(parts)


def _rows(results: Results, systems: Sequence[str], measure: str) -> Iterator[list[str]]:
    best = {name: max(_shown(one[measure]) for one in measured.values()) for name, measured in results.items()}
    for system in systems:
        cells = []
        for name, measured in results.items():
            value = _shown(measured[system][measure]) if system in measured else "–"
            cells.append(f"**{value}**" if value == best[name] else value)
        yield [system, *cells]


def _shown(value: float) -> str:
    return f"{value:.3f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; its first row is the heading, its first column is text."""
    head, *body = rows
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def replace(path: Path, text: str) -> None:
    """Put `text` between the marks in the file at `path`."""
    before, _, rest = path.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", "utf-8")
