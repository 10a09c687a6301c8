#!/usr/bin/env python3
"""Fuzzes what reads bytes from outside: any input ends in a result or a ``KitError``, soon and in little memory.

``fuzz.py TARGET --seconds N`` or ``--runs N`` (with ``--seed``, so that a run can be repeated). Corpora are made from
the fixtures and from what the tests call odd; what the fuzzer finds new stays in the folder ``--corpus``. A crash, a
hang of ten seconds or more than 2 GiB of memory ends the run with a failure, and the input is written to ``--crashes``.
``--list`` names the targets.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["kit."]):
    from scripts import fuzz_targets
    from scripts.fuzz_targets import TARGETS


def one(target: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """Let nothing but our own errors pass for an answer."""

    def run(data: bytes) -> None:
        with contextlib.suppress(fuzz_targets.KitError):
            target(data)

    return run


def write_corpus(folder: Path, seeds: Iterable[bytes]) -> None:
    """Write the seeds, one file each."""
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number:03}").write_bytes(seed)


def main(arguments: list[str]) -> None:
    """Fuzz one target; the process ends with the exit code of libFuzzer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=0, help="0 is another one each time")
    parser.add_argument("--corpus", type=Path, help="kept between runs; a temporary folder by default")
    parser.add_argument("--crashes", type=Path, default=Path.cwd())
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    if options.list or options.target is None:
        print("\n".join(sorted(TARGETS)))
        return
    target, seeds = TARGETS[options.target]
    with tempfile.TemporaryDirectory(prefix="kit-fuzz-") as scratch:
        corpus = options.corpus or Path(scratch)
        corpus.mkdir(parents=True, exist_ok=True)
        write_corpus(corpus, seeds())
        flags = [
            "fuzz",
            f"-max_total_time={options.seconds}",
            f"-runs={options.runs}",
            f"-seed={options.seed}",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=20000",
            f"-artifact_prefix={options.crashes}/{options.target}-",
            "-print_final_stats=1",
            str(corpus),
        ]
        atheris.Setup(flags, one(target))
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
