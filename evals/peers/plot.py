"""Draw nDCG@10 by set and system: `python -m evals.peers.plot <results.json> <picture.svg>`."""

import json
import sys
from pathlib import Path
from typing import Final

_MEASURE: Final = "nDCG@10"
_OURS: Final = {"keyword": "#9ecae1", "vector": "#4292c6", "hybrid": "#08306b"}
_PEERS: Final = ("#d9d9d9", "#bdbdbd", "#969696", "#fdd0a2", "#fdae6b", "#e6550d")


def main(results: Path, picture: Path) -> None:
    """One group of bars a set; what did not run has none."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same picture for the same figures.
    mpl.rcParams["svg.hashsalt"] = "evals"
    from matplotlib import pyplot as plt

    of_set = json.loads(results.read_text("utf-8"))
    systems = [
        name for name in dict.fromkeys(n for one in of_set.values() for n in one) if not name.startswith("hybrid,")
    ]
    peers = iter(_PEERS)
    figure, axes = plt.subplots(figsize=(14, 4.5), layout="constrained")
    width = 0.85 / len(systems)
    for number, system in enumerate(systems):
        heights = [measured.get(system, {}).get(_MEASURE, 0.0) for measured in of_set.values()]
        places = [place + (number - (len(systems) - 1) / 2) * width for place in range(len(of_set))]
        axes.bar(places, heights, width, label=system, color=_OURS.get(system) or next(peers))
    axes.set_xticks(range(len(of_set)), list(of_set))
    axes.set_ylabel(_MEASURE)
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(systems), fontsize="small", frameon=False)
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
