#!/usr/bin/env python3
"""Fuzzes what reads bytes from outside: any input ends in a result or a ``KitError``, soon and in little memory.

``fuzz.py --minutes N`` runs every target for so long, ``--at-once`` of them at a time, and prints a table; ``fuzz.py
TARGET --seconds N`` or ``--runs N`` runs one. The command with its seed is printed first, so that a run can be
repeated, the number of executions last. Corpora are made from
the fixtures and from what the tests call odd; what the fuzzer finds new stays in the folder ``--corpus``. A crash, a
hang (``--hang`` seconds) or more than 2 GiB of memory ends the run with a failure, and the input is written to
``--crashes``. ``--list`` names the targets.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["kit."]):
    from hardening import fuzz_targets
    from hardening.fuzz_targets import NAMES, target_of


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


def write_words(path: Path) -> None:
    """Write the words that libFuzzer puts in: values of JSON that a careless reader takes for others."""
    words = ("null", "true", "false", "0", "-1", "1.5", "1e400", "9007199254740993", "NaN", "[]", "{}", '""', "[[]]")
    strange = ('"\\ud800"', '"a":1,', ",", ":", "\x1e", "\x1b[2J", "GNU.sparse.", "SUN.holesdata=", "path=", "size=")
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in (*words, *strange))
    path.write_text("".join(f'"{word}"\n' for word in escaped))


def run_all(seconds: int, options: argparse.Namespace) -> int:
    """Fuzz every target in a process of its own, print what came of each, and give 1 if any of them failed."""

    def fuzz(name: str) -> tuple[str, int, str]:
        command = [sys.executable, __file__, name, f"--seconds={seconds}", f"--seed={options.seed}"]
        command += [f"--hang={options.hang}", f"--crashes={options.crashes}"]
        command += [f"--corpus={options.corpus / name}"] if options.corpus is not None else []
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        return name, run.returncode, run.stderr

    print(f"fuzz.py --minutes {seconds / 60:g} --hang {options.hang} --seed {options.seed}")
    print(f"{'target':<12}{'executions':>14}{'MiB':>6}  outcome")
    failed = total = 0
    with ThreadPoolExecutor(options.at_once) as pool:
        for name, code, told in pool.map(fuzz, NAMES):
            executions = _figure(told, "number_of_executed_units")
            outcome = "no crash" if not code else f"FAILED ({code}): {told[-2000:]}"
            print(f"{name:<12}{executions:>14,}{_figure(told, 'peak_rss_mb'):>6}  {outcome}", flush=True)
            failed, total = failed + bool(code), total + executions
    print(f"{len(NAMES)} targets of {seconds:,} s each, {total:,} executions, {failed} failed")
    return 1 if failed else 0


def _figure(told: str, name: str) -> int:
    found = re.search(rf"stat::{name}:\s*(\d+)", told)
    return int(found[1]) if found is not None else 0


def main(arguments: list[str]) -> None:
    """Fuzz one target, in which case the process ends with the exit code of libFuzzer, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0, help="of each target, all of them unless one is named")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="targets at a time (default 2)")
    parser.add_argument("--hang", type=int, default=10, metavar="SECONDS", help="that one input may take (default 10)")
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=0, help="0 is another one each time")
    parser.add_argument("--corpus", type=Path, help="kept between runs; a temporary folder by default")
    parser.add_argument("--crashes", type=Path, default=Path.cwd())
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    options.seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    seconds = options.seconds or round(options.minutes * 60)
    if options.list or (options.target is None and not seconds):
        print("\n".join(NAMES))
        return
    if options.target is None:
        sys.exit(run_all(seconds, options))
    command = f"fuzz.py {options.target} --seconds {seconds} --runs {options.runs} --hang {options.hang}"
    print(f"{command} --seed {options.seed}", file=sys.stderr, flush=True)
    with atheris.instrument_imports(include=["kit."]):
        target, seeds = target_of(options.target)
    with tempfile.TemporaryDirectory(prefix="kit-fuzz-") as scratch:
        corpus = options.corpus or Path(scratch, "corpus")
        corpus.mkdir(parents=True, exist_ok=True)
        write_corpus(corpus, seeds())
        words = Path(scratch, "words")
        write_words(words)
        flags = [
            "fuzz",
            f"-dict={words}",
            f"-max_total_time={seconds}",
            f"-runs={options.runs}",
            f"-seed={options.seed}",
            f"-timeout={options.hang}",
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
