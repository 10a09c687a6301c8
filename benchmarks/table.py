"""What benchmarks/run measured, as a table: of text while it runs, of Markdown in the documentation.

python benchmarks/table.py RESULTS.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HEADS = (
    "case",
    "documents",
    "workers",
    "pump s",
    "patch s",
    "reference s",
    "ratio",
    "of floor",
    "docs/s",
    "MB/s",
    "peak MiB",
    "temp MiB",
    "verify ratio",
    "peer s",
    "again s",
)
WIDTHS = (46, 9, 7, 7, 8, 11, 6, 8, 8, 6, 8, 8, 12, 7, 7)


def row(result: dict[str, Any]) -> tuple[str, ...]:
    """Give a result as a row of the table."""
    return (
        result["case"],
        f"{result['observations']:,}",
        str(result["workers"]),
        f"{result['pumpSeconds']:.2f}",
        f"{result['patchSeconds']:.2f}",
        f"{result['referenceSeconds']:.2f}" if result.get("referenceSeconds") else "",
        f"{result['patchRatio']:.2f}",
        f"{result['floorRatio']:.2f}" if "floorRatio" in result else "",
        f"{result['documentsPerSecond']:,.0f}",
        f"{result['megabytesPerSecond']:,.0f}",
        f"{result['peakBytes'] / (1 << 20):,.0f}",
        f"{result['tempBytes'] / (1 << 20):,.0f}",
        f"{result['verifyRatio']:.2f}",
        *("" if result[name] is None else f"{result[name]:.2f}" for name in ("peerSeconds", "againSeconds")),
    )


def text(cells: tuple[str, ...]) -> str:
    """Give cells as a line of text."""
    padded = zip(cells, WIDTHS, strict=True)
    return "  ".join(cell.rjust(width) if n else cell.ljust(width) for n, (cell, width) in enumerate(padded)).rstrip()


def markdown(facts: dict[str, Any]) -> str:
    """Give all of a file of results as Markdown, without columns that are empty throughout."""
    rows = [row(result) for result in facts["results"]]
    kept = [n for n in range(len(HEADS)) if any(cells[n] for cells in rows)]
    lines = [[HEADS[n] for n in kept], ["---" if n == 0 else "--:" for n in kept]]
    lines += [[cells[n] for n in kept] for cells in rows]
    return (
        "\n".join(
            [f"`{facts['command']}`", "", f"{machine(facts)}:", "", *(f"| {' | '.join(cells)} |" for cells in lines)]
        )
        + "\n"
    )


def machine(facts: dict[str, Any]) -> str:
    """Say where it was measured, and how often."""
    core = facts.get("core", "compiled, before the core")
    times = "one run each" if facts["runs"] == 1 else f"medians of {facts['runs']} runs each"
    where = f"{facts['machine']}, {facts['cores']} cores, Python {facts['python']}, {core}"
    return f"{where}; load average at the start {facts['load']}; {times}"


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
