"""The jobs that nobody finished: found by the names of their folders, read without being taken over.

Laws: nothing is created, locked for longer than it takes to ask, or changed; a folder that no run of this user made is
reported as such, and nothing in it is read; what a journal holds is shown, and never believed (:mod:`kit.verbs.run`).
"""

from __future__ import annotations

import enum
import fcntl
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import KitError, OutputError
from kit.output.disk import open_own
from kit.output.folders import HeldFolder
from kit.output.job import LOCK
from kit.output.journal import Asked, JournalFile

_BESIDE = re.compile(r"(?s)(?P<target>.+)\.kit-(?P<kind>job|build)")
_ELSEWHERE = re.compile(r"kit-(?P<kind>job|build)-[0-9a-f]{32}")
_LONGEST_MARK = 1 << 16


class State(enum.StrEnum):
    """How far a job is."""

    AT_WORK = "at work"
    """A live process has it."""
    STARTED = "started"
    """Its base was not yet found good."""
    BEGUN = "begun"
    READY = "ready"
    """The new kit is whole; at most names are left to change."""
    UNUSABLE = "unusable"
    """No run of this user and this program made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A job folder, and what its journal holds."""

    folder: Path
    target: Path
    """What the run makes, or replaces."""
    state: State
    verb: str = ""
    """The command, without ``kit``; empty where it is not known."""
    asked: Asked | None = None
    """What the run was asked for, where that is on record."""
    frames: int = 0
    problem: str = ""
    """Of an unusable one: why."""
    begun: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> Path | None:
        """The kit that the run reads, where that is known."""
        if self.asked is not None:
            return Path(self.asked.kit)
        return self.target if self.begun.get("in-place") or "rollback" in self.begun else None


def unfinished_in(folder: Path) -> tuple[Unfinished, ...]:
    """Return the jobs in a folder, by name: those next to their targets, and those of ``--work-folder``.

    Raises:
        OSError: The folder cannot be read.
    """
    with HeldFolder.of(folder) as above:
        found = (_read(above, name) for name in sorted(above.names()))
        return tuple(one for one in found if one is not None)


def unfinished_of(kit: Path, folder: Path | None = None) -> tuple[Unfinished, ...]:
    """Return the jobs next to ``kit``, or in ``folder``, that make, replace or read it; none where none can be seen."""
    place = _place(kit)
    try:
        found = unfinished_in(folder or kit.parent)
    except OSError:
        return ()
    return tuple(one for one in found if place in {_place(one.target), one.reads and _place(one.reads)})


def _place(path: Path) -> tuple[str, str]:
    settled = path if path.name not in {"", ".."} else Path(os.path.realpath(path))
    return os.path.realpath(settled.parent), settled.name


def _read(above: HeldFolder, name: str) -> Unfinished | None:
    beside, elsewhere = _BESIDE.fullmatch(name), _ELSEWHERE.fullmatch(name)
    if beside is None and elsewhere is None:
        return None
    target = above.named / beside["target"] if beside is not None else above.named / name
    kind = (beside or elsewhere or {"kind": ""})["kind"]
    try:
        with above.private(name) as folder:
            if elsewhere is not None:
                target = _marked(folder) or target
            return _described(folder, above.named / name, target, "delta build" if kind == "build" else "")
    except FileNotFoundError:  # it has gone since
        return None
    except (KitError, OSError) as error:
        what = error.what if isinstance(error, KitError) else str(error.strerror or error)
        return Unfinished(folder=above.named / name, target=target, state=State.UNUSABLE, problem=what)


def _described(folder: HeldFolder, named: Path, target: Path, verb: str) -> Unfinished | None:
    there = folder.names()
    if there and LOCK not in there:
        raise OutputError("is no job folder of this program")
    journal = JournalFile(folder.path / "journal")
    asked, begun = journal.asked, journal.begun
    state = State.READY if journal.ready else State.BEGUN if journal.judged else State.STARTED
    if there and _is_locked(folder):
        state = State.AT_WORK
    options = begun.options if begun is not None else {}
    return Unfinished(
        folder=named,
        target=target,
        state=state,
        verb=verb or (asked.verb if asked is not None else _verb_of(options)),
        asked=asked,
        frames=journal.frames,
        begun=options,
    )


def _verb_of(options: Mapping[str, Any]) -> str:
    """Return the command whose options these are, of a run that a library started."""
    return next((verb for name, verb in _OPTIONS.items() if name in options), "")


_OPTIONS = {"rollback": "rollback", "delta": "delta apply", "migration": "patch"}


def _marked(folder: HeldFolder) -> Path | None:
    """Return the target that the lock of a job in a work folder names."""
    lock = open_own(folder.path / LOCK, os.O_RDONLY)
    try:
        text = json.loads(os.pread(lock, _LONGEST_MARK, 0) or b"null")
    except ValueError:
        return None
    finally:
        os.close(lock)
    return Path(text) if isinstance(text, str) else None


def _is_locked(folder: HeldFolder) -> bool:
    lock = open_own(folder.path / LOCK, os.O_RDONLY)
    try:
        fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
