"""Times the toolkit against the pump, and prints ratios (docs/benchmarks.md says what the words mean).

The pump is the yardstick: the same archive through decompress → SHA-256 → compress (zstd level 3, two threads), with
no work in between. Pump and toolkit run in turn, each as its own process tree, so that a noisy machine disturbs both;
the figure is the median of the ratios of neighbours. Memory is the sum of the proportional set sizes of all processes
of the tree (/proc/PID/smaps_rollup), sampled; temp space is what the job folder held at most.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import deflate
import pyrage
import zstandard
from isal import isal_zlib

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit.encryption import AgeRecord, create, new_keyring  # noqa: E402
from kit.signing import Algorithm, generate, write_private, write_public  # noqa: E402
from kit.values import Timestamp  # noqa: E402
from scripts import bench_kits, bench_plot  # noqa: E402
from scripts.process_tree import Run, measure  # noqa: E402

STEP = 1 << 20
CASES = (
    bench_kits.Case(source="content"),
    bench_kits.Case(source="snapshot"),
    bench_kits.Case(source="content", member=".zst"),
    bench_kits.Case(source="content", member=".gz"),
    bench_kits.Case(source="content", container="tar.gz"),
    bench_kits.Case(source=bench_kits.ENCRYPT),
)


def pump(kit: Path, container: str) -> None:
    """Decompress → SHA-256 → compress, and nothing else; decompression and hashing overlap with compression."""
    digest = hashlib.sha256()
    with kit.open("rb") as file, Path(os.devnull).open("wb") as sink:
        compressor: Any = zstandard.ZstdCompressor(level=3, threads=2).stream_writer(sink)
        for chunk in _decompressed(file, container):
            digest.update(chunk)
            if container == "tar.gz":
                deflate.gzip_compress(chunk, 1)
            else:
                compressor.write(chunk)
        compressor.close()


def unpump(kit: Path, container: str) -> None:
    """Decompress → SHA-256: the yardstick of verify."""
    digest = hashlib.sha256()
    with kit.open("rb") as file:
        for chunk in _decompressed(file, container):
            digest.update(chunk)


def _decompressed(file: Any, container: str) -> Any:
    if container == "tar.zst":
        stream: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while chunk := stream.read(STEP):
            yield chunk
        return
    decoder = isal_zlib.decompressobj(31)
    while data := file.read(STEP):
        while data:
            yield decoder.decompress(data)
            data = decoder.unused_data
            if decoder.eof:
                decoder = isal_zlib.decompressobj(31)


def ran(command: Sequence[str], job: Path | None = None) -> Run:
    """Measure a command that has all the time it needs."""
    run = measure(command, job)
    assert run is not None, "there was no limit"  # noqa: S101  for the type checker
    return run


def bench_case(
    case: bench_kits.Case,
    observations: int,
    *,
    runs: int,
    workers: int,
    folder: Path,
    options: Sequence[str] = (),
    again: bool = False,
) -> dict[str, Any]:
    """Make the kit of a case, and time pump, patch, the verify yardstick and verify in turn.

    With ``again``, also a second patch, of the result: it must change nothing.
    """
    key_path = folder / "bench-TEST-ONLY.pem"
    key = generate(Algorithm.ES256)
    for path in (key_path, folder / "bench-TEST-ONLY.pub.pem"):
        path.unlink(missing_ok=True)
    write_private(key_path, key)
    public = folder / "bench-TEST-ONLY.pub.pem"
    write_public(public, key.public)
    kit, out = folder / f"bench.{case.container}", folder / f"out.{case.container}"
    size = bench_kits.make_kit(kit, case, observations, key)
    me, cli = [sys.executable, __file__], [sys.executable, "-P", "-c", "from kit.cli import main; main()"]
    patch = [*cli, "patch", str(kit), "-o", str(out), "--signing-key", str(key_path), "--trusted-key", str(public)]
    if case.source == bench_kits.ENCRYPT:
        patch += encryption(folder)
    patch += options
    verify = [*cli, "verify", str(out), "--trusted-key", str(public), "--workers", str(workers)]
    rows: list[dict[str, Run]] = []
    for _ in range(runs):
        for path in folder.glob(f"{out.name}*"):
            path.unlink()
        rows.append(
            {
                "pump": ran([*me, "--pump", str(kit), case.container]),
                "patch": ran(
                    [*patch, "--workers", str(workers), "--created-at", "1790000000"], folder / f"{out.name}.kit-job"
                ),
                "unpump": ran([*me, "--unpump", str(out), case.container]),
                "verify": ran(verify),
            }
        )
        if again:
            rows[-1]["again"] = _second(patch, kit, out, workers)
    return _summary(case, observations=observations, size=size, workers=workers, stored=kit.stat().st_size, rows=rows)


def _second(patch: Sequence[str], kit: Path, out: Path, workers: int) -> Run:
    """Patch the result as the kit was patched; the outcome must be a copy of it."""
    copy = out.with_name(f"again-{out.name}")
    for path in out.parent.glob(f"{copy.name}*"):
        path.unlink()
    command = [{str(kit): str(out), str(out): str(copy)}.get(word, word) for word in patch]
    run = ran(
        [*command, "--workers", str(workers), "--created-at", "1790000000"], copy.with_name(f"{copy.name}.kit-job")
    )
    if not filecmp.cmp(out, copy, shallow=False):
        raise SystemExit("the second patch changed something")
    copy.unlink()
    return run


def encryption(folder: Path) -> list[str]:
    """Give the options of an encryption with a keyring that needs no passphrase: keys are made, for every run the same.

    The uses that each run reserves are all that changes in it.
    """
    keyring, field_map = folder / "bench-TEST-ONLY.keyring", folder / "bench.map.json"
    if not keyring.exists():
        identity = pyrage.x25519.Identity.generate()
        (folder / "bench-TEST-ONLY.identity").write_text(f"{identity}\n")
        record = AgeRecord.make((str(identity.to_public()),))
        create(keyring, new_keyring(record, now=Timestamp(0)))
        field_map.write_text(json.dumps(bench_kits.FIELD_MAP))
    return [
        *("--transform", "encrypt-fields", "--field-map", str(field_map), "--keyring", str(keyring)),
        *("--age-identity", str(folder / "bench-TEST-ONLY.identity"), "--rollback-note", "a measurement"),
    ]


def _summary(
    case: bench_kits.Case, *, observations: int, size: int, workers: int, stored: int, rows: list[dict[str, Run]]
) -> dict[str, Any]:
    patch = statistics.median(row["patch"].seconds for row in rows)
    return {
        "case": case.name,
        "observations": observations,
        "workers": workers,
        "bytes": size,
        "storedBytes": stored,
        "runs": [{name: asdict(run) for name, run in row.items()} for row in rows],
        "pumpSeconds": statistics.median(row["pump"].seconds for row in rows),
        "patchSeconds": patch,
        "patchRatio": statistics.median(row["patch"].seconds / row["pump"].seconds for row in rows),
        "verifyRatio": statistics.median(row["verify"].seconds / row["unpump"].seconds for row in rows),
        "documentsPerSecond": observations / patch,
        "megabytesPerSecond": size / patch / 1e6,
        "peakBytes": max(row["patch"].peak_bytes for row in rows),
        "verifyPeakBytes": max(row["verify"].peak_bytes for row in rows),
        "againSeconds": statistics.median(row["again"].seconds for row in rows) if "again" in rows[0] else None,
        "againPeakBytes": max(row["again"].peak_bytes for row in rows) if "again" in rows[0] else None,
        "tempBytes": max(row["patch"].temp_bytes for row in rows),
    }


HEADS = (
    "case",
    "docs",
    "workers",
    "pump s",
    "patch s",
    "ratio",
    "docs/s",
    "MB/s",
    "peak MiB",
    "temp MiB",
    "verify ratio",
    "again s",
    "again MiB",
)


def line(result: dict[str, Any]) -> tuple[str, ...]:
    """Give a result as a row of the table."""
    return (
        result["case"],
        f"{result['observations']:,}",
        str(result["workers"]),
        f"{result['pumpSeconds']:.2f}",
        f"{result['patchSeconds']:.2f}",
        f"{result['patchRatio']:.2f}",
        f"{result['documentsPerSecond']:,.0f}",
        f"{result['megabytesPerSecond']:,.0f}",
        f"{result['peakBytes'] / (1 << 20):,.0f}",
        f"{result['tempBytes'] / (1 << 20):,.0f}",
        f"{result['verifyRatio']:.2f}",
        "" if result["againSeconds"] is None else f"{result['againSeconds']:.2f}",
        "" if result["againPeakBytes"] is None else f"{result['againPeakBytes'] / (1 << 20):,.0f}",
    )


def main() -> None:
    """Run what the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, action="append", help="how many; repeatable (default 6000)")
    parser.add_argument("--owners", type=int, default=bench_kits.OWNERS, help="of what is encrypted (default 100)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, action="append", help="repeatable (default: the cores)")
    parser.add_argument("--case", action="append", help="only cases whose name contains this; repeatable")
    parser.add_argument("--quick", action="store_true", help="every case once over, in less than three minutes")
    parser.add_argument("--again", action="store_true", help="also a second patch, which must change nothing")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw them here")
    parser.add_argument("--folder", type=Path, help="work here instead of a temporary folder")
    parser.add_argument("--option", action="append", default=[], help="one more for kit patch, as --option=--merkle")
    parser.add_argument("--pump", nargs=2, metavar=("KIT", "CONTAINER"), help=argparse.SUPPRESS)
    parser.add_argument("--unpump", nargs=2, metavar=("KIT", "CONTAINER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.pump:
        return pump(Path(chosen.pump[0]), chosen.pump[1])
    if chosen.unpump:
        return unpump(Path(chosen.unpump[0]), chosen.unpump[1])
    if chosen.quick:
        chosen.runs = min(chosen.runs, 3)
    folder = Path(tempfile.mkdtemp(prefix="kit-bench-", dir=chosen.folder))
    results: list[dict[str, Any]] = []
    compiled = "compiled" if _is_compiled() else "not compiled"
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {compiled}; "
        f"{chosen.runs} runs each"
    )
    widths = (34, 9, 7, 7, 8, 6, 9, 6, 9, 9, 12, 8, 9)
    print(
        "  ".join(
            head.ljust(width) if not n else head.rjust(width)
            for n, (head, width) in enumerate(zip(HEADS, widths, strict=True))
        )
    )
    try:
        for case in (replace(case, owners=chosen.owners) for case in CASES):
            if chosen.case and not any(text in case.name for text in chosen.case):
                continue
            for observations in chosen.observations or [6000]:
                for workers in chosen.workers or [os.cpu_count() or 1]:
                    result = bench_case(
                        case,
                        observations,
                        runs=chosen.runs,
                        workers=workers,
                        folder=folder,
                        options=chosen.option,
                        again=chosen.again,
                    )
                    results.append(result)
                    cells = zip(line(result), widths, strict=True)
                    print("  ".join(c.ljust(w) if not n else c.rjust(w) for n, (c, w) in enumerate(cells)), flush=True)
    finally:
        shutil.rmtree(folder)
    if chosen.json:
        facts = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
        chosen.json.write_text(json.dumps({**facts, "compiled": _is_compiled(), "results": results}, indent=1) + "\n")
    if chosen.plot:
        bench_plot.plot(results, chosen.plot)
    return None


def _is_compiled() -> bool:
    """Ask the program that is measured; this one imports from the checkout."""
    script = "import kit.documents; print(kit.documents.COMPILED)"
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd="/", check=True, capture_output=True, text=True
    )
    return done.stdout == "True\n"


if __name__ == "__main__":
    main()
