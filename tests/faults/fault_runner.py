"""Runs one command again and again, each time with one step on the file system cut off: a program, not a test.

The steps are those CPython announces to audit hooks before it takes them (PEP 578): an open for writing, a link, a
rename, a removal, a change of mode … below the working folder. So nothing under test is patched, and step N is the
same step in every run. Usage: ``fault_runner.py kill|fail FOLDER STAGE ARGUMENT…``: for N = 0, 1, … a fresh copy of
FOLDER is made as STAGE/N, and ``kit ARGUMENT…`` runs there in a child that is killed before its step N, or whose step N
fails with "No space left on device". Ends after the first run that has no step N; prints one JSON object a run.
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

_STEPS = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}


class _Hook:
    """Counts steps; at step ``at`` strikes once."""

    def __init__(self, place: str, at: int, *, kill: bool) -> None:
        self.place, self.left, self.kill = place, at, kill
        self.struck = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_step(event, arguments):
            return
        self.left -= 1
        if self.left < 0 and not self.struck:
            self.struck = f"{event} {Path(str(arguments[0])).name}"
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _is_step(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            return bool(writes) and str(path).startswith(self.place)
        return event in _STEPS and str(arguments[0]).startswith(self.place)


def _child(place: Path, at: int, arguments: list[str], *, kill: bool) -> None:
    os.chdir(place)
    os.dup2(os.open(place / "stdout", os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(os.open(place / "stderr", os.O_WRONLY | os.O_CREAT), 2)
    hook = _Hook(str(place), at, kill=kill)
    sys.addaudithook(hook)
    code = run([argument.replace("{place}", str(place)) for argument in arguments])
    sys.stdout.flush()
    sys.stderr.flush()
    (place / "outcome").write_text(json.dumps({"code": code, "struck": hook.struck}))
    os._exit(0)


def main() -> None:
    mode, folder, stage, *arguments = sys.argv[1:]
    for at in range(1000):
        place = Path(stage) / str(at)
        shutil.copytree(folder, place, symlinks=True)
        child = os.fork()
        if not child:
            _child(place, at, arguments, kill=mode == "kill")
        _, status = os.waitpid(child, 0)
        outcome = place / "outcome"
        killed = os.WIFSIGNALED(status)
        told = json.loads(outcome.read_text()) if outcome.exists() else {"code": None, "struck": ""}
        told["stderr"] = (place / "stderr").read_text()
        for name in ("outcome", "stdout", "stderr"):
            (place / name).unlink(missing_ok=True)
        print(json.dumps({"place": str(place), "killed": killed, **told}), flush=True)
        if not killed and not told["struck"]:
            return


if __name__ == "__main__":
    main()
