"""Measures what the core saves: observations rewritten by it and by the reference, in seconds of processor time.

    python benchmarks/core.py [--observations N] [--average BYTES]

Observations are those of benchmarks/run, cut into runs as a patch cuts them; nothing is compressed or digested.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks.kits import Case, members_of  # noqa: E402
from kit.documents import core, runs  # noqa: E402
from kit.engine.lookup import EmptyLookup  # noqa: E402
from kit.transforms.protocol import ChangeTotals  # noqa: E402
from kit.transforms.raw_linkset import RawLinkset  # noqa: E402
from kit.values import CollectionName, Limits  # noqa: E402

NAME = CollectionName(database="concelier", collection="advisory_observations")


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--observations", type=int, default=20_000)
    parser.add_argument("--average", type=int, default=4_200)
    chosen = parser.parse_args()
    if core.ABSENCE:
        parser.exit(1, f"the core is {core.ABSENCE}\n")
    case = Case(source="content", average=chosen.average)
    (_, size, documents), *_ = members_of(case, chosen.observations)
    made = {"core": 0.0, "reference": 0.0}
    transform, lookup, left = RawLinkset(), EmptyLookup(), 0
    for run in runs(documents, limits=Limits()):
        start = time.process_time()
        result = transform.rewrite(NAME, run.data, run.ends, lookup, run.first)
        made["core"] += time.process_time() - start
        start = time.process_time()
        changes = transform.apply(NAME, list(run), lookup, run.first)
        made["reference"] += time.process_time() - start
        expected = b"".join(change.document or b"" for change in changes)
        if result is None or result.body != expected or result.totals.outcomes != ChangeTotals(changes).outcomes:
            left += len(run)
    for name, seconds in made.items():
        print(f"{name:10}{seconds:8.2f} s{seconds / chosen.observations * 1e6:8.1f} µs an observation")
    ratio = made["reference"] / made["core"]
    print(f"ratio{ratio:13.1f}  ({chosen.observations:,} observations, {size:,} bytes; {left} in runs that differ)")


if __name__ == "__main__":
    main()
