#!/usr/bin/env python3
"""Kills and fails ``kit patch`` and ``kit delta apply`` at every step, resumes them, and counts what went wrong.

For every container and every way to patch: SIGKILL before each durable step, SIGKILL at random calls (of resumed runs
too), a power cut that loses what was not synced, harm to the job between two runs, a clock that went back, and each
class of fault at each of its steps. After each strike the kit must be the old or the new one, whole, with nothing
beside it that contradicts it; then the run is resumed where it left a job, and begun again where it did not, and must
give the bytes of a run that nobody disturbed. Prints a table; exits 1 if anything in it is wrong. ``--quick`` takes a
small share of it. The strikes are those of ``kit selftest`` (kit/verbs/selftest).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.reports.site import strike_table  # noqa: E402
from kit.signing import load_private  # noqa: E402
from kit.values import Timestamp  # noqa: E402
from kit.verbs.delta.build import DeltaBuildRequest, build_delta  # noqa: E402
from kit.verbs.selftest import CONTAINERS, WAYS, Bench, Matrix, kill_everywhere, phases  # noqa: E402
from kit.verbs.selftest.bench import CLOCK, Keys, sample_files  # noqa: E402
from kit.verbs.verify.kits import Environment  # noqa: E402
from kit.verbs.verify.obligations import Expectation  # noqa: E402
from tests.kits import collection, observation, signed, write_kit  # noqa: E402

PATCH, DELTA, RESHAPE, ONCE = "patch", "delta", "reshape", "one reading"
ONCE_CONTAINERS = ("kit.tar.zst", "kit.tar.gz")
PROJECTION = {
    "schemaVersion": "1",
    "id": "20260101_advisories_by_tenant",
    "kind": "partition-key",
    "description": "Makes a new collection, in a second pass over the kit.",
    "transforms": [
        {
            "name": "reshape-project",
            "parameters": {
                "collection": "advisory_raw",
                "target": "advisory_raw_by_tenant",
                "targetPartitionKey": "tenant",
                "validation": "SELECT VALUE COUNT(1) FROM c",
            },
        }
    ],
    "rollback": {"decision": "leave", "note": "the old collection is as it was"},
}


def bench_of(folder: Path, container: str, way: str, work: str) -> Bench:
    """Make a bench for ``patch``, for one that makes a new collection, one that reads once, or for ``delta apply``."""
    migration = json.dumps(PROJECTION) if work == RESHAPE else None
    # Where nothing is looked up, and every collection changes, an archive is transformed while it is judged.
    apart = ("advisory_raw", "/part-2/")
    files = {name: data for name, data in sample_files().items() if not any(one in name for one in apart)}
    bench = Bench(
        *(folder, container, way),
        delta=_delta if work == DELTA else None,
        migration=migration,
        files=files if work == ONCE else None,
    )
    bench.name = f"once {bench.name}" if work == ONCE else bench.name
    return bench


def _delta(folder: Path, base: Path, keys: Keys) -> Path:
    """Build a delta to a kit of members of every method."""
    folder.mkdir()
    key, files = load_private(keys.private, lambda: b""), sample_files()
    name = next(name for name in files if name.endswith("advisory_observations.bson"))
    later = {**files, name: collection(observation(n, tenant="beta") for n in (2, 0, 9))}
    later["images/noise.bin"] = files["images/noise.bin"][:1000] + b"changed" + files["images/noise.bin"][1000:]
    later["docs/new.txt"] = later.pop("docs/readme.txt") * 2
    target = write_kit(folder / f"target-{base.name}", signed(later, key, generation=1, bundleId="kit-1"))
    build_delta(
        DeltaBuildRequest(
            base=base,
            target=target,
            output=folder / "next.delta",
            key=key,
            expectation=Expectation(trusted={key.public.key_id: key.public}),
            created_at=Timestamp(CLOCK),
            environment=Environment(workers=1),
        )
    )
    return folder / "next.delta"


def main(arguments: list[str]) -> int:
    """Run the matrix and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few random kills, and every 17th step of the rest")
    parser.add_argument("--kills", type=int, default=1000, help="random kills, over all (default 1000)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every N-th step, but for kills before each")
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at a time (default 1)")
    parser.add_argument("--minutes", type=float, default=0, help="begin nothing after so many minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only scenarios whose name holds this, as in 'kit.tar.zst in place'")
    parser.add_argument(
        "--part",
        default="",
        help="only kills, random kills, interrupts, faults, harm or power cuts (or what holds this)",
    )
    options = parser.parse_args(arguments)
    names = [
        (container, way, work)
        for work in (PATCH, DELTA, RESHAPE, ONCE)
        for container in CONTAINERS
        for way in WAYS
        if options.only in f"{work} {container} {way}" and (work != ONCE or container in ONCE_CONTAINERS)
    ]
    every, kills = (17, 24) if options.quick else (options.every, options.kills)
    share = -(-kills // len(names))
    parts: dict[str, Callable[[Bench, Matrix], None]] = {} if options.quick else {"kills": kill_everywhere}
    parts |= phases(random_kills=share, every=every, seed=options.seed)
    todo = [part for name, part in parts.items() if options.part in name]
    end = time.monotonic() + options.minutes * 60 if options.minutes else math.inf
    matrix, skipped = Matrix(), 0
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kit-faults-")))
        benches = [
            stack.enter_context(bench_of(scratch / str(number), container, way, work))
            for number, (container, way, work) in enumerate(names)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(options.jobs))
        # All scenarios get a share of each kind before the next kind begins, so that a run cut short has met them all.
        for phase in todo:
            for part in pool.map(lambda bench, phase=phase: _part(bench, phase, end), benches):
                skipped += part is None
                matrix.add(part or Matrix())
            print("\n".join(strike_table(matrix.rows, matrix.points)), file=sys.stderr, flush=True)
    print("\n".join([*strike_table(matrix.rows, matrix.points), *matrix.faults]))
    print(f"{len(names)} scenarios, random kills {share * len(names):,}, every {every}. step but for kills", end="")
    print(f"; time was up for {skipped} of {len(todo) * len(names)} parts" if skipped else "")
    return 0 if matrix.sound else 1


def _part(bench: Bench, phase: Callable[[Bench, Matrix], None], end: float) -> Matrix | None:
    if time.monotonic() > end:
        return None
    part = Matrix()
    phase(bench, part)
    return part


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
