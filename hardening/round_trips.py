"""Takes published kits through databases and back, whole: dump, kit, patch, import, dump, compared each time.

A test takes a share of two of them (tests/database). Needs Go for the database (scripts/database).

    hardening/round_trips [--only NAME] [--way WAY]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.database import build_programs, running_server
from scripts.storable import documents_in, obstacles
from tests import kits
from tests.database.trips import WAYS, Site, publisher, round_trip


def main(arguments: list[str]) -> int:
    """Do one round trip for each kit and way, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="kits whose name has this in it")
    parser.add_argument("--way", choices=WAYS, action="append", help="repeatable; default: each of the four")
    options = parser.parse_args(arguments)
    programs = build_programs()
    names = ("pypa-osv.tgz", "go-osv.tar.zst", "cisa-csaf.tar.zst", "cve5-foreign.tar.gz")
    print(f"{'kit':22}{'way':16}{'documents':>10}{'without source':>16}{'s':>7}  outcome")
    failed = 0
    for path in (kits.REAL / name for name in names if options.only in name):
        for way in options.way or WAYS:
            with tempfile.TemporaryDirectory() as folder:
                failed += not _line(Site(Path(folder), programs), path, way)
    return min(failed, 1)


def _line(site: Site, path: Path, way: str) -> bool:
    base = site.extracted(path, publisher(path), name="looked-at")
    left = sum(bool(obstacles(one)) for file in base.rglob("*.bson") for one in documents_in(file))
    if left:
        print(f"{path.name:22}{way:16}{'':33}  {left:,} documents that the database cannot store (scripts/storable.py)")
        return True
    start = time.monotonic()
    try:
        with running_server(site.folder / "server") as server:
            trip = round_trip(site, server, path, publisher(path), way)
    except AssertionError as error:
        print(f"{path.name:22}{way:16}{'':33}  DIFFERENT: {str(error)[:200]}")
        return False
    elapsed = time.monotonic() - start
    print(f"{path.name:22}{way:16}{trip.documents:10,}{trip.unresolvable:16,}{elapsed:7.0f}  equal", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
