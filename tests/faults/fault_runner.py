"""Runs one command again and again, each time with one step on the file system cut off: a program, not a test.

The steps are those CPython announces to audit hooks before it takes them (PEP 578): an open for writing, a link, a
rename, a removal, a change of mode … below the working folder. So nothing under test is patched, and step N is the
same step in every run.

Takes orders on standard input, one JSON object a line, so that many attacks need one process:

``mode``       ``kill`` | ``fail`` ("No space left on device") | ``SIGINT`` | ``SIGTERM`` | ``run`` | ``here``
``folder``     what to start from; ``stage`` is where copies go
``lacking``    what the system lacks: ``link``, ``renameat2``
``arguments``  of ``kit``; ``{place}`` is the folder it runs in

For N = 0, 1, … a fresh copy of ``folder`` is made as ``stage``/N, and the command runs there and is killed before its
step N, gets a signal at it, or its step N fails. An order ends after the first run that has no step N; ``run`` strikes
at none, nor does ``here``, a run in ``folder`` itself. Prints one JSON object a run, and an empty line at the end of an
order.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
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
    """Counts the steps of one run; at step ``at`` strikes once. A process has one, since it can never be removed."""

    def __init__(self) -> None:
        self.aim("", 0, "run", frozenset())

    def aim(self, place: str, at: int, mode: str, lacking: frozenset[str]) -> None:
        """Begin to count for another run."""
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
            return bool(writes) and self._is_below(path)
        if event == "ctypes.dlsym":  # a rename that Python has no call for
            return bool(arguments[1] == "renameat2")
        return event in _STEPS and self._is_below(arguments[0])

    def _is_below(self, path: object) -> bool:
        """Whether a path leads below the working folder: by name, or from a descriptor of a folder there."""
        name = str(path) if isinstance(path, str | os.PathLike) else "/"  # a descriptor: it was opened before
        if name.startswith("/proc/"):
            name = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))  # noqa: PTH118, PTH119, PTH120
        return name.startswith(self.place) or not name.startswith("/")


_HOOK = _Hook()


def _attempt(place: Path, at: int, order: dict[str, Any]) -> None:
    """Run the command in ``place`` and leave there what became of it."""
    os.chdir(place)
    kept = [os.dup(1), os.dup(2)]
    for name, number in (("stdout", 1), ("stderr", 2)):
        printed = os.open(place / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(printed, number)
        os.close(printed)
    _HOOK.aim(str(place), at, order["mode"], frozenset(order["lacking"]))
    Interrupts().install()
    code = run([argument.replace("{place}", str(place)) for argument in order["arguments"]])
    struck = _HOOK.struck
    _HOOK.aim("", 0, "run", frozenset())
    sys.stdout.flush()
    sys.stderr.flush()
    (place / "outcome").write_text(json.dumps({"code": code, "struck": struck}))
    for descriptor, number in zip(kept, (1, 2), strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir("/")


def _import_what_it_imports(order: dict[str, Any], place: Path) -> None:
    """Import every module that a quiet run imports, in that run's stead: a child that is forked has them already.

    The run itself is a child's too, so that nothing it may have remembered is there when step N is counted.
    """
    child = os.fork()
    if not child:
        _attempt(place, 0, {**order, "mode": "run"})
        (place / "modules").write_text("\n".join(sys.modules))
        os._exit(0)
    os.waitpid(child, 0)
    for name in (place / "modules").read_text().split("\n"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    shutil.rmtree(place)


def _carry_out(order: dict[str, Any]) -> None:
    mode, folder, stage = order["mode"], Path(order["folder"]), Path(order["stage"])
    # Unharmed runs are this process's, so that what measures coverage sees them.
    forks = mode in {"kill", "fail"}
    if forks:
        shutil.copytree(folder, stage / "quiet", symlinks=True)
        _import_what_it_imports(order, stage / "quiet")
    for at in range(1000):
        place = folder if mode == "here" else stage / str(at)
        if mode != "here":
            shutil.copytree(folder, place, symlinks=True)
        child = os.fork() if forks else 0
        if not child:
            if forks:
                sys.settrace(None)  # what measures coverage learns nothing from one that ends like this
            _attempt(place, at, order)
            if forks:
                os._exit(0)
        status = os.waitpid(child, 0)[1] if forks else 0
        outcome = place / "outcome"
        killed = os.WIFSIGNALED(status)
        found = json.loads(outcome.read_text()) if outcome.exists() else {"code": None, "struck": ""}
        found["stderr"] = (place / "stderr").read_text()
        for name in ("outcome", "stdout", "stderr"):
            (place / name).unlink(missing_ok=True)
        sys.stdout.write(json.dumps({"place": str(place), "killed": killed, **found}) + "\n")
        sys.stdout.flush()  # or the next attempt, which stands in this process, would have it in its own output
        if not killed and not found["struck"]:
            return


def main() -> None:
    sys.addaudithook(_HOOK)
    for line in sys.stdin:
        _carry_out(json.loads(line))
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
