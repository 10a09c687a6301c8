#!/usr/bin/env python3
"""Runs commands in environments made up at random, and counts internal errors, hangs and lost kits: there may be none.

An environment is a name for the kit, modes of its folder, limits of the system (processes, memory, descriptors, size of
a file), a place for temporary files that is missing, full or not to be written, streams that are closed or take
nothing, mounts that are missing or read-only, and a worker that is killed. The command is one of verify, plan, patch
and rollback. Whatever it ends with, it ends; the code is never 70; and the kit is afterwards the old one or the new
one, whole. Everything follows from the seed that is printed. As root the commands run as nobody, with mounts of their
own.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a file: its folder is on the path, but not the one above
    sys.path.insert(0, str(ROOT))

KEYS, KIT = ROOT / "fixtures/keys", ROOT / "fixtures/kits/harbor.tar.zst"
NOBODY = 65534
INTERNAL = 70
AT = "2099-04-02T03:04:05Z"
_START = "import sys; sys.path[:0] = {paths!r}; sys.argv[0] = 'kit'; from kit.cli import main; main()"
_NAMES = ("kit.tar.zst", "a kit.tar.zst", "k\u00eft \U0001f600.tar.zst", "-kit", "kit\n.tar", "%s{}$(x).zst", "k" * 180)
_COMMANDS = ("verify", "deep", "plan", "patch", "in place", "rollback")
_MIB = 1 << 20
_LIMITS: dict[str, tuple[int, tuple[int, ...]]] = {
    "processes": (resource.RLIMIT_NPROC, (1, 2, 3, 4, 6, 9)),
    "memory": (resource.RLIMIT_AS, (80 * _MIB, 160 * _MIB, 240 * _MIB, 400 * _MIB, 800 * _MIB)),
    "descriptors": (resource.RLIMIT_NOFILE, (4, 6, 8, 12, 20)),
    "file size": (resource.RLIMIT_FSIZE, (0, 100, 4096)),
    "stack": (resource.RLIMIT_STACK, (256 * 1024,)),
    "core": (resource.RLIMIT_CORE, (0,)),
}
_TMPDIRS = ("missing", "a file", "not to be written", "empty", "not set")
_STREAMS = ("closed", "/dev/full", "a pipe nobody reads", "/dev/null")
# ruff: noqa: S108  these are mounted over, not used
_MOUNTS = {
    "/dev/shm read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    "/dev/shm missing": "umount -l /dev/shm",
    "/proc missing": "umount -l /proc",
    "/tmp read-only": "mount -t tmpfs -o ro tmpfs /tmp",
    "/tmp small": "mount -t tmpfs -o size=64k tmpfs /tmp",
}


@dataclass(slots=True, kw_only=True)
class Environment:
    """What a command is run in; what is empty is as usual."""

    name: str
    command: str
    workers: int
    limits: dict[str, int] = field(default_factory=dict)
    tmpdir: str = ""
    streams: dict[int, str] = field(default_factory=dict)
    mount: str = ""
    folder_mode: int = 0o755
    kills: bool = False

    def __str__(self) -> str:
        told = [f"{self.command} of {self.name!a} by {self.workers}"]
        told += [f"{name} {value}" for name, value in self.limits.items()]
        told += [f"TMPDIR {self.tmpdir}"] if self.tmpdir else []
        told += [f"stream {number} {kind}" for number, kind in self.streams.items()]
        told += [self.mount] if self.mount else []
        told += [f"folder {self.folder_mode:04o}"] if self.folder_mode != 0o755 else []
        return ", ".join([*told, *(["a worker is killed"] if self.kills else [])])


def drawn(chance: random.Random, *, mounts: bool) -> Environment:
    """Make one up: mostly one thing is wrong, sometimes two or three."""
    found = Environment(
        name=chance.choice(_NAMES), command=chance.choice(_COMMANDS), workers=chance.choice((1, 2, 2, 3))
    )
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        match chance.choice(("limit", "limit", "tmpdir", "stream", "mount", "folder", "kill")):
            case "limit":
                name = chance.choice(list(_LIMITS))
                found.limits[name] = chance.choice(_LIMITS[name][1])
            case "tmpdir":
                found.tmpdir = chance.choice(_TMPDIRS)
            case "stream":
                found.streams[chance.randrange(3)] = chance.choice(_STREAMS)
            case "mount":
                found.mount = chance.choice(list(_MOUNTS)) if mounts else ""
            case "folder":
                found.folder_mode = chance.choice((0o555, 0o111, 0o1777, 0o2755))
            case _:
                found.kills = True
    return found


@dataclass(slots=True, kw_only=True)
class Bench:
    """Where the commands are run, and as whom."""

    folder: Path
    interpreter: str
    paths: list[str]
    user: int | None
    """None for whoever runs this."""
    seconds: float
    """After which a command counts as one that hangs."""

    def command(self, *words: str) -> list[str]:
        """Give the command line of ``kit``."""
        return [self.interpreter, "-B", "-c", _START.format(paths=self.paths), *words]

    def prepared(self, place: Path) -> None:
        """Patch a kit in place, in peace, so that there is something to go back to."""
        done = subprocess.run(self.command(*_words("in place", place, 1)), capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"cannot prepare a rollback: {done.stderr.decode(errors='replace')}")


def _words(command: str, kit: Path, workers: int) -> list[str]:
    trust = [f"--trusted-key={KEYS / f'{name}-TEST-ONLY.pub.pem'}" for name in ("publisher", "site")]
    key = [f"--signing-key={kit.parent.parent / 'site.pem'}", f"--created-at={AT}"]
    rest = [f"--workers={workers}", *trust, "--", str(kit)]
    return {
        "verify": ["verify", *rest],
        "deep": ["verify", "--deep", *rest],
        "plan": ["plan", *rest],
        "patch": ["patch", *key, f"--output={kit.parent / 'patched'}", *rest],
        "in place": ["patch", *key, "--in-place", *rest],
        "rollback": ["rollback", *rest],
    }[command]


def bench(folder: Path, seconds: float) -> Bench:
    """Prepare: as root the commands run as nobody, who needs an interpreter within reach."""
    shutil.copy(KEYS / "site-TEST-ONLY.pem", folder / "site.pem")
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    if os.geteuid():
        return Bench(folder=folder, interpreter=sys.executable, paths=paths, user=None, seconds=seconds)
    folder.chmod(0o755)
    interpreter = next((one for one in (sys.executable, "/usr/bin/python3") if _fits(one)), None)
    user = NOBODY if interpreter is not None else None
    (folder / "site.pem").chmod(0o600)
    if user is not None:
        os.chown(folder / "site.pem", user, user)
    return Bench(folder=folder, interpreter=interpreter or sys.executable, paths=paths, user=user, seconds=seconds)


def _fits(interpreter: str) -> bool:
    """Whether nobody can run this interpreter, and it is of the version that the packages are installed for."""
    told = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"
    with contextlib.suppress(OSError):
        done = subprocess.run([interpreter, "-c", told], user=NOBODY, check=False, stderr=subprocess.DEVNULL, cwd="/")
        return done.returncode == 0
    return False


def run(bench: Bench, environment: Environment, chance: random.Random) -> tuple[int | None, str]:
    """Run one; gives the exit code, None for one that hangs, and what it printed on standard error."""
    place = bench.folder / "desk"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    kit = place / environment.name
    shutil.copy(KIT, kit)
    if bench.user is not None:
        for path in (place, kit):
            os.chown(path, bench.user, bench.user)
    if environment.command == "rollback":
        bench.prepared(kit)
        for path in place.iterdir():
            if bench.user is not None:
                os.chown(path, bench.user, bench.user)
    place.chmod(environment.folder_mode)
    command = bench.command(*_words(environment.command, kit, environment.workers))
    if bench.user is not None:
        command = ["setpriv", f"--reuid={bench.user}", f"--regid={bench.user}", "--clear-groups", *command]
    if environment.mount:
        shell = f'{_MOUNTS[environment.mount]} 2>/dev/null; exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", shell, "sh", *command]
    try:
        return _ended(command, environment, bench, chance)
    finally:
        place.chmod(0o755)


def _ended(command: list[str], environment: Environment, bench: Bench, chance: random.Random) -> tuple[int | None, str]:
    with tempfile.TemporaryFile() as told, contextlib.ExitStack() as stack:
        streams = [_stream(environment.streams.get(number, ""), number, stack) for number in range(3)]
        process = subprocess.Popen(
            command,
            stdin=streams[0],
            stdout=streams[1],
            stderr=told if not environment.streams.get(2) else streams[2],
            env=_variables(environment, bench.folder),
            cwd=bench.folder,
            start_new_session=True,
            preexec_fn=_limiting(environment),  # noqa: PLW1509  there are no threads yet
        )
        done = threading.Event()
        if environment.kills:
            delay = chance.uniform(0, 2)
            threading.Thread(target=_kill_worker, args=(process.pid, delay, done), daemon=True).start()
        try:
            code: int | None = process.wait(bench.seconds)
        except subprocess.TimeoutExpired:
            code = None
        done.set()
        # A session of its own: what it left running ends with it, and counts as left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        told.seek(0)
        return code, told.read().decode(errors="replace")


def _limiting(environment: Environment) -> Callable[[], None]:
    # A limit of processes is for the user that setpriv changes to, one of memory for what is executed in the end.
    limits = [(_LIMITS[name][0], value) for name, value in environment.limits.items()]
    closed = [number for number, kind in environment.streams.items() if kind == "closed"]

    def apply() -> None:
        for limit, value in limits:
            resource.setrlimit(limit, (value, value))
        for number in closed:
            os.close(number)

    return apply


def _stream(kind: str, number: int, stack: contextlib.ExitStack) -> int:
    if kind == "a pipe nobody reads" and number:
        read, write = os.pipe()
        os.close(read)
        stack.callback(os.close, write)
        return write
    descriptor = os.open("/dev/full" if kind == "/dev/full" else os.devnull, os.O_RDWR)
    stack.callback(os.close, descriptor)
    return descriptor


def _variables(environment: Environment, folder: Path) -> dict[str, str]:
    variables = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
    sealed = folder / "sealed"
    sealed.mkdir(mode=0o555, exist_ok=True)
    places = {"missing": "/nowhere", "a file": str(KIT), "not to be written": str(sealed), "empty": ""}
    if environment.tmpdir in places:
        variables["TMPDIR"] = places[environment.tmpdir]
    return variables


def _kill_worker(root: int, delay: float, done: threading.Event) -> None:
    """Kill the youngest process that the command started, once it has had time to start some."""
    if done.wait(delay):
        return
    with contextlib.suppress(OSError, ValueError):
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
        if children:
            os.kill(int(children[-1]), signal.SIGKILL)


def is_whole(bench: Bench, environment: Environment, digests: set[str]) -> bool:
    """Whether the kit is one of those it may be, or one that is valid."""
    kit = bench.folder / "desk" / environment.name
    if not kit.is_file():
        return False
    if hashlib.sha256(kit.read_bytes()).hexdigest() in digests:
        return True
    done = subprocess.run(bench.command(*_words("verify", kit, 1)), capture_output=True, check=False)
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    """Run as many as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120, help="after which a command counts as one that hangs")
    parser.add_argument("--verbose", action="store_true", help="print each environment and how it ended")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}, {options.runs} environments", flush=True)
    codes: Counter[str] = Counter()
    faults: list[str] = []
    digests = {hashlib.sha256(KIT.read_bytes()).hexdigest()}
    with tempfile.TemporaryDirectory(prefix="kit-environments-") as scratch:
        place = bench(Path(scratch), options.seconds)
        mounts = os.geteuid() == 0 and shutil.which("unshare") is not None
        for number in range(options.runs):
            chance = random.Random(f"{options.seed} {number}")  # noqa: S311  environments, no secrets
            environment = drawn(chance, mounts=mounts)
            code, told = run(place, environment, chance)
            codes["hangs" if code is None else str(code)] += 1
            lost = not is_whole(place, environment, digests)
            if code is None or code == INTERNAL or lost:
                why = "hangs" if code is None else "lost the kit" if lost else "internal error"
                faults.append(f"{number}: {why}: {environment}: {told.strip()[-300:]}")
                print(faults[-1], flush=True)
            elif options.verbose:
                print(f"{number}: {code}: {environment}: {told.strip().partition(chr(10))[0][:150]}", flush=True)
    print("exit codes: " + ", ".join(f"{code}: {count}" for code, count in sorted(codes.items())))
    print(f"{len(faults)} internal errors, hangs and lost kits in {options.runs} environments (seed {options.seed})")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
