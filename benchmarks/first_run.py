#!/usr/bin/env python3
"""Times a first run as a new user has it: git clone, ./scripts/demo, its last line; and shows what is seen on the way.

The clone is a new one, the environment is empty but for PATH and HOME, and pip has no cache, so that everything is
fetched as on a fresh machine; where from, pip's own configuration says. Needs git, and Python for the demo.

    benchmarks/first_run.py [--from URL] [--all]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_MILESTONES = ("first use: ", "installing", "== ", "Proven: ", "and by other workers")


def main(arguments: list[str]) -> int:
    """Run it, and print seconds since the start beside each thing seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(ROOT), help="what to clone (this checkout)")
    parser.add_argument("--all", action="store_true", help="show every line, not the headings alone")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kit-first-run-") as scratch:
        began, clone = time.monotonic(), Path(scratch) / "offline-kit"
        around = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PIP_NO_CACHE_DIR": "1"}
        _tell(0.0, f"$ git clone {'…' if options.source == str(ROOT) else options.source} offline-kit")
        subprocess.run(["git", "clone", "--quiet", options.source, clone], check=True, env=around)
        _tell(time.monotonic() - began, "$ ./scripts/demo")
        demo = subprocess.Popen(
            [clone / "scripts" / "demo"],
            cwd=clone,
            env=around,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        last = ""
        for line in _lines(demo):
            if options.all or line.startswith(_MILESTONES):
                _tell(time.monotonic() - began, line.replace(scratch, "…"))
            last = line or last
        code, seconds = demo.wait(), time.monotonic() - began
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    load, processors = os.getloadavg()[0], os.cpu_count()
    print(
        f"exit code {code} after {seconds:.1f} s ({spent.ru_utime + spent.ru_stime:.1f} s of processor time, "
        f"{processors} processors, load average {load:.1f})"
    )
    if code:
        print(last, file=sys.stderr)
    return code


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    for line in process.stdout or ():
        yield line.rstrip("\n")


def _tell(seconds: float, what: str) -> None:
    print(f"{seconds:7.1f} s  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
