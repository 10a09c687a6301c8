"""What the bytes of a patched kit cost by themselves: processor time of each step that no encryption can do without.

    python benchmarks/floor.py BASE OUTPUT      zstd archives: a kit, and what a patch made of it

A patch reads its base twice and digests it, compresses and digests what it writes, and reads that back. Here the same
bytes go through the same codecs, in frames of 4 MiB and one thread, with nothing between: no process is started, no
document looked at, nothing sealed. Each figure is the least of three.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import zstandard

STEP = 4 * 1024 * 1024
_ROUNDS = 3
_LEVEL = 3
_TWICE = {"decompress the base", "digest the base as stored", "digest what the output holds"}
"""The base is read for what is needed, then to be changed; what is written is digested then and when read back."""


def decoded(kit: Path) -> Iterator[bytes]:
    """Give what an archive decodes to."""
    with kit.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
        while chunk := stream.read(STEP):
            yield chunk


def decompress(kit: Path) -> None:
    """Decode an archive and drop what comes out."""
    for _ in decoded(kit):
        pass


def digest(chunks: list[bytes]) -> None:
    """Digest chunks as one."""
    whole = hashlib.sha256()
    for chunk in chunks:
        whole.update(chunk)


def compress(chunks: list[bytes]) -> None:
    """Compress each chunk as a frame, and drop it."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
    for chunk in chunks:
        compressor.compress(chunk)


def seconds(work: Callable[[], None]) -> float:
    """Give the processor time of a step."""
    found = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def steps(base: Path, output: Path) -> Iterator[tuple[str, float]]:
    """Give each step and its seconds."""
    for kit, name in ((base, "base"), (output, "output")):
        members, stored = list(decoded(kit)), [kit.read_bytes()]
        works: dict[str, Callable[[], None]] = {
            f"decompress the {name}": partial(decompress, kit),
            f"digest what the {name} holds": partial(digest, members),
            f"digest the {name} as stored": partial(digest, stored),
        }
        if name == "output":
            works["compress the output"] = partial(compress, members)
        for what, work in works.items():
            if what in _TWICE:
                yield f"{what}, twice", 2 * seconds(work)
            else:
                yield what, seconds(work)


def main() -> None:
    """Print the steps and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("output", type=Path)
    chosen = parser.parse_args()
    total = 0.0
    for what, spent in steps(chosen.base, chosen.output):
        total += spent
        print(f"{spent:8.3f} s  {what}", flush=True)
    print(f"{total:8.3f} s  in all")


if __name__ == "__main__":
    main()
