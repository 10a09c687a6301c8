"""Times the toolkit against the pump, and prints ratios (docs/benchmarks.md says what the words mean).

The pump is the yardstick: the same archive through decompress → SHA-256 → compress (zstd level 3, two threads), with
no work in between. Pump, toolkit and, where there is one, a peer run in turn, each as its own process tree, so that a
noisy machine disturbs all; the figure is the median of the ratios of neighbours. The floor is what no patch can do
without: one reading of the kit before it, the pump of what it writes, one reading of that. Memory is the sum of the
proportional set sizes of all processes of the tree (/proc/PID/smaps_rollup), sampled; temp space is what the job folder
held at most.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyrage

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks import kits, table  # noqa: E402
from benchmarks.kits import Case  # noqa: E402
from benchmarks.process_tree import Run, measure  # noqa: E402
from kit.encryption import AgeRecord, create, new_keyring  # noqa: E402
from kit.signing import Algorithm, PrivateKey, generate, write_private, write_public  # noqa: E402
from kit.values import Timestamp  # noqa: E402

CORES = os.cpu_count() or 1
MAIN = Case(source="content")
"""The case that is also measured with other numbers of workers, and beside a peer."""
CASES = (
    MAIN,
    Case(source="snapshot"),
    Case(source="content", member=".zst"),
    Case(source="content", member=".gz"),
    Case(source="content", container="tar.gz"),
    Case(source="content", average=4000),
    Case(source=kits.SECOND),
    Case(source=kits.SECOND, container="tar.gz"),
    Case(source=kits.ENCRYPT),
)
USUAL, QUICK = 6000, 20_000
QUICK_RUNS = 5
PEER_MOST = 200_000
"""Observations; the peer is not asked for more, since it takes minutes for a million."""
_CREATED_AT = "1790000000"
CHECKOUT = (sys.executable, "-P", "-c", "from kit.cli import main; main()")
"""Runs the toolkit of this checkout, as it is installed in the environment for development."""
PUMP = (sys.executable, str(ROOT / "benchmarks/pump.py"))


def ran(command: Sequence[str], job: Path | None = None) -> Run:
    """Measure a command that has all the time it needs."""
    run = measure(command, job)
    assert run is not None, "there was no limit"  # noqa: S101  for the type checker
    return run


@dataclass(slots=True, kw_only=True)
class Desk:
    """Where kits are made and measured, and with which keys."""

    folder: Path
    runs: int
    options: Sequence[str] = ()
    """More of them for ``kit patch``."""
    again: bool = False
    """Whether the result is patched a second time, which must change nothing."""
    reference: bool = False
    """Whether the patch is also made without the core, with the same bytes as a result."""
    program: Sequence[str] = CHECKOUT
    """What runs ``kit``."""
    key: PrivateKey = field(default_factory=lambda: generate(Algorithm.ES256))

    def __post_init__(self) -> None:
        write_private(self._private, self.key)
        write_public(self._public, self.key.public)

    @property
    def _private(self) -> Path:
        return self.folder / "bench-TEST-ONLY.pem"

    @property
    def _public(self) -> Path:
        return self.folder / "bench-TEST-ONLY.pub.pem"

    def make(self, case: Case, observations: int) -> tuple[Path, int]:
        """Make the kit of a case; give it, and the bytes of its members, decompressed."""
        # The pump knows by the name whether it must open the members.
        kit = self.folder / f"{'inner' if case.member else 'plain'}.{case.container}"
        size = kits.make_kit(kit, case, observations, self.key)
        if case.source == kits.SECOND:
            first = self.folder / f"first.{case.container}"
            tenants = [word for tenant in kits.TENANTS for word in ("--tenant", tenant)]
            ran([*self.patch(kit, first, CORES), *tenants])
            first.replace(kit)
            for path in self.folder.glob(f"{first.name}*"):
                path.unlink()
        return kit, size

    def patch(self, kit: Path, out: Path, workers: int) -> list[str]:
        """Give the command that patches a kit."""
        names = (str(kit), "-o", str(out), "--signing-key", str(self._private), "--trusted-key", str(self._public))
        return [*self.program, "patch", *names, "--workers", str(workers), "--created-at", _CREATED_AT]

    def measure(self, case: Case, kit: Path, observations: int, workers: int) -> list[dict[str, Run]]:
        """Time the yardsticks, patch, verify and, where there is one, the peer, in turn."""
        out = kit.with_name(f"{kit.name.partition('.')[0]}-out.{case.container}")
        options = [*(encryption(self.folder) if case.source == kits.ENCRYPT else ()), *self.options]
        rows: list[dict[str, Run]] = []
        for _ in range(self.runs):
            self._clear(out)
            patch = [*self.patch(kit, out, workers), *options]
            row = {
                "pump": ran([*PUMP, "pump", str(kit)]),
                "base": ran([*PUMP, "read", str(kit)]),
                "patch": ran(patch, out.with_name(f"{out.name}.kit-job")),
                "result": ran([*PUMP, "pump", str(out)]),
                "read": ran([*PUMP, "read", str(out)]),
                "verify": ran(
                    [*self.program, "verify", str(out), "--trusted-key", str(self._public), "--workers", str(workers)]
                ),
            }
            if self.reference:
                row["reference"] = self._without_core(out, patch)
            if self.again:
                row["again"] = self._again(case, out, workers, options)
            if replace(case, average=None) == MAIN and workers == CORES and observations <= PEER_MOST:
                peer = self.folder / "peer.tar.zst"
                row["peer"] = ran([sys.executable, str(ROOT / "benchmarks/peer.py"), str(kit), str(peer)])
                peer.unlink()
            rows.append(row)
        self._clear(out)
        return rows

    def _again(self, case: Case, out: Path, workers: int, options: Sequence[str]) -> Run:
        """Patch the result as the kit was patched; the outcome must be a copy of it."""
        copy = self.folder / f"again.{case.container}"
        run = ran([*self.patch(out, copy, workers), *options])
        if not filecmp.cmp(out, copy, shallow=False):
            raise SystemExit("the second patch changed something")
        self._clear(copy)
        return run

    def _without_core(self, out: Path, patch: Sequence[str]) -> Run:
        """Patch with the reference; the outcome must be the same."""
        kept = out.with_name(f"core-{out.name}")
        out.replace(kept)
        self._clear(out)
        run = ran(["env", "KIT_CORE=off", *patch])
        if not filecmp.cmp(out, kept, shallow=False):
            raise SystemExit("core and reference disagree")
        kept.unlink()
        return run

    def _clear(self, kit: Path) -> None:
        for path in self.folder.glob(f"{kit.name}*"):
            path.unlink()


def encryption(folder: Path) -> list[str]:
    """Give the options of an encryption with a keyring that needs no passphrase; keys are the same in every run.

    The uses that each run reserves are all that changes in it.
    """
    keyring, field_map = folder / "bench-TEST-ONLY.keyring", folder / "bench.map.json"
    identity = folder / "bench-TEST-ONLY.identity"
    if not keyring.exists():
        secret = pyrage.x25519.Identity.generate()
        identity.write_text(f"{secret}\n")
        create(keyring, new_keyring(AgeRecord.make((str(secret.to_public()),)), now=Timestamp(0)))
        field_map.write_text(json.dumps(kits.FIELD_MAP))
    return [
        *("--transform", "encrypt-fields", "--field-map", str(field_map), "--keyring", str(keyring)),
        *("--age-identity", str(identity), "--rollback-note", "a measurement"),
    ]


def summary(
    case: Case, *, observations: int, size: int, workers: int, stored: int, rows: list[dict[str, Run]]
) -> dict[str, Any]:
    """Give the medians of a case, and every run."""

    def seconds(name: str) -> float | None:
        return statistics.median(row[name].seconds for row in rows) if name in rows[0] else None

    def ratio(name: str, to: str) -> float:
        return statistics.median(row[name].seconds / row[to].seconds for row in rows)

    patch = seconds("patch") or 0.0
    return {
        "case": case.name,
        "observations": observations,
        "workers": workers,
        "bytes": size,
        "storedBytes": stored,
        "runs": [{name: asdict(run) for name, run in row.items()} for row in rows],
        "pumpSeconds": seconds("pump"),
        "patchSeconds": patch,
        "patchRatio": ratio("patch", "pump"),
        "floorRatio": statistics.median(
            row["patch"].seconds / (row["base"].seconds + row["result"].seconds + row["read"].seconds) for row in rows
        ),
        "readRatio": ratio("patch", "read"),
        "verifySeconds": seconds("verify"),
        "verifyRatio": ratio("verify", "read"),
        "documentsPerSecond": observations / patch,
        "megabytesPerSecond": size / patch / 1e6,
        "peakBytes": max(row["patch"].peak_bytes for row in rows),
        "verifyPeakBytes": max(row["verify"].peak_bytes for row in rows),
        "peerSeconds": seconds("peer"),
        "referenceSeconds": seconds("reference"),
        "againSeconds": seconds("again"),
        "againPeakBytes": max((row["again"].peak_bytes for row in rows if "again" in row), default=None),
        "tempBytes": max(row["patch"].temp_bytes for row in rows),
    }


def main() -> None:
    """Run what the options say."""
    chosen = _options()
    runs = chosen.runs or (QUICK_RUNS if chosen.quick else 5)
    # A user's environment has byte code; compiling sources anew for every process is not what is measured.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    facts = _circumstances(runs, chosen.program or CHECKOUT)
    print(table.machine(facts))
    print(table.text(table.HEADS), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="kit-bench-", dir=chosen.folder))
    try:
        desk = Desk(
            folder=folder,
            runs=runs,
            options=chosen.option,
            again=chosen.again,
            reference=chosen.quick or chosen.reference,
            program=chosen.program or CHECKOUT,
        )
        for result in _results(desk, chosen):
            facts["results"].append(result)
            print(table.text(table.row(result)), flush=True)
    finally:
        shutil.rmtree(folder)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    if chosen.plot:
        # A process of its own: what draws is no part of what is needed to measure.
        subprocess.run(
            [sys.executable, str(ROOT / "benchmarks/plot.py"), "-", str(chosen.plot)],
            input=json.dumps(facts),
            text=True,
            check=True,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--observations", type=int, action="append", help=f"how many; repeatable (default {USUAL}; quick: {QUICK})"
    )
    parser.add_argument("--owners", type=int, default=kits.OWNERS, help="of what is encrypted (default 100)")
    parser.add_argument("--runs", type=int, help=f"of each case (default 5; quick: {QUICK_RUNS})")
    parser.add_argument("--workers", type=int, action="append", help="repeatable (default: the cores)")
    parser.add_argument("--case", action="append", help="only cases whose name contains this; repeatable")
    parser.add_argument(
        "--quick", action="store_true", help="every case, the first with 1, 2 and 4 workers, also without the core"
    )
    parser.add_argument(
        "--reference", action="store_true", help="also without the core (always where --quick is given)"
    )
    parser.add_argument("--program", nargs=1, metavar="KIT", help="what to measure (benchmarks/run: an installed one)")
    parser.add_argument("--again", action="store_true", help="also a second patch, which must change nothing")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw them here")
    parser.add_argument("--folder", type=Path, help="work here instead of a temporary folder")
    parser.add_argument("--option", action="append", default=[], help="one more for kit patch, as --option=--merkle")
    return parser.parse_args()


def _circumstances(runs: int, program: Sequence[str]) -> dict[str, Any]:
    """Say by what and where it is measured; the results are to come."""
    return {
        "command": shlex.join(["benchmarks/run", *_told(sys.argv[1:])]),
        "machine": platform.machine(),
        "cores": CORES,
        "python": platform.python_version(),
        "core": _core(program),
        "load": round(os.getloadavg()[0], 1),
        "runs": runs,
        "results": [],
    }


def _results(desk: Desk, chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure the cases that were chosen, one after another."""
    for case in (replace(case, owners=chosen.owners) for case in CASES):
        if chosen.case and not any(text in case.name for text in chosen.case):
            continue
        for observations in chosen.observations or [QUICK if chosen.quick else USUAL]:
            kit, size = desk.make(case, observations)
            usual = sorted({1, 2, 4, CORES}) if chosen.quick and case == MAIN else [CORES]
            for workers in chosen.workers or usual:
                yield summary(
                    case,
                    observations=observations,
                    size=size,
                    workers=workers,
                    stored=kit.stat().st_size,
                    rows=desk.measure(case, kit, observations, workers),
                )
            kit.unlink()


def _told(words: Sequence[str]) -> Iterator[str]:
    """Yield what was asked of benchmarks/run, which adds the program."""
    for before, word in zip(("", *words), words, strict=False):
        if "--program" not in {before, word}:
            yield word


def _core(program: Sequence[str]) -> str:
    """Return what the program that is measured says of its core."""
    done = subprocess.run([*program, "--version"], cwd="/", check=True, capture_output=True, text=True)
    return next(line.strip() for line in done.stdout.splitlines() if "core" in line)


if __name__ == "__main__":
    main()
