"""The check that a command writes nowhere where it reads, or writes something else: before anything is done.

It takes every path from the parameters as they are declared (:mod:`kit.cli.places`). Two paths are one place if one
file has both names (device and inode: hard links, symbolic links, ``./`` and ``..``, folders mounted twice). What is
not there yet is compared by its folder and its name, where case, trailing dots and the Unicode form do not count: some
file systems ignore them. Law: no message of a collision unless one of the two is written.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from itertools import combinations
from pathlib import Path
from typing import Any

import click

from kit.cli.hints import fit
from kit.cli.places import STREAM, NameOrFile, Place
from kit.errors import KitError, UsageError

_MAX_LINKS = 40
"""As many as Linux follows (path_resolution(7))."""
_NAME_MAX = 255

_Key = tuple[object, ...]


class Command(click.Command):
    """A command of kit: its paths are compared before it begins, and hints are about it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Check the paths, then run the command.

        Raises:
            UsageError: As :func:`require_apart`, or text is not UTF-8.
        """
        _require_text(ctx)
        require_apart(ctx)
        try:
            return super().invoke(ctx)
        except KitError as error:
            fit(error, ctx)
            raise


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def _require_text(context: click.Context) -> None:
    """Refuse text that is not UTF-8, which neither JSON nor BSON can hold: it would be refused after the work."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        for text in value if isinstance(value, tuple) else (value,):
            if (
                isinstance(text, str)
                and not isinstance(parameter.type, NameOrFile)
                and any("\ud800" <= char <= "\udfff" for char in text)
            ):
                raise UsageError(f"{_label(parameter)}: its text is not UTF-8")


class _Use(Enum):
    READ = auto()
    WRITE = auto()
    WORK = auto()
    """A folder that is emptied and removed."""
    ROOM = auto()
    """A folder in which something is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """One place that a command reads or writes, and what it is to the path that the user named."""

    path: Path
    use: _Use
    parameter: str
    role: str
    keys: frozenset[_Key]
    above: frozenset[_Key]

    @property
    def phrase(self) -> str:
        return f"the {self.role} of {self.parameter}" if self.role else self.parameter


def require_apart(context: click.Context) -> None:
    """Refuse a command that would write over what it reads, or two things at one place.

    Raises:
        UsageError: Names the place and both parameters; or a name is too long for what is put beside it, a file that
            would be replaced is none, or the working folder would be removed.
    """
    named = list(_named(context))
    claims = [claim for parameter, place, path in named for claim in _claims(context, parameter, place, path)]
    for one, other in combinations(claims, 2):
        if one.parameter != other.parameter:
            _require_apart(one, other)
    for parameter, place, path in named:
        if place.is_exchanged:
            _require_regular(path, parameter)
    for claim in claims:
        if claim.use in {_Use.WRITE, _Use.WORK}:
            _require_short(claim)
    if context.params.get("in_place") and context.params.get("no_backup"):
        _require_from_outside([claim for claim in claims if claim.use is _Use.WRITE])


def _named(context: click.Context) -> Iterator[tuple[str, Place, Path]]:
    """Yield each path of the command line with its parameter's name and type."""
    for parameter in context.command.params:
        label = _label(parameter)
        value = context.params.get(parameter.name or "")
        kinds = parameter.type.types if isinstance(parameter.type, click.Tuple) else (parameter.type,)
        values: tuple[Any, ...] = value or () if parameter.multiple or parameter.nargs == -1 else (value,)
        for one in values:
            parts = one if isinstance(parameter.type, click.Tuple) and one is not None else (one,)
            for kind, part in zip(kinds, parts, strict=False):
                if part is None:
                    continue
                if isinstance(kind, Place) and not (kind.is_stream and part == STREAM):
                    yield label, kind, part
                elif isinstance(kind, NameOrFile) and kind.is_file(part):
                    yield label, kind.place, Path(part)


