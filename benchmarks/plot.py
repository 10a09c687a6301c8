"""Draws what benchmarks/run measured: seconds against observations, and every case as a multiple of the pump.

    python benchmarks/plot.py RESULTS.json PLOT.png      (- for standard input)

On the left both scales are logarithmic: lines of slope one say that time grows as the kit does, and the distance
between two of them is a ratio. On the right each case is a row; the pump is 1 in all of them.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed
from matplotlib import pyplot as plt

Result = dict[str, Any]


def _floor(result: Result) -> float | None:
    """Return the seconds of the floor: one reading of the kit, the pump of the result, one reading of it."""
    rows = [[row[name]["seconds"] for name in ("base", "result", "read")] for row in result["runs"]]
    return statistics.median(map(sum, rows)) if rows else None


SERIES: tuple[tuple[str, str, str, Callable[[Result], float | None]], ...] = (
    ("pump", "#7f7f7f", "s", lambda result: result["pumpSeconds"]),
    ("floor", "#b0a16b", "^", _floor),
    ("kit patch, core", "#0b62a4", "o", lambda result: result["patchSeconds"]),
    ("kit patch, reference", "#7db8da", "o", lambda result: result.get("referenceSeconds")),
    ("tarfile and pymongo", "#c44e52", "D", lambda result: result.get("peerSeconds")),
)
"""Name, colour, mark, and seconds of a result, where it has them."""


def plot(results: list[Result], path: Path, where: str = "") -> None:
    """Write the PNG.

    Args:
        results: What was measured.
        path: Where it goes.
        where: On which machine, for the title.
    """
    by_case: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        by_case.setdefault((result["case"], result["workers"]), []).append(result)
    growing = [points for points in by_case.values() if len({point["observations"] for point in points}) > 1]
    largest = [max(points, key=lambda point: int(point["observations"])) for points in by_case.values()]
    panels = [*[_scaling] * bool(growing), *[_ratios] * (len(largest) > 1 or not growing)]
    figure, axes = plt.subplots(1, len(panels), figsize=(7 * len(panels), 5.2), layout="constrained", squeeze=False)
    for panel, one in zip(panels, axes[0], strict=True):
        panel(one, growing[0] if panel is _scaling else largest)
        one.spines[["top", "right"]].set_visible(False)
        one.grid(which="major", color="0.9", linewidth=0.8)
        one.set_axisbelow(True)
    figure.suptitle(f"kit patch, beside what it cannot do without{f': {where}' if where else ''}", fontsize="medium")
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def _scaling(axes: Any, points: list[Result]) -> None:
    points = sorted(points, key=lambda result: int(result["observations"]))
    for name, colour, mark, seconds in SERIES:
        drawn = [(point["observations"], found) for point in points if (found := seconds(point)) is not None]
        if not drawn:
            continue
        axes.plot(*zip(*drawn, strict=True), color=colour, marker=mark, linewidth=1.8, label=name)
        axes.annotate(f"{drawn[-1][1]:,.1f} s", drawn[-1], textcoords="offset points", xytext=(7, -3), color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.18)
    axes.set_xlabel("observations")
    axes.set_ylabel("seconds, start-up included")
    axes.set_title(f"{points[0]['case']}, {points[0]['workers']} workers", fontsize="medium", loc="left")
    axes.legend(frameon=False)


def _ratios(axes: Any, results: list[Result]) -> None:
    names = [f"{r['case']}\n{r['observations']:,} observations, {r['workers']} workers" for r in results]
    for name, colour, mark, seconds in SERIES:
        drawn = [
            (found / result["pumpSeconds"], row)
            for row, result in enumerate(results)
            if (found := seconds(result)) is not None
        ]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), mark, color=colour, markersize=7, label=name)
    axes.set_yticks(range(len(results)), names, fontsize="small")
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xscale("log")
    ticks = [1, 2, 3, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick} x" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("time, as a multiple of the pump's")
    axes.set_title("every case, at its largest size", fontsize="medium", loc="left")
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


if __name__ == "__main__":
    text = sys.stdin.read() if sys.argv[1] == "-" else Path(sys.argv[1]).read_text(encoding="utf-8")
    facts = json.loads(text)
    machine = f"{facts['machine']}, {facts['cores']} cores, Python {facts['python']}, {facts.get('core', '')}"
    plot(facts["results"], Path(sys.argv[2]), machine.rstrip(", "))
