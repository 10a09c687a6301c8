#!/usr/bin/env python3
"""Opens bombs with ``kit inspect`` and prints what each cost: size, seconds, peak memory, exit code, and the refusal.

A bomb is a small kit that asks for much: of memory, of time, of depth. Memory is the sum of the proportional set sizes
of all processes (/proc/PID/smaps_rollup), sampled. Exits 1 where one costs more than a gibibyte or ends in any other
way than it should. ``--only WORD`` takes those whose name holds it.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from scripts.process_tree import tree_bytes  # noqa: E402
from tests.archive.building import END, header, member, padded  # noqa: E402
from tests.attacks import bombs  # noqa: E402
from tests.attacks.bombs import GIB, MANIFEST, OBSERVATIONS  # noqa: E402

MIB = 1 << 20
COMMAND = [sys.executable, "-c", "from kit.cli import main; main()"]


def _collection(text: bytes, times: int) -> bytes:
    return bombs.zstd_repeated_in(header(OBSERVATIONS, size=bombs.size_field(len(text) * times)), text, times)


def _manifest(text: bytes, times: int) -> bytes:
    body = text * times
    return bombs.zstd_of(iter((header(MANIFEST, size=len(body)), padded(body), END)))


def _tenants(count: int, length: int) -> bytes:
    def documents() -> list[bytes]:
        return [bombs.tenant_document(b"%09d" % number + b"t" * length) for number in range(count)]

    one = len(bombs.tenant_document(b"%09d" % 0 + b"t" * length))
    size = one * count
    parts = (header(OBSERVATIONS, size=bombs.size_field(size)), *documents(), bytes(-size % 512), END)
    return bombs.zstd_of(iter(parts))


def _twice(count: int) -> bytes:
    packed = bombs.packed_documents(count)
    return bombs.zstd_of(iter((member(OBSERVATIONS + b".gz", packed), END)))


def _history(count: int, size: int) -> bytes:
    def parts() -> Iterator[bytes]:
        body = padded(b" " * size)
        for number in range(count):
            yield header(b"manifest/history/%d/offline-manifest.json" % number, size=size)
            yield body
        yield END

    return bombs.zstd_of(parts())


BOMBS: dict[str, tuple[Callable[[], bytes], int]] = {
    "zstd: 1 TiB of zeros in one member": (
        lambda: bombs.zstd_runs(header(b"zeros", size=bombs.size_field(1024 * GIB)), 16 * GIB),
        9,
    ),
    "zstd: a window of 2 GiB": (lambda: b"\x28\xb5\x2f\xfd\x00\xa8" + bombs.zstd_block(1, b"\0", 9, last=True), 9),
    "gzip: 4 GiB of zeros in one member": (
        lambda: bombs.gzip_zeros(header(b"zeros", size=bombs.size_field(4 * GIB)), 4 * GIB),
        9,
    ),
    "gzip in zstd: 16 GiB of documents": (lambda: _twice(256), 9),
    "tar: a million empty members": (lambda: bombs.zstd_of(bombs.empty_members(1_000_000)), 9),
    "tar: names of 4,000 bytes": (lambda: bombs.zstd_of(bombs.long_names(300_000, 3_900)), 9),
    "JSON: a manifest of 2 million objects": (lambda: _manifest(b"[" + b'{"a":1},' * (990_000) + b"0]", 1), 0),
    "tar: folders in folders": (lambda: bombs.zstd_of(bombs.deep_names(100_000, 60)), 9),
    "tar: header records without end": (lambda: bombs.zstd_of(bombs.global_records(300_000)), 9),
    "tar: a name record of 4 GiB": (lambda: bombs.zstd_of(iter((header(size=1 << 32, flag=b"L"),))), 9),
    "JSON: a manifest of 60 MiB of []": (lambda: _manifest(b"[" + b"[]," * (20 * MIB) + b"0]", 1), 0),
    "JSON: a manifest of nothing but [": (lambda: _manifest(b"[", 60 * MIB), 0),
    "JSON: a manifest of 4 million values": (lambda: _manifest(b"[" + b"{}," * (4_000_000) + b"0]", 1), 0),
    "history: 40 manifests of 60 MiB": (lambda: _history(40, 60 * MIB), 9),
    "BSON: 64 documents of 16 MiB": (lambda: _collection(bombs.document(16 * MIB), 64), 9),
    "BSON: a document of 2 GiB in 4 bytes": (lambda: _collection(struct.pack("<i", 2**31 - 1), 1), 9),
    "BSON: 2 million levels": (lambda: _collection(bombs.nested_document(2_000_000), 8), 0),
    "BSON: 16 MiB of nulls": (lambda: _collection(bombs.wide_document(16 * MIB), 2), 9),
    "BSON: 5 million documents of 5 bytes": (lambda: _collection(b"\x05\0\0\0\0", 5_000_000), 0),
    "BSON: 100,000 tenants": (lambda: _tenants(100_000, 20), 9),
    "BSON: 2,000 tenants of 1 MiB": (lambda: _tenants(2_000, MIB), 9),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one command cost."""

    seconds: float
    peak_bytes: int
    code: int
    told: str


def cost(command: list[str]) -> Cost:
    """Run a command and watch it."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], tree_bytes(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, told = process.communicate()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    return Cost(seconds=seconds, peak_bytes=peak[0], code=process.returncode, told=told.partition("\n")[0])


def main(arguments: list[str]) -> int:
    """Explode them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--workers", default=1, type=int)
    options = parser.parse_args(arguments)
    wrong = 0
    print(f"{'bomb':<40}{'bytes':>10}{'seconds':>9}{'MiB':>7}{'exit':>6}  refusal")
    with tempfile.TemporaryDirectory(prefix="kit-bombs-") as scratch:
        kit = Path(scratch) / "kit"
        for name, (make, expected) in BOMBS.items():
            if options.only not in name:
                continue
            kit.write_bytes(make())
            met = cost([*COMMAND, "inspect", str(kit), "--workers", str(options.workers)])
            told = met.told.replace(str(kit), "kit").removeprefix("kit: error: ")
            size = kit.stat().st_size
            print(
                f"{name:<40}{size:>10,}{met.seconds:>9.1f}{met.peak_bytes / MIB:>7.0f}{met.code:>6}  {told[:110]}",
                flush=True,
            )
            wrong += met.code != expected or met.peak_bytes > GIB
    print("all within a gibibyte, and as expected" if not wrong else f"{wrong} not as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
