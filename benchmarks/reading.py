"""Measures what reads kits and writes none: verify, verify --deep and diff, in seconds of processor time.

    python benchmarks/reading.py [--observations N] [--average BYTES] [--rounds N] [--folder DIR] [VERB...]

Observations are those of benchmarks/run. The kit is made, patched by rawLinkset, and kept in DIR, if one is named; the
patched kit is verified, and compared with the one it was made of. Processor time is that of the process and its
workers, start-up included; the yardstick is decompression and SHA-256 of the patched kit, a process of its own
(benchmarks/pump.py read).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks.kits import Case, make_kit  # noqa: E402
from kit.signing import Algorithm, generate, write_private, write_public  # noqa: E402

KIT = Path(sys.executable).parent / "kit"
VERBS = ("read", "verify", "deep", "diff")


def main() -> None:
    """Print a line for each verb."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("verbs", nargs="*", metavar="VERB", help=f"of {', '.join(VERBS)}; all without one")
    parser.add_argument("--observations", type=int, default=44_130)
    parser.add_argument("--average", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--workers", default="2")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = chosen.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base, patched = prepare(folder, Case(source="content", average=chosen.average), chosen.observations)
        keys = ["--trusted-key", str(folder / "key.pub.pem")]
        workers = ["--workers", chosen.workers]
        commands = {
            "read": [sys.executable, str(ROOT / "benchmarks/pump.py"), "read", str(patched)],
            "verify": [str(KIT), "verify", str(patched), *keys, *workers],
            "deep": [str(KIT), "verify", "--deep", str(patched), *keys, *workers],
            "diff": [str(KIT), "diff", str(base), str(patched), *workers],
        }
        for verb in chosen.verbs or VERBS:
            processor_seconds(commands[verb], folder)  # so that modules are compiled, as those of a package are
            made = [processor_seconds(commands[verb], folder) for _ in range(chosen.rounds)]
            print(f"{verb:8}{statistics.median(made):8.2f} s  ({', '.join(f'{one:.2f}' for one in made)})", flush=True)


def prepare(folder: Path, case: Case, observations: int) -> tuple[Path, Path]:
    """Make a kit and patch it, unless both are there; return where."""
    base, patched, pem = folder / "base.tar.zst", folder / "patched.tar.zst", folder / "key.pem"
    if not patched.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key = generate(Algorithm.ES256)
        write_private(pem, key)
        write_public(folder / "key.pub.pem", key.public)
        make_kit(base, case, observations, key)
        where = ["--output", str(patched), "--created-at", "2026-01-01T00:00:00Z"]
        keys = ["--trusted-key", str(folder / "key.pub.pem"), "--signing-key", str(pem)]
        subprocess.run([str(KIT), "patch", str(base), *where, *keys], check=True, stdout=subprocess.DEVNULL)
    return base, patched


def processor_seconds(command: list[str], folder: Path) -> float:
    """Run a command to its end, with bytecode in ``folder``; return the processor time of it and its children."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    before = os.times()
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment)
    after = os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


if __name__ == "__main__":
    main()
