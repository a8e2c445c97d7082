"""Results as files: .local/bench/retrieval.json, performance.md and plots; and, when asked, docs/performance.md.

Each run replaces what it measured, a part at a size with all its peers, and leaves the rest as earlier runs found it.
"""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.plots import lines
from bench.results import OURS, Fact, Latency, Results, say
from bench.texts import Texts

_ROOT: Final = Path(__file__).parent.parent
_HOME: Final = _ROOT / ".local" / "bench"
_DOCUMENT: Final = _ROOT / "docs" / "performance.md"
_FORMAT: Final = 1  # of the file; what has another is not read
_BEGIN, _END = "<!-- measured -->", "<!-- /measured -->"
_RECALL, _FEWEST = ": recall@10", ": fewest chunks found"
_TITLES: Final = {
    "fill": "Filling a workspace",
    "keyword": "Keyword search",
    "hybrid": "Hybrid search, POST /api/v1/search",
    "vector 384": "Vector search, 384 dimensions",
    "vector 1536": "Vector search, 1536 dimensions",
    "ingest": "Storing and deleting",
    "churn": "Replacing documents over and over",
}


def describe(results: Results, texts: Texts) -> None:
    """Note what this is measured on."""
    processor = "unknown"
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
    load = os.getloadavg()[0]
    results.setting.update(
        measured=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{os.cpu_count()} cores ({processor}), load {load:.1f} at the beginning",
        software=f"Python {platform.python_version()}, {platform.system()} {platform.release().partition('-')[0]}",
        texts=f"{texts.name}: {len(texts.sentences):,}; {len(texts.asked):,} questions",
    )


def write(results: Results, *, publish: bool) -> None:
    """Write all files; with `publish`, also the measured part of docs/performance.md."""
    _HOME.mkdir(parents=True, exist_ok=True)
    path = _HOME / "retrieval.json"
    merged = _merged(json.loads(path.read_text("utf-8")) if path.is_file() else None, results)
    path.write_text(json.dumps({"format": _FORMAT, **merged.as_json()}, indent=1) + "\n", "utf-8")
    for name, plot in _plots(merged).items():
        (_HOME / f"{name}.svg").write_text(plot, "utf-8")
    table = "\n".join(_tables(merged))
    (_HOME / "performance.md").write_text(table, "utf-8")
    if publish:
        before, _, rest = _DOCUMENT.read_text("utf-8").partition(_BEGIN)
        after = rest.partition(_END)[2]
        _DOCUMENT.write_text(f"{before}{_BEGIN}\n\n{table}\n{_END}{after}", "utf-8")
    say(f"written to {_HOME.relative_to(_ROOT)}")


def _merged(old: dict[str, Any] | None, new: Results) -> Results:
    """What was measured before, where it was not measured anew."""
    if old is None or old.get("format") != _FORMAT:
        return new
    again = {(one.part, one.size) for one in new.facts} | {(one.part, one.size) for one in new.latencies}

    def stays(part: str, size: int) -> bool:
        # Tenants of another shared table are not to be compared with these.
        shared = part.startswith("vector")
        return not any(part == done and (shared or size == of) for done, of in again)

    latencies = [one for one in (Latency(**row) for row in old["latencies"]) if stays(one.part, one.size)]
    facts = [one for one in (Fact(**row) for row in old["facts"]) if stays(one.part, one.size)]
    series = {name: [(x, y) for x, y in points] for name, points in old["series"].items()}
    return Results(new.setting, latencies + new.latencies, facts + new.facts, series | new.series, new.missing)


def _tables(results: Results) -> Iterator[str]:
    yield from (f"- {what}: {value}" for what, value in results.setting.items())
    yield from (f"- missing: {what} ({why})" for what, why in results.missing.items())
    promised = sorted((one for one in results.facts if one.promise), key=lambda one: (one.part, one.size))
    if promised:
        yield from (
            "",
            "### What was promised",
            "",
            "| | chunks | | measured | promised | |",
            "|---|--:|---|--:|--:|---|",
        )
        for one in promised:
            kept = "kept" if one.kept else "**missed**"
            title = _TITLES.get(one.part, one.part)
            yield f"| {title} | {one.size:,} | {one.name} | {_value(one)} | {one.promise} | {kept} |"
    for part, title in _TITLES.items():
        latencies = [one for one in results.latencies if one.part == part]
        every = [one for one in results.facts if one.part == part]
        facts = [one for one in every if not one.promise and not one.name.endswith((_RECALL, _FEWEST))]
        if not latencies and not facts:
            continue
        yield from ("", f"### {title}")
        if latencies:
            yield from ("", "| chunks | times ours | | p50 ms | p95 ms |", "|--:|--:|---|--:|--:|")
            for row in sorted(latencies, key=lambda one: one.size):
                ratio = "" if row.of_ours is None else f"{row.of_ours:.1f}"
                name = f"**{row.system}**" if row.system == OURS else row.system
                yield f"| {row.size:,} | {ratio} | {name} | {row.p50:.2f} | {row.p95:.2f} |"
        yield from _recall(every)
        if facts:
            yield from ("", "| chunks | | |", "|--:|---|--:|")
            for one in sorted(facts, key=lambda one: one.size):
                yield f"| {one.size:,} | {one.name} | {_value(one)} |"
    yield ""


def _recall(facts: Sequence[Fact]) -> Iterator[str]:
    """What each system finds, a row for each tenant."""
    found = {(one.name, one.size): one.value for one in facts}
    systems = list(dict.fromkeys(one.name.removesuffix(_RECALL) for one in facts if one.name.endswith(_RECALL)))
    if not systems:
        return
    heads = [f" {system} |" for system in systems]
    yield from ("", "Recall@10, and the fewest chunks that a question found:", "")
    yield from (f"| chunks |{''.join(heads)}", "|--:|" + "--:|" * len(systems))
    for size in sorted({size for name, size in found if name.endswith(_RECALL)}):
        cells = [
            f" {found[system + _RECALL, size]:.3f}, {found[system + _FEWEST, size]:.0f} |"
            if (system + _RECALL, size) in found
            else " |"
            for system in systems
        ]
        yield f"| {size:,} |{''.join(cells)}"


def _value(fact: Fact) -> str:
    number = f"{fact.value:,.0f}" if abs(fact.value) >= 100 else f"{fact.value:.3g}"
    return f"{number} {fact.unit}".strip()


def _plots(results: Results) -> dict[str, str]:
    made = {}
    for part in dict.fromkeys(one.part for one in results.latencies):
        by_system: dict[str, list[tuple[float, float]]] = {}
        for one in sorted((one for one in results.latencies if one.part == part), key=lambda one: one.size):
            by_system.setdefault(one.system, []).append((one.size, one.p50))
        title = f"{_TITLES.get(part, part)}: median by number of chunks"
        made[part.replace(" ", "-")] = lines(title, "chunks", "ms", by_system, logarithmic=True)
    for kind, title, across in (
        ("growth", "The index while a workspace fills", "chunks"),
        ("churn", "The index while documents are replaced", "times replaced"),
    ):
        series = {
            f"{int(name.split()[1]):,} chunks": points
            for name, points in results.series.items()
            if name.startswith(kind)
        }
        if series:
            made[kind] = lines(title, across, "% of text", series)
    return made
