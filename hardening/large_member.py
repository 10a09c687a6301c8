#!/usr/bin/env python3
"""Patches and verifies a signed kit of one member beyond every 32-bit and 33-bit boundary: time and peak memory.

The member is a collection of that many GiB, of real or made-up advisories under running numbers: sound, and so
repetitive that a hundredth of the disk is enough. It is patched beside itself (``rawLinkset`` for every document), and
the result verified with ``--deep --require-raw-linkset``. Memory is the sum of the proportional set sizes of all
processes, sampled. Exits 1 where a command fails or one of them holds more than a gibibyte.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks import kits  # noqa: E402
from benchmarks.process_tree import measure  # noqa: E402
from kit.signing import Algorithm, generate, write_private, write_public  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
COMMAND = [sys.executable, "-c", "from kit.cli import main; main()"]
_TEMPLATES = 8


def collection_of(size: int) -> list[tuple[str, int, Iterator[bytes]]]:
    """Give the one member: at least ``size`` bytes of documents."""
    records = kits.load_records(_TEMPLATES)
    templates = [kits.template(record, number)[0] for number, record in enumerate(records)]
    count = (size // sum(map(len, templates)) + 1) * len(templates)
    return [kits.repeated("advisory_observations", templates, count)]


def main(arguments: list[str]) -> int:
    """Make the kit, patch it, verify what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=9, help="of the one member (default 9)")
    parser.add_argument("--container", default="tar.zst", choices=("tar", "tar.gz", "tar.zst"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    within = True
    with tempfile.TemporaryDirectory(prefix="kit-large-") as scratch:
        folder = Path(scratch)
        key, private, public = generate(Algorithm.ES256), folder / "key-TEST-ONLY.pem", folder / "key-TEST-ONLY.pub.pem"
        write_private(private, key)
        write_public(public, key.public)
        kit, out = (folder / f"{name}.{options.container}" for name in ("kit", "out"))
        members = collection_of(int(options.gib * GIB))
        kits.write_kit(kit, members, key, container=options.container)
        print(f"{'one member':<12}{members[0][1]:>15,} bytes, kit {kit.stat().st_size:,} bytes", flush=True)
        trust, workers = ["--trusted-key", str(public)], ["--workers", str(options.workers)]
        for name, command in (
            ("patch", ["patch", str(kit), "-o", str(out), "--signing-key", str(private), *trust, *workers]),
            ("verify", ["verify", str(out), *trust, *workers, "--deep", "--require-raw-linkset"]),
        ):
            run = measure([*COMMAND, *command], folder / f"{out.name}.kit-job")
            if run is None:
                return 1
            within = within and run.peak_bytes <= GIB
            print(
                f"{name:<12}{run.seconds:>9.0f} s{run.cpu_seconds:>9.0f} s of CPU{run.peak_bytes / MIB:>7.0f} MiB",
                flush=True,
            )
        print(f"{'patched':<12}{out.stat().st_size:>15,} bytes")
    print("patched and verified within a gibibyte" if within else "MORE than a gibibyte")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
