"""Draws what scripts/bench measured: the ratio to the pump of each case, and seconds against observations.

    python scripts/bench_plot.py RESULTS.json PLOT.png

Two panels, one file. A line of seconds that is straight through the origin says that time grows as the kit does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed
from matplotlib import pyplot as plt

BAR = 1.8


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Write the PNG."""
    figure, (ratios, scaling) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    largest: dict[tuple[str, int], dict[str, Any]] = {}
    for result in results:
        key = (result["case"], result["workers"])
        if key not in largest or result["observations"] > largest[key]["observations"]:
            largest[key] = result
    names = [f"{case}\n{r['observations']:,} documents, {workers} workers" for (case, workers), r in largest.items()]
    ratios.barh(names, [result["patchRatio"] for result in largest.values()], color="0.55")
    ratios.axvline(1, color="black", linewidth=1)
    ratios.axvline(BAR, color="black", linewidth=1, linestyle=":")
    ratios.set_xlabel("time of kit patch, as a multiple of the pump's (dotted: 1.8)")
    ratios.invert_yaxis()
    series: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for result in results:
        series.setdefault((result["case"], result["workers"]), []).append(result)
    for (case, workers), points in series.items():
        points.sort(key=lambda result: int(result["observations"]))
        counts = [0, *(point["observations"] / 1e6 for point in points)]
        (drawn,) = scaling.plot(
            counts, [0, *(point["patchSeconds"] for point in points)], marker="o", label=f"{case}, {workers} workers"
        )
        scaling.plot(counts, [0, *(point["pumpSeconds"] for point in points)], linestyle=":", color=drawn.get_color())
    scaling.set_xlabel("million observations")
    scaling.set_ylabel("seconds (dotted: the pump)")
    scaling.set_xlim(left=0)
    scaling.set_ylim(bottom=0)
    scaling.legend(fontsize="small")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    plot(json.loads(Path(sys.argv[1]).read_text())["results"], Path(sys.argv[2]))
