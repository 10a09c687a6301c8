"""Types of path parameters: each declares what is read and written there and next to it.

The check that no two parameters name the same file (:mod:`kit.cli.collisions`) uses these declarations only. Every
parameter that takes a path therefore has one of these types, which a test checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from kit.values.suffixes import BACKUP, ROLLED_BACK, SIDECARS

Names = Mapping[str, str]
"""File name, with ``{}`` for the last part of the path → role of that file; empty for the path itself."""
_ITSELF: Names = {"{}": ""}
STREAM = Path("-")
"""Standard output, for a parameter that allows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The files that a command reads and writes at a path and next to it."""

    reads: Names = field(default_factory=dict)
    writes: Names = field(default_factory=dict)
    works: Names = field(default_factory=dict)
    """Folders of a run. They are emptied and removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """A footprint that depends on other parameters."""

    when: Callable[[click.Context], bool]
    footprint: Footprint


class Place(click.Path):
    """A path with its footprint.

    That a path cannot be read is found when it is read, and reported as an unreadable kit or key, not as a usage error.
    """

    def __init__(
        self,
        footprint: Footprint,
        *conditional: Conditional,
        is_room: bool = False,
        is_exchanged: bool = False,
        is_stream: bool = False,
    ) -> None:
        """Declare what is read and written.

        Args:
            footprint: Always read and written.
            conditional: Also read and written, under a condition.
            is_room: An existing folder, in which the run makes files with its own names.
            is_exchanged: A file that is replaced if it exists.
            is_stream: ``-`` is standard output.
        """
        super().__init__(path_type=Path, readable=False)
        self.is_room = is_room
        self.is_exchanged = is_exchanged
        self.is_stream = is_stream
        self._always = footprint
        self._conditional = conditional

    def footprints(self, context: click.Context) -> list[Footprint]:
        """Return what the command of ``context`` reads and writes at such a path."""
        return [self._always, *(one.footprint for one in self._conditional if one.when(context))]


class NameOrFile(click.types.StringParamType):
    """The name of something that comes with kit, else a file that is read."""

    place = Place(Footprint(reads=_ITSELF))

    def is_file(self, text: str) -> bool:
        """Return whether there is a file of that name."""
        return os.path.lexists(text)


def _beside(*suffixes: str) -> dict[str, str]:
    """Return the names of archives with these suffixes and of the sidecars of each."""
    kinds = {".sha256": "checksum", ".sig": "signature", BACKUP: "backup", ROLLED_BACK: "newer kit, kept"}
    names: dict[str, str] = {}
    for suffix in suffixes:
        names[f"{{}}{suffix}"] = kinds.get(suffix, "")
        for sidecar in SIDECARS:
            whole = f"{kinds[sidecar]} of the {kinds[suffix]}" if suffix else kinds[sidecar]
            names[f"{{}}{suffix}{sidecar}"] = whole
    return names


def _given(name: str) -> Callable[[click.Context], bool]:
    return lambda context: bool(context.params.get(name))


def _keeps_backup(context: click.Context) -> bool:
    return bool(context.params.get("in_place")) and not context.params.get("no_backup")


def _changes_keyring(context: click.Context) -> bool:
    return context.command.name in {"plan", "patch", "rewrap"}


def _replaced(what: str, name: str = "{}") -> dict[str, str]:
    """Return the names used to replace a file: its own, and that of the unfinished new one."""
    return {name: what, f".{name}.new": f"unfinished {what or 'file'}"}


_JOB = {"{}.kit-job": "job folder", "{}.kit-done": "finished job folder"}
_BUILD = {"{}.kit-build": "job folder", "{}.kit-build-done": "finished job folder"}
_LANDING = Conditional(
    when=_given("work_folder"), footprint=Footprint(works={f".{{}}.kit-{'0' * 32}": "folder of the finished kit"})
)
_STATE = {**_replaced("state", "{}.state"), ".{}.state.lock": "lock"}
_KEYRING = {**_replaced(""), ".{}.lock": "lock"}
_READ_KIT = Footprint(reads=_beside(""))
_REPLACED_KIT = Footprint(writes=_beside(""), works=_JOB)

READ = Place(Footprint(reads=_ITSELF))
"""A file that is read."""
KIT = Place(_READ_KIT)
"""A kit that is read."""
KIT_IN_PLACE = Place(
    _READ_KIT,
    Conditional(when=_given("in_place"), footprint=_REPLACED_KIT),
    Conditional(when=_keeps_backup, footprint=Footprint(writes=_beside(BACKUP))),
    _LANDING,
)
"""A kit that is read and, with ``--in-place``, replaced."""
KIT_ROLLED_BACK = Place(
    _READ_KIT,
    Conditional(when=lambda _: True, footprint=_REPLACED_KIT),
    _LANDING,
    Conditional(when=lambda _: True, footprint=Footprint(reads=_beside(BACKUP), writes=_beside(BACKUP, ROLLED_BACK))),
)
"""A kit that is replaced by its backup."""
NEW_KIT = Place(Footprint(writes=_beside(""), works=_JOB), _LANDING)
"""A kit that is written and must not exist."""
NEW_DELTA = Place(Footprint(writes=_beside(""), works=_BUILD), _LANDING)
"""A delta that is written and must not exist."""
NEW = Place(Footprint(writes=_ITSELF))
"""A file that is written and must not exist."""
NEW_OR_STREAM = Place(Footprint(writes=_ITSELF), is_stream=True)
"""The same, or standard output."""
NEW_SECRET = Place(Footprint(writes=_replaced("")))
"""A file of plaintext that is written; nothing may be there."""
NEW_KEYS = Place(Footprint(writes={"{}": "", "{}.pub": "public key"}))
"""A private key that is written with its public key."""
EXCHANGED = Place(Footprint(writes=_replaced("")), is_exchanged=True)
"""A file that is written, and replaced if it exists."""
EXCHANGED_OR_STREAM = Place(Footprint(writes=_replaced("")), is_exchanged=True, is_stream=True)
"""The same, or standard output."""
APPENDED = Place(Footprint(reads=_ITSELF, writes=_ITSELF))
"""A file that is read and written."""
SIGNED = Place(Footprint(reads={"{}": "", "{}.jws": "signature"}))
"""A file that is read with its signature."""
POLICY = Place(Footprint(reads={"{}": "", "{}.jws": "signature", "{}.state": "state"}, writes=_STATE))
"""A trust policy that is read; its state is changed."""
CHANGED_POLICY = Place(Footprint(reads=_ITSELF, writes={**_replaced(""), **_replaced("signature", "{}.jws"), **_STATE}))
"""A trust policy that is created, signed, changed or replaced."""
KEYRING = Place(Footprint(reads=_ITSELF), Conditional(when=_changes_keyring, footprint=Footprint(writes=_KEYRING)))
"""A keyring that is read and, by a command that encrypts, gets keys."""
CHANGED_KEYRING = Place(Footprint(reads=_ITSELF, writes=_KEYRING))
"""A keyring that is created or changed."""
ROOM = Place(Footprint(), is_room=True)
"""An existing folder in which a run works."""
NAME_OR_FILE = NameOrFile()
