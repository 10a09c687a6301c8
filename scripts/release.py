#!/usr/bin/env python3
"""Builds what is released, twice, and refuses to release what is not the same bytes both times.

The core's wheel is for this platform and every Python from 3.11 on; the package's is for any. Both say nothing of the
folder they were built in. Needs cargo, and a registry for the build tools that build-constraints.txt pins.

    scripts/release --output dist/
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from scripts.building import build_core, build_package, build_sources  # noqa: E402


def built() -> dict[str, bytes]:
    """Build all, and return each file by its name."""
    with tempfile.TemporaryDirectory(prefix="kit-release-") as scratch:
        place = Path(scratch)
        build_core(place)
        build_package(place)
        build_sources(place)
        return {path.name: path.read_bytes() for path in sorted(place.iterdir())}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Return the names of what is not the same in both, or in one alone."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def main(arguments: list[str]) -> int:
    """Build, compare, and write the files with their digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("dist"), help="folder for the files (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        first, second = built(), built()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"release: error: {error}", file=sys.stderr)
        return 1
    if found := differing(first, second):
        print(f"release: error: built twice, not the same bytes: {', '.join(found)}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for name, data in first.items():
        (options.output / name).write_bytes(data)
    digests = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in first.items())
    (options.output / "SHA256SUMS").write_text(digests, encoding="ascii")
    print(f"built twice: the same bytes\n{digests}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