def _label(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.human_readable_name.split()[0]


def _claims(context: click.Context, parameter: str, place: Place, path: Path) -> Iterator[_Claim]:
    if place.is_room:
        yield _claim(path, _Use.ROOM, parameter, "")
    settled = path if path.name not in {"", ".."} else Path(os.path.realpath(path))
    for footprint in place.footprints(context):
        for use, names in (
            (_Use.READ, footprint.reads),
            (_Use.WRITE, footprint.writes),
            (_Use.WORK, footprint.works),
        ):
            for name, role in names.items():
                yield _claim(settled.parent / name.replace("{}", settled.name), use, parameter, role)


def _claim(path: Path, use: _Use, parameter: str, role: str) -> _Claim:
    return _Claim(path=path, use=use, parameter=parameter, role=role, keys=_keys(path), above=_above(path))


def _require_apart(one: _Claim, other: _Claim) -> None:
    if {one.use, other.use} in ({_Use.READ}, {_Use.ROOM}):
        return
    if one.keys & other.keys:
        alike = one.path.name != other.path.name and _is_free(one) and _is_free(other)
        are = "have names that some file systems take for one" if alike else "are one place"
        raise UsageError(
            f"{one.phrase} and {other.phrase} {are}, and it would be written",
            where=str(other.path),
            hint=_way_out(one, other),
        )
    for inner, outer in ((one, other), (other, one)):
        if (
            outer.use is not _Use.ROOM
            and (inner.use is not _Use.READ or outer.use is _Use.WORK)
            and inner.above & outer.keys
        ):
            what = "the kit that is read" if outer.use is _Use.READ and not outer.role else outer.phrase
            raise UsageError(
                f"{inner.phrase} would be inside {what}", where=str(inner.path), hint=_way_out(inner, outer)
            )


def _is_free(claim: _Claim) -> bool:
    return not os.path.lexists(claim.path)


def _way_out(one: _Claim, other: _Claim) -> str:
    """Name the parameter to change: an option, and one that writes something besides the kit, if there is one."""
    ranked = sorted(
        (one, other),
        key=lambda claim: (not claim.parameter.startswith("-"), claim.use is _Use.READ, claim.parameter == "--output"),
    )
    return f"choose another place for {ranked[0].parameter}"


def _require_regular(path: Path, parameter: str) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder the writer complains
        what = "is a symbolic link" if stat.S_ISLNK(mode) else "is no regular file"
        raise UsageError(
            f"{what}, and would be replaced by the file of {parameter}",
            where=str(path),
            hint=f"name the file itself for {parameter}",
        )


def _require_short(claim: _Claim) -> None:
    """Refuse a name to which what is put beside it cannot be added: the system would, after the work."""
    try:
        longest = os.pathconf(claim.path.parent, "PC_NAME_MAX")
    except (OSError, ValueError):
        longest = _NAME_MAX
    length = len(os.fsencode(claim.path.name))
    if length > longest:
        raise UsageError(
            f"{claim.phrase} would have a name of {length} bytes, and {longest} are the most here",
            where=str(claim.path),
            hint=f"choose a shorter name for {claim.parameter}",
        )


def _require_from_outside(written: list[_Claim]) -> None:
    """Refuse to remove the folder that the command runs in: every path that is relative to it would lead nowhere."""
    try:
        here = Path.cwd()
    except OSError:
        return
    around = _keys(here) | _above(here)
    for claim in written:
        if not claim.role and claim.path.is_dir() and claim.keys & around:
            raise UsageError(
                "the working folder is inside, and would be removed with the old kit",
                where=str(claim.path),
                hint=f"cd {claim.path.resolve().parent}",
            )


def _keys(path: Path) -> frozenset[_Key]:
    """Return every way to tell which place a path is; two paths are one place if they share one."""
    keys: set[_Key] = set()
    for _ in range(_MAX_LINKS):
        if path.name in {"", ".."}:
            path = Path(os.path.realpath(path))
        folder = _folder(path.parent)
        try:
            status = path.lstat()
        except (OSError, ValueError):
            keys.add(("free", *folder, _folded(path.name)))
            break
        keys |= {("named", *folder, path.name), ("file", status.st_dev, status.st_ino)}
        if not stat.S_ISLNK(status.st_mode):
            break
        with suppress(OSError):  # it leads nowhere yet
            keys.add(_file(path.stat()))
        try:
            path = path.parent / path.readlink()  # replaced, the link would lead elsewhere; and so would the next
        except OSError:
            break
    return frozenset(keys)


def _above(path: Path) -> frozenset[_Key]:
    """Return the keys of every folder that a path is in."""
    real = Path(os.path.realpath(path.parent))
    return frozenset(key for folder in (real, *real.parents) for key in _keys(folder))


def _folder(folder: Path) -> _Key:
    """Return which folder one is: device and inode of it or, where it is not there, of the nearest above and names."""
    real = os.path.realpath(folder)
    missing: list[str] = []
    while True:
        try:
            return (*_file(os.stat(real))[1:], *missing)  # noqa: PTH116  text throughout
        except OSError:
            above, name = os.path.split(real)
            if above == real:
                return (real, *missing)
            real, missing = above, [_folded(name), *missing]


def _file(status: os.stat_result) -> _Key:
    return ("file", status.st_dev, status.st_ino)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).rstrip(" .")
