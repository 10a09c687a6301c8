#!/usr/bin/env python3
"""Compares gzip codecs on 4 MiB of observations: the figures of docs/design/gzip-codec.md.

The observations are made of the made-up advisories of the fixtures, or taken from a BSON file of your own. zlib-ng and
isal are measured where they are installed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import bson
import deflate

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from fixtures.build.kits import Document, plain_observation  # noqa: E402

_SIZE = 4 * 1024 * 1024
_NUMBERS_PER_ADVISORY = 40


def observations() -> bytes:
    """Give 4 MiB of made-up observations."""
    parts: list[bytes] = []
    size = 0
    while size < _SIZE:
        parts.append(bson.encode(_varied(len(parts))))
        size += len(parts[-1])
    return b"".join(parts)[:_SIZE]


def codecs() -> Iterator[tuple[str, int, Callable[[bytes, int], bytes]]]:
    """Give (library, level, function) for every codec that is there."""
    for library, module, levels in (
        ("isal", "isal.isal_zlib", (0, 1, 2, 3)),
        ("zlib-ng", "zlib_ng.zlib_ng", (1, 2, 6)),
    ):
        try:
            found = importlib.import_module(module)
        except ImportError:
            print(f"{library} is not installed", file=sys.stderr)
            continue
        for level in levels:
            yield library, level, found.compress
    for level in (1, 6):
        yield "libdeflate", level, _libdeflate
    for level in (1, 6):
        yield "zlib", level, zlib.compress


def best_seconds(compress: Callable[[bytes, int], bytes], data: bytes, level: int, runs: int) -> float:
    """Time a call, the fastest of ``runs``."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        compress(data, level)
        times.append(time.perf_counter() - start)
    return min(times)


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bson", type=Path, metavar="FILE", help="take the first 4 MiB of this file instead")
    parser.add_argument("--runs", type=int, default=5, help="runs of each; the fastest counts")
    options = parser.parse_args(arguments)
    data = options.bson.read_bytes()[:_SIZE] if options.bson else observations()
    print(f"{len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()[:16]}…\n")
    print("| library | level | MB/s | ratio | SHA-256 of the output |")
    print("|---|---|---|---|---|")
    for library, level, compress in codecs():
        output = compress(data, level)
        speed = len(data) / best_seconds(compress, data, level, options.runs) / 1e6
        digest = hashlib.sha256(output).hexdigest()[:12]
        print(f"| {library} | {level} | {speed:.0f} | {len(output) / len(data):.3f} | {digest} |")
    return 0


def _libdeflate(data: bytes, level: int) -> bytes:
    return bytes(deflate.zlib_compress(data, level))


def _varied(number: int) -> Document:
    """Give an observation with as much that does not repeat as published ones have: hashes, times, commits."""
    document = plain_observation(number)
    digests = (hashlib.sha256(f"{number} {place}".encode()).hexdigest() for place in range(_NUMBERS_PER_ADVISORY))
    return document | {"attributes": {"commits": [digest[:12] for digest in digests]}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
