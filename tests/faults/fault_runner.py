"""Runs one command again and again, each time with one step on the file system cut off: a program, not a test.

The steps are those CPython announces to audit hooks before it takes them (PEP 578): an open for writing, a link, a
rename, a removal, a change of mode … below the working folder. So nothing under test is patched, and step N is the
same step in every run.

Usage: ``fault_runner.py kill|fail|SIGINT|SIGTERM|run|here FOLDER STAGE LACKING ARGUMENT…``. For N = 0, 1, … a fresh
copy of FOLDER is made as STAGE/N, and ``kit ARGUMENT…`` runs there in a child that is killed before its step N, gets a
signal at it, or whose step N fails: "No space left on device". Ends after the first run that has no step N; ``run``
strikes at none, nor does ``here``, a run in FOLDER itself. Prints one JSON object a run. LACKING names what the system
lacks, joined by commas: ``link``, ``renameat2``.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from kit.cli import run
from kit.engine.interrupts import Interrupts

_STEPS = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}


class _Hook:
    """Counts steps; at step ``at`` strikes once."""

    def __init__(self, place: str, at: int, mode: str, lacking: frozenset[str]) -> None:
        self.place, self.left, self.mode, self.lacking = place, at, mode, lacking
        self.struck = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.link" and "link" in self.lacking:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        if event == "ctypes.dlsym" and arguments[1] == "renameat2" and "renameat2" in self.lacking:
            raise AttributeError("renameat2")
        if self.mode in {"run", "here"} or not self._is_step(event, arguments):
            return
        self.left -= 1
        if self.left < 0 and not self.struck:
            self.struck = f"{event} {Path(str(arguments[0])).name}"
            if self.mode == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.mode.startswith("SIG"):
                signal.raise_signal(signal.Signals[self.mode])
                return
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _is_step(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            return bool(writes) and str(path).startswith(self.place)
        if event == "ctypes.dlsym":  # a rename that Python has no call for
            return bool(arguments[1] == "renameat2")
        return event in _STEPS and str(arguments[0]).startswith(self.place)


def _child(place: Path, at: int, mode: str, lacking: frozenset[str], arguments: list[str]) -> None:
    os.chdir(place)
    kept = [os.dup(1), os.dup(2)]
    os.dup2(os.open(place / "stdout", os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(os.open(place / "stderr", os.O_WRONLY | os.O_CREAT), 2)
    hook = _Hook(str(place), at, mode, lacking)
    sys.addaudithook(hook)
    Interrupts().install()
    code = run([argument.replace("{place}", str(place)) for argument in arguments])
    hook.mode = "run"
    sys.stdout.flush()
    sys.stderr.flush()
    (place / "outcome").write_text(json.dumps({"code": code, "struck": hook.struck}))
    if mode in {"kill", "fail"}:
        os._exit(0)
    for descriptor, number in zip(kept, (1, 2), strict=True):
        os.dup2(descriptor, number)


def main() -> None:
    mode, folder, stage, lacking, *arguments = sys.argv[1:]
    for at in range(1000):
        place = Path(folder) if mode == "here" else Path(stage) / str(at)
        if mode != "here":
            shutil.copytree(folder, place, symlinks=True)
        # Unharmed runs end in the usual way, so that what measures coverage sees them.
        forks = mode in {"kill", "fail"}
        child = os.fork() if forks else 0
        if not child:
            _child(place, at, mode, frozenset(lacking.split(",")), arguments)
        status = os.waitpid(child, 0)[1] if forks else 0
        outcome = place / "outcome"
        killed = os.WIFSIGNALED(status)
        told = json.loads(outcome.read_text()) if outcome.exists() else {"code": None, "struck": ""}
        told["stderr"] = (place / "stderr").read_text()
        for name in ("outcome", "stdout", "stderr"):
            (place / name).unlink(missing_ok=True)
        sys.stdout.write(json.dumps({"place": str(place), "killed": killed, **told}) + "\n")
        sys.stdout.flush()
        if not killed and not told["struck"]:
            return


if __name__ == "__main__":
    main()
