"""Draws what benchmarks/run measured: the ratio to the pump of each case, and seconds against observations.

    python benchmarks/plot.py RESULTS.json PLOT.png      (- for standard input)

A line of seconds that is straight through the origin says that time grows as the kit does; it is drawn of cases that
were measured with several sizes.
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
Series = dict[tuple[str, int], list[dict[str, Any]]]
"""Results of a case with a number of workers."""


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Write the PNG."""
    series: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for result in results:
        series.setdefault((result["case"], result["workers"]), []).append(result)
    lines = {key: points for key, points in series.items() if len(points) > 1}
    panels = 2 if lines else 1
    figure, axes = plt.subplots(1, panels, figsize=(6.5 * panels, 5), layout="constrained", squeeze=False)
    _ratios(axes[0][0], series)
    if lines:
        _scaling(axes[0][1], lines)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _ratios(axes: Any, series: Series) -> None:
    largest = [max(points, key=lambda point: int(point["observations"])) for points in series.values()]
    names = [f"{r['case']}\n{r['observations']:,} documents, {r['workers']} workers" for r in largest]
    axes.barh(names, [result["patchRatio"] for result in largest], color="0.55")
    axes.axvline(1, color="black", linewidth=1)
    axes.axvline(BAR, color="black", linewidth=1, linestyle=":")
    axes.set_xlabel("time of kit patch, as a multiple of the pump's (dotted: 1.8)")
    axes.invert_yaxis()


def _scaling(axes: Any, lines: Series) -> None:
    for (case, workers), points in lines.items():
        points.sort(key=lambda result: int(result["observations"]))
        counts = [0, *(point["observations"] / 1e6 for point in points)]
        seconds = [0, *(point["patchSeconds"] for point in points)]
        (drawn,) = axes.plot(counts, seconds, marker="o", label=f"{case}, {workers} workers")
        pumped = [0, *(point["pumpSeconds"] for point in points)]
        axes.plot(counts, pumped, linestyle=":", color=drawn.get_color())
    axes.set_xlabel("million observations")
    axes.set_ylabel("seconds (dotted: the pump)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")


if __name__ == "__main__":
    text = sys.stdin.read() if sys.argv[1] == "-" else Path(sys.argv[1]).read_text(encoding="utf-8")
    plot(json.loads(text)["results"], Path(sys.argv[2]))
