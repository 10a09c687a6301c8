"""Runs ``patch`` or ``delta apply`` in a forked child and strikes it at one step: takes orders on standard input.

A step is a call by which a run changes the disk or asks it to keep something. CPython announces it before it is made:
to a profile function for calls of C functions (``FileIO.write``, ``pwrite``, ``fsync``, ``rename`` …), to an audit hook
for what is known there only: the path of an open, and the one call made through ctypes. Nothing under test is
patched, so step N is the same step in every run of the same order. An order is a JSON object on one line, and so is its
answer. The members of an order:

``place``    folder to work in; ``request`` names the files in it and the options; with ``encrypt``
             (a keyring in the folder, an age identity, data keys to replace) NoteLett's fields are encrypted, else
             rawLinkset is added
``strike``   ``none`` | ``kill`` (SIGKILL) | ``power`` (drop what was not synced, then SIGKILL) | ``SIGINT`` | an errno
             by name
``do``       ``patch`` | ``resume`` | ``abandon``; ``clock`` seconds since 1970, taken from a clock rather than given
``at``       the step to strike at, from 0; ``steps`` which calls count: a kind of KINDS, ``durable`` for all but reads,
             ``kinds`` for all, which the answer then counts by kind, ``calls`` for every call of a Python or C
             function, which is as good as any moment, or ``none``

Modules that a run imports late are imported here after it, so that later children have them: imports are most of the
time and of the calls of a small run, and no moment of them is worth a strike.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from kit.encryption import Credentials, Profile, shipped
from kit.engine.interrupts import Interrupts
from kit.errors import InterruptedRunError, KitError
from kit.migrations import parse_migration
from kit.signing import load_private, load_public
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Timestamp
from kit.verbs.delta.apply import DeltaApplyRequest, apply_delta, resume_delta
from kit.verbs.jobs import abandon
from kit.verbs.patch.patch import Output, PatchRequest, patch, resume
from kit.verbs.patch.request import Keying
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation

KINDS: dict[str, frozenset[str]] = {
    "write": frozenset({"FileIO.write", "pwrite", "copy_file_range", "BufferedWriter.flush"}),
    "sync": frozenset({"fsync", "fdatasync"}),
    "name": frozenset({"link", "rename", "renameat2", "symlink"}),
    "make": frozenset({"mkdir", "open to write"}),
    "remove": frozenset({"unlink", "rmdir", "truncate", "ftruncate"}),
    "mode": frozenset({"chmod", "fchmod", "chown", "utime"}),
    "read": frozenset({"pread"}),
}
_ALL = frozenset().union(*KINDS.values())
DURABLE = _ALL - KINDS["read"]


class Striker:
    """Counts steps and strikes once."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.place = Path(order["place"])
        self.strike: str = order["strike"]
        self.at: int = order["at"]
        steps = order["steps"]
        self.every = steps == "calls"
        self.names: frozenset[str] = {"durable": DURABLE, "kinds": _ALL, **KINDS}.get(steps, frozenset())
        self.count = 0
        self.calls: Counter[str] = Counter()
        self.struck = ""
        self.synced: dict[int, int] = {}

    def start(self) -> None:
        """Start counting, in this thread and those it will start."""
        if not self.every and not self.names:
            return
        sys.addaudithook(self._audit)
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def stop(self) -> None:
        """Stop counting and striking."""
        self.strike = "none"
        sys.setprofile(None)
        threading.setprofile(None)

    def kinds(self) -> dict[str, int]:
        """Return how many steps of each kind there were, and how many durable ones."""
        counts = {kind: sum(self.calls[name] for name in names) for kind, names in KINDS.items()}
        return counts | {"durable": sum(self.calls[name] for name in DURABLE)}

    def _profile(self, _frame: FrameType, event: str, argument: Any) -> None:
        if self.every:
            if event in {"call", "c_call"}:
                self._step(event)
        elif event == "c_call" and argument.__qualname__ in self.names:
            self._step(argument.__qualname__)
        elif event == "c_return" and self.strike == "power" and argument.__qualname__ in KINDS["sync"]:
            self._remember()

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "ctypes.dlsym" and arguments[1] == "renameat2" and "rename" in self.names:
            self._step("renameat2")
        elif event == "open" and "open to write" in self.names:
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and self._is_below(path):
                self._step("open to write")

    def _is_below(self, path: object) -> bool:
        """Whether a path leads below the working folder: by name, or from a descriptor of a folder there."""
        if not isinstance(path, str | os.PathLike):
            return False
        return Path(path).parent.resolve().is_relative_to(self.place) or not Path(path).is_absolute()

    def _step(self, name: str) -> None:
        self.count += 1
        if not self.every:
            self.calls[name] += 1
        if self.count - 1 != self.at or self.strike == "none":
            return
        self.struck = name
        if self.strike == "power":
            self._lose()
        if self.strike in {"kill", "power"}:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.strike == "SIGINT":
            signal.raise_signal(signal.SIGINT)
            return
        number = getattr(errno, self.strike)
        raise OSError(number, os.strerror(number))

    def _remember(self) -> None:
        """Record spool and journal as synced in their present size: one sync too many counts, never one too few."""
        for path in self.place.glob("*.kit-job/*"):
            status = path.stat()
            if path.name in {"spool", "journal"}:
                self.synced[status.st_ino] = status.st_size

    def _lose(self) -> None:
        """Cut spool and journal to what was synced."""
        for path in self.place.glob("*.kit-job/*"):
            if path.name in {"spool", "journal"}:
                os.truncate(path, min(path.stat().st_size, self.synced.get(path.stat().st_ino, 0)))


