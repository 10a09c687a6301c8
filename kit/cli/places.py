"""Types of parameters that are paths: each declares what is read and written there and beside it.

The check that no two are one place (:mod:`kit.cli.collisions`) works on what is declared here and on nothing else, so a
parameter that takes a path has one of these types, and a test demands it of all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from kit.values.suffixes import BACKUP, ROLLED_BACK, SIDECARS

Names = Mapping[str, str]
"""A name, in which ``{}`` stands for the last part of the path → what that file is to the path; empty, the path."""
_ITSELF: Names = {"{}": ""}
STREAM = Path("-")
"""Standard output, where a parameter says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a command does at a path and beside it."""

    reads: Names = field(default_factory=dict)
    writes: Names = field(default_factory=dict)
    works: Names = field(default_factory=dict)
    """Folders of a run, which are emptied and removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """A footprint that depends on what else was given."""

    when: Callable[[click.Context], bool]
    footprint: Footprint


class Place(click.Path):
    """A path with its footprint.

    Whether it can be read is found when it is, and reported as what it is: a kit or key that is unreadable, not usage.
    """

    def __init__(
        self,
        footprint: Footprint,
        *conditional: Conditional,
        is_room: bool = False,
        is_exchanged: bool = False,
        is_stream: bool = False,
    ) -> None:
        """Declare what is done at the path.

        Args:
            footprint: What is always done.
            conditional: What is done besides, and when.
            is_room: A folder that is there and in which files of names of their own are made.
            is_exchanged: A file that is replaced if it is there.
            is_stream: ``-`` is standard output.
        """
        super().__init__(path_type=Path, readable=False)
        self.is_room = is_room
        self.is_exchanged = is_exchanged
        self.is_stream = is_stream
        self._always = footprint
        self._conditional = conditional

    def footprints(self, context: click.Context) -> list[Footprint]:
        """Return what the command of ``context`` does at such a path."""
        return [self._always, *(one.footprint for one in self._conditional if one.when(context))]


class NameOrFile(click.types.StringParamType):
    """The name of something that comes with kit, or else a file that is read."""

    place = Place(Footprint(reads=_ITSELF))

    def is_file(self, text: str) -> bool:
        """Return whether there is a file of that name."""
        return os.path.lexists(text)


def _beside(*suffixes: str) -> dict[str, str]:
    """Return the names of archives with these suffixes and of what is beside each."""
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
    """Return the names that replacing a file takes: its own, and the new one's until it is whole."""
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
"""A kit that is written; nothing may be there."""
NEW_DELTA = Place(Footprint(writes=_beside(""), works=_BUILD), _LANDING)
"""A delta that is written; nothing may be there."""
NEW = Place(Footprint(writes=_ITSELF))
"""A file that is written; nothing may be there."""
NEW_OR_STREAM = Place(Footprint(writes=_ITSELF), is_stream=True)
"""The same, or standard output."""
NEW_SECRET = Place(Footprint(writes={"{}": "", ".{}.recovering": "unfinished file"}))
"""A file of plaintext that is written; nothing may be there."""
NEW_KEYS = Place(Footprint(writes={"{}": "", "{}.pub": "public key"}))
"""A private key that is written, and the public key beside it."""
EXCHANGED = Place(Footprint(writes=_replaced("")), is_exchanged=True)
"""A file that is written, and replaced where it is there."""
EXCHANGED_OR_STREAM = Place(Footprint(writes=_replaced("")), is_exchanged=True, is_stream=True)
"""The same, or standard output."""
APPENDED = Place(Footprint(reads=_ITSELF, writes=_ITSELF))
"""A file that is read and written."""
SIGNED = Place(Footprint(reads={"{}": "", "{}.jws": "signature"}))
"""A file that is read with its signature."""
POLICY = Place(Footprint(reads={"{}": "", "{}.jws": "signature", "{}.state": "state"}, writes=_STATE))
"""A trust policy that is read; its state is changed."""
CHANGED_POLICY = Place(Footprint(reads=_ITSELF, writes={**_replaced(""), **_replaced("signature", "{}.jws"), **_STATE}))
"""A trust policy that is made, signed, changed or replaced."""
KEYRING = Place(Footprint(reads=_ITSELF), Conditional(when=_changes_keyring, footprint=Footprint(writes=_KEYRING)))
"""A keyring that is read and, where something is encrypted, gets keys."""
CHANGED_KEYRING = Place(Footprint(reads=_ITSELF, writes=_KEYRING))
"""A keyring that is made or changed."""
ROOM = Place(Footprint(), is_room=True)
"""A folder that is there, in which a run works."""
NAME_OR_FILE = NameOrFile()
