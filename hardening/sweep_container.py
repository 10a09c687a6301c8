#!/usr/bin/env python3
"""Cuts a small signed kit at every byte and flips every bit of it: what ``kit verify`` says to each.

For .tar, .tar.gz and .tar.zst: how many of the damaged kits are refused (all must be) and with which exit codes. What
is left alone: changes that leave the very same members, each with name, mode, time and body (a time in a gzip header, a
bit that nothing reads in a zstd header, a space for a leading zero of a checksum, a cut of zero blocks behind the two
that end a tar). These are the same kit, and counted apart; each is read and compared, and verified again with the
checksum of the sound archive beside it, which is about the file and so must refuse it.
Verification runs in this process, else without a checksum beside the kit, since it would refuse everything.
``--every N`` takes every N-th byte.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from kit import Environment, Expectation, KitError, verify  # noqa: E402
from kit.archive.read.reader import open_kit  # noqa: E402
from kit.cli.commands import exit_code  # noqa: E402
from kit.signing import Algorithm, PublicKey, generate  # noqa: E402
from kit.values import Limits  # noqa: E402
from tests.kits import OBSERVATIONS, collection, observation, signed, write_kit  # noqa: E402

CONTAINERS = ("kit.tar", "kit.tar.gz", "kit.tar.zst")
_HERE = Environment(workers=1)


@dataclass(slots=True)
class Sweep:
    """What came of one kind of damage to one container."""

    tried: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    same: int = 0
    """Damaged kits that hold the very same members, header and body, and are rightly valid."""
    beside: int = 0
    """How many of these are refused with the ``.sha256`` of the sound kit beside them."""
    wrong: list[str] = field(default_factory=list)
    """Damaged kits that were called valid."""

    @property
    def refused(self) -> int:
        """How many were refused."""
        return sum(self.codes.values())


def cuts(data: bytes, every: int) -> Iterator[tuple[str, bytes]]:
    """Give the kit cut before each byte."""
    for end in range(0, len(data), every):
        yield f"cut at {end}", data[:end]


def flips(data: bytes, every: int) -> Iterator[tuple[str, bytes]]:
    """Give the kit with each bit changed."""
    for at in range(0, len(data), every):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            yield f"bit {bit} of byte {at}", bytes(changed)


def sweep(path: Path, damaged: Iterator[tuple[str, bytes]], trusted: PublicKey) -> Sweep:
    """Verify each damaged kit; ``path`` holds the sound one and is written over."""
    sound, found = _members(path), Sweep()
    checksum = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    beside = path.with_name(f"{path.name}.sha256")
    for what, data in damaged:
        path.write_bytes(data)
        found.tried += 1
        failure = _failure(path, trusted)
        if failure is not None:
            found.codes[exit_code(failure)] += 1
            continue
        beside.write_text(checksum)
        refused = _failure(path, trusted) is not None
        beside.unlink()
        if _members(path) == sound:
            found.same += 1
            found.beside += refused
        if _members(path) != sound or not refused:
            found.wrong.append(what)
    return found


def _failure(path: Path, trusted: PublicKey) -> KitError | None:
    try:
        return verify(path, Expectation(trusted={trusted.key_id: trusted}), _HERE).failure
    except KitError as error:
        return error


def _members(path: Path) -> list[tuple[object, ...]]:
    """Give all that a member is, but for the spelling of its header (a checksum may begin with a space or a zero)."""
    with open_kit(path, limits=Limits()) as reader:
        return [(one.path, one.kind, one.size, one.mode, one.mtime, b"".join(body)) for one, body in reader.members()]


def small_kit(path: Path) -> PublicKey:
    """Write a kit of three members, signed, as small as it gets."""
    key = generate(Algorithm.ES256)
    write_kit(path, signed({"readme.txt": b"read me\n", OBSERVATIONS: collection([observation(1)])}, key))
    return key.public


def main(arguments: list[str]) -> int:
    """Sweep and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--only", default="", metavar="WORD", help="only containers or damages whose name holds this")
    options = parser.parse_args(arguments)
    wrong = 0
    heads = f"{'refused':>9}{'same kit':>10}{'by .sha256':>12}{'accepted':>10}"
    print(f"{'container':<12}{'damage':<8}{'bytes':>7}{'tried':>9}{heads}  codes")
    with tempfile.TemporaryDirectory(prefix="kit-sweep-") as scratch:
        for container in CONTAINERS:
            path = Path(scratch) / container
            trusted = small_kit(path)
            data = path.read_bytes()
            for name, damaged in (("cut", cuts), ("flip", flips)):
                if options.only not in f"{container} {name}":
                    continue
                started = time.perf_counter()
                path.write_bytes(data)
                found = sweep(path, damaged(data, options.every), trusted)
                codes = ", ".join(f"{code}: {count:,}" for code, count in sorted(found.codes.items()))
                share = (
                    f"{found.tried:>9,}{found.refused:>9,}{found.same:>10,}{found.beside:>12,}{len(found.wrong):>10,}"
                )
                seconds = time.perf_counter() - started
                print(f"{container:<12}{name:<8}{len(data):>7,}{share}  {codes}  ({seconds:.0f} s)", flush=True)
                print(*found.wrong[:20], sep="\n", end="\n" if found.wrong else "")
                wrong += len(found.wrong)
    print(
        "every damaged kit is refused, or is the same kit and refused with a checksum beside it"
        if not wrong
        else f"{wrong} damaged kits were accepted"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