def _sealing(keys: dict[str, Any]) -> EncryptFields:
    rekeyed = frozenset(keys.get("rekey", ()))
    return EncryptFields(field_map=shipped("notelett"), profile=Profile.BOUND, rekeyed=rekeyed)


def _keying(place: Path, keys: dict[str, Any]) -> Keying:
    return Keying(
        random=os.urandom,
        now=Timestamp(1_760_000_001),
        keyring=place / keys["keyring"],
        credentials=Credentials(age_identities=(keys["identity"],)),
    )


def run_order(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out one order and return how it ended; does not return if it is killed."""
    os.chdir(order["place"])
    # A shell starts background processes with Ctrl-C ignored, and a child inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts = Interrupts()
    interrupts.install()
    do = apply_run(order) if "delta" in order["request"] else patch_run(order)
    if order["do"] == "abandon":
        target = Path(order["place"]) / (order["request"]["output"] or order["request"]["kit"])
        do = lambda: abandon(target)  # noqa: E731
    striker = Striker(order)
    striker.start()
    failure, message = "", ""
    try:
        do()
        interrupts.forget()
    except KitError as error:
        failure, message = type(error).__name__, f"{error} ({error.hint})"
    except KeyboardInterrupt:
        failure, message = InterruptedRunError.__name__, "outside of the job"
    except OSError as error:  # which no part of the program handled as an error of the disk
        failure, message = "OSError", repr(error)
    striker.stop()
    counted = {"kinds": striker.kinds()} if order["steps"] == "kinds" else {}
    return {"failure": failure, "told": message, "struck": striker.struck, "met": striker.count, **counted}


def apply_run(order: dict[str, Any]) -> Callable[[], object]:
    """Return the run of ``delta apply`` that an order requests."""
    place, wanted = Path(order["place"]), order["request"]
    trusted = [load_public(Path(path)) for path in wanted["trusted"]]
    request = DeltaApplyRequest(
        base=place / wanted["kit"],
        delta=Path(wanted["delta"]),
        expectation=Expectation(trusted={one.key_id: one for one in trusted}),
        output=place / wanted["output"] if wanted["output"] else None,
        keep_backup=wanted["backup"] and not wanted["output"],
        environment=Environment(workers=1, checkpoint_bytes=wanted["checkpoint"]),
    )
    return lambda: (resume_delta if order["do"] == "resume" else apply_delta)(request)


def patch_run(order: dict[str, Any]) -> Callable[[], object]:
    """Return the run of ``patch`` that an order requests."""
    place, wanted = Path(order["place"]), order["request"]
    keys: dict[str, Any] | None = wanted.get("encrypt")
    key = load_private(Path(wanted["key"]), lambda: b"")
    trusted = [load_public(Path(path)) for path in wanted["trusted"]]
    migration = parse_migration(wanted["migration"].encode(), random=os.urandom) if "migration" in wanted else None
    transform = _sealing(keys) if keys else RawLinkset()
    request = PatchRequest(
        kit=place / wanted["kit"],
        transforms=(transform,) if migration is None else (),
        migration=migration,
        keying=_keying(place, keys) if keys else None,
        trusted={one.key_id: one for one in [*trusted, key.public]},
        created_at=Timestamp(order["clock"]),
        created_now=order["do"] == "resume",
        environment=Environment(workers=wanted.get("workers", 1), checkpoint_bytes=wanted["checkpoint"]),
    )
    note = "the old kit is kept" if keys else None
    output = Output(path=place / wanted["output"] if wanted["output"] else None, key=key, rollback_note=note)
    output = replace(output, keep_backup=wanted["backup"] and output.path is None)
    return lambda: (resume if order["do"] == "resume" else patch)(request, output)


def main() -> None:
    """Carry out orders until standard input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        there = set(sys.modules)
        number = os.fork()
        if not number:
            sys.settrace(None)  # a tracer would learn nothing from a child that ends like this, and double its time
            answer = run_order(order)
            answer["imported"] = [name for name in sys.modules if name not in there]
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123  a descriptor
            answered = pipe.read()
        _, status = os.waitpid(number, 0)
        killed = os.WIFSIGNALED(status)
        answer = (
            json.loads(answered) if answered else {"failure": None, "told": "", "struck": "", "met": 0, "imported": []}
        )
        for name in answer.pop("imported"):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        sys.stdout.write(json.dumps({"killed": killed, **answer}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
