"""Compares structures for the snapshot lookup: the toolkit's SQLite file, LMDB, and sorted runs merged into one file.

    python benchmarks/lookup.py [--entries N]

Each builds from N pairs (33-byte key, value of 1 kB on average) in the order of the kit, which for digests is a random
one, and then finds every key in batches as large as a run of documents, in the same order and in another. Each is a
process of its own; memory is its peak resident set, pages of a mapped file included. LMDB is measured where the package
``lmdb`` is installed; it is no dependency.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import heapq
import importlib.util
import json
import mmap
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from kit.engine.lookup import LookupReader, LookupWriter  # noqa: E402

BATCH = 640
RUN_BYTES = 64 << 20
SPARSE = 64
FILLER = random.Random(1).randbytes(1 << 16)  # noqa: S311  no secret


def key_of(number: int) -> bytes:
    """Give the key of an entry: as good as random, as digests are."""
    return b"S" + hashlib.sha256(b"%d" % number).digest()


def pairs(count: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Give the entries, a run at a time."""
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        yield [(key_of(n), FILLER[n % 60_000 : n % 60_000 + 500 + n % 1000]) for n in numbers]


class Sqlite:
    """What the toolkit uses."""

    def build(self, path: Path, count: int) -> None:
        """Write."""
        with LookupWriter(path) as writer:
            for batch in pairs(count):
                writer.put(batch)
            writer.finish()
        self.reader = LookupReader(writer.path)

    def find(self, keys: list[bytes]) -> int:
        """Read."""
        return len(self.reader.find(keys))


class Lmdb:
    """A memory-mapped B+ tree."""

    def build(self, path: Path, count: int) -> None:
        """Write, without waiting for the disk, as the others do not."""
        import lmdb  # type: ignore[import-not-found]  # noqa: PLC0415

        self.database = lmdb.open(
            str(path), subdir=False, map_size=1 << 40, sync=False, metasync=False, writemap=True, lock=False
        )
        for batch in pairs(count):
            with self.database.begin(write=True) as transaction, transaction.cursor() as cursor:
                cursor.putmulti(sorted(batch))

    def find(self, keys: list[bytes]) -> int:
        """Read."""
        with self.database.begin(buffers=True) as transaction:
            return sum(transaction.get(key) is not None for key in sorted(keys))


class SortedRuns:
    """Runs sorted in memory, merged into one file, every 64th key held."""

    def build(self, path: Path, count: int) -> None:
        """Write."""
        runs: list[Path] = []
        held: list[tuple[bytes, bytes]] = []
        size = 0
        for batch in pairs(count):
            held += batch
            size += sum(len(value) for _, value in batch)
            if size > RUN_BYTES:
                runs.append(self._write(path.with_suffix(f".{len(runs)}"), iter(sorted(held))))
                held, size = [], 0
        runs.append(self._write(path.with_suffix(f".{len(runs)}"), iter(sorted(held))))
        self.keys: list[bytes] = []
        self.places: list[int] = []
        at = 0
        with path.open("wb") as file:
            for number, (key, value) in enumerate(heapq.merge(*map(self._read, runs))):
                if number % SPARSE == 0:
                    self.keys.append(key)
                    self.places.append(at)
                at += file.write(key + len(value).to_bytes(4, "little") + value)
        with path.open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @staticmethod
    def _write(path: Path, items: Iterator[tuple[bytes, bytes]]) -> Path:
        with path.open("wb") as file:
            for key, value in items:
                file.write(key + len(value).to_bytes(4, "little") + value)
        return path

    @staticmethod
    def _read(path: Path) -> Iterator[tuple[bytes, bytes]]:
        with path.open("rb") as file:
            while head := file.read(37):
                yield head[:33], file.read(int.from_bytes(head[33:], "little"))

    def find(self, keys: list[bytes]) -> int:
        """Read."""
        found = 0
        for key in sorted(keys):
            at = self.places[bisect.bisect_right(self.keys, key) - 1]
            for _ in range(SPARSE):
                met, size = self.map[at : at + 33], int.from_bytes(self.map[at + 33 : at + 37], "little")
                if met == key:
                    found += len(self.map[at + 37 : at + 37 + size]) >= 0
                if met >= key:
                    break
                at += 37 + size
        return found


STRUCTURES: dict[str, type[Any]] = {"SQLite": Sqlite, "LMDB": Lmdb, "sorted runs": SortedRuns}


def measure(name: str, count: int, folder: Path) -> dict[str, Any]:
    """Build and read one structure, in this process."""
    structure = STRUCTURES[name]()
    started = time.perf_counter()
    structure.build(folder / "lookup", count)
    figures: dict[str, Any] = {"build": time.perf_counter() - started}
    batches = [list(range(start, min(start + BATCH, count))) for start in range(0, count, BATCH)]
    for order in ("same", "other"):
        started = time.perf_counter()
        for batch in batches:
            if structure.find([key_of(number) for number in batch]) != len(batch):
                raise SystemExit(f"{name}: a key was not found")
        figures[order] = time.perf_counter() - started
        random.Random(2).shuffle(batches)  # noqa: S311  no secret
    figures["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures["size"] = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    return figures


def main() -> None:
    """Run what the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="work here instead of a temporary folder")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(measure(chosen.only, chosen.entries, chosen.folder)))
        return
    print(f"{chosen.entries:,} entries; µs an entry, MiB")
    print(f"{'':12} {'build':>7} {'find':>7} {'find in another order':>22} {'peak':>7} {'disk':>7}")
    for name in STRUCTURES:
        if name == "LMDB" and importlib.util.find_spec("lmdb") is None:
            print(f"{name:12} the package lmdb is not installed")
            continue
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            again = [sys.executable, __file__, "--only", name, "--entries", str(chosen.entries), "--folder", folder]
            figures = json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
        each = [figures[part] / chosen.entries * 1e6 for part in ("build", "same", "other")]
        print(
            f"{name:12} {each[0]:7.2f} {each[1]:7.2f} {each[2]:22.2f} "
            f"{figures['peak'] >> 20:7,} {figures['size'] >> 20:7,}"
        )


if __name__ == "__main__":
    main()
