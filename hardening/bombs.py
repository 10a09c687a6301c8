#!/usr/bin/env python3
"""Hands bombs to every command that would read them, and prints what each cost: size, seconds, memory, exit code.

A bomb is a file of less than a megabyte that asks for much: of memory, of time, of depth. Memory is the sum of the
proportional set sizes of all processes (/proc/PID/smaps_rollup), sampled; time is that of the processors, which a busy
machine disturbs least, and of the clock beside it. Exits 1 where one costs more than 300 MiB or 20 seconds, or ends
otherwise than by a verdict, a report, or a refusal.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

from benchmarks.process_tree import tree_bytes  # noqa: E402
from kit.signing import Algorithm, generate, write_public  # noqa: E402
from tests.attacks.bomb_list import DELTAS, JSON_TEXTS, KITS, PROOFS, Maker  # noqa: E402
from tests.attacks.bombs_of_kits import COLLECTION, kit_of  # noqa: E402

MIB = 1 << 20
MOST_BYTES, MOST_MEMORY, MOST_SECONDS = 1_000_000, 300 * MIB, 20
COMMAND = [sys.executable, "-c", "from kit.cli import main; main()"]
_DEFECTS = frozenset({70, 74})
_OBSERVATIONS = "concelier.advisory_observations"
COMMANDS: dict[str, tuple[str, ...]] = {
    "inspect": ("inspect", "BOMB"),
    "verify": ("verify", "BOMB", "TRUST"),
    "deep": ("verify", "BOMB", "TRUST", "--deep", "--require-raw-linkset"),
    "diff": ("diff", "BOMB", "SMALL"),
    "diff of two": ("diff", "BOMB", "BOMB"),
    "prove": ("prove", "BOMB", "--id", "a", "--collection", _OBSERVATIONS, "--output", "PROOF"),
    "delta inspect": ("delta", "inspect", "BOMB"),
    "delta verify": ("delta", "verify", "BOMB", "TRUST"),
    "check": ("prove", "--check", "BOMB", "TRUST"),
    "trust show": ("trust", "show", "BOMB"),
    "keyring show": ("keyring", "show", "BOMB"),
    "approval show": ("approval", "show", "BOMB"),
    "migration": ("plan", "SMALL", "TRUST", "--migration", "BOMB"),
    "field map": ("verify", "SMALL", "TRUST", "--field-map", "BOMB"),
    "cache map": ("plan", "SMALL", "TRUST", "--cache-map", "BOMB"),
}
_OF_KITS = ("inspect", "verify", "deep", "diff", "diff of two", "prove")
_OF_TEXTS = ("check", "trust show", "keyring show", "approval show", "migration", "field map", "cache map")
BOMBS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    **{name: (make, _OF_KITS) for name, make in KITS.items()},
    **{name: (make, ("delta inspect", "delta verify")) for name, make in DELTAS.items()},
    **{name: (make, ("check",)) for name, make in PROOFS.items()},
    **{name: (make, _OF_TEXTS) for name, make in JSON_TEXTS.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one command cost."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    code: int
    told: str

    @property
    def is_held(self) -> bool:
        """Whether it ended as it should, within its bounds."""
        ended = self.code >= 0 and self.code not in _DEFECTS
        return ended and self.peak_bytes <= MOST_MEMORY and self.cpu_seconds <= MOST_SECONDS


def cost(command: list[str], limit: float) -> Cost:
    """Run a command and watch it; it is ended after ``limit`` seconds, or at four times the memory it may take."""
    before = _cpu_seconds()
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], tree_bytes(process.pid))
            if time.perf_counter() - started > limit or peak[0] > 4 * MOST_MEMORY:
                os.killpg(process.pid, signal.SIGKILL)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, told = process.communicate()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    errors = [line for line in told.splitlines() if line.startswith("kit: error: ")]
    return Cost(
        seconds=seconds,
        cpu_seconds=_cpu_seconds() - before,
        peak_bytes=peak[0],
        code=process.returncode,
        told=errors[0].removeprefix("kit: error: ") if errors else "",
    )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: list[str]) -> int:
    """Explode them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="WORD", help="those whose name holds it; repeatable")
    parser.add_argument("--command", action="append", choices=list(COMMANDS), help="by these commands; repeatable")
    parser.add_argument("--limit", default=120.0, type=float, metavar="SECONDS", help="after which one is ended")
    options = parser.parse_args(arguments)
    wrong = 0
    print(f"{'bomb':<37}{'bytes':>9} {'command':<14}{'cpu s':>6}{'clock':>7}{'MiB':>6}{'exit':>6}  refusal", flush=True)
    with tempfile.TemporaryDirectory(prefix="kit-bombs-") as scratch:
        for line, held in _runs(Path(scratch), options):
            print(line, flush=True)
            wrong += not held
    bounds = f"{MOST_MEMORY // MIB} MiB and {MOST_SECONDS} seconds"
    print(
        f"all within {bounds}, or refused" if not wrong else f"{wrong} not within {bounds}, or not as they should end"
    )
    return 1 if wrong else 0


def _runs(scratch: Path, options: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    key = generate(Algorithm.ES256)
    places = {name: str(scratch / name.lower()) for name in ("BOMB", "SMALL", "PROOF", "KEY")}
    write_public(Path(places["KEY"]), key.public)
    Path(places["SMALL"]).write_bytes(kit_of([COLLECTION], key))
    words = {**{name: [place] for name, place in places.items()}, "TRUST": ["--trusted-key", places["KEY"]]}
    for name, (make, commands) in BOMBS.items():
        if options.only and not any(word in name for word in options.only):
            continue
        bomb = Path(places["BOMB"])
        bomb.write_bytes(make(key))
        bomb.chmod(0o600)  # a keyring is read only where nobody else can read it
        size = bomb.stat().st_size
        for command in commands:
            if options.command and command not in options.command:
                continue
            asked = [part for word in COMMANDS[command] for part in words.get(word, [word])]
            met = cost([*COMMAND, *asked], options.limit)
            Path(places["PROOF"]).unlink(missing_ok=True)
            told = met.told.replace(f"{scratch}/", "")[:90]
            figures = f"{met.cpu_seconds:>6.1f}{met.seconds:>7.1f}{met.peak_bytes / MIB:>6.0f}{met.code:>6}"
            held = met.is_held and size < MOST_BYTES
            yield f"{name:<37}{size:>9,} {command:<14}{figures}  {told}{'' if held else '  !!'}", held


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
