"""The check, before any work, that a command overwrites neither what it reads nor another output.

It collects every path from the declared parameters (:mod:`kit.cli.places`) and compares them with :mod:`kit.apart`.
Law: a collision is reported only if one of the two files is written.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kit import apart
from kit.apart import Claim, Use, claim_of, folder_keys, keys_of, require_short
from kit.cli.hints import filter_hints
from kit.cli.places import STREAM, NameOrFile, Place
from kit.errors import KitError, UsageError


class Command(click.Command):
    """A command of kit: its paths are checked first, and hints fit it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Check the paths, then run the command.

        Raises:
            UsageError: As for :func:`require_apart`, or text is not UTF-8.
        """
        _require_text(ctx)
        require_apart(ctx)
        try:
            return super().invoke(ctx)
        except KitError as error:
            filter_hints(error, ctx)
            raise


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def _require_text(context: click.Context) -> None:
    """Check that text is UTF-8: neither JSON nor BSON can hold other text, and would refuse it after the work."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        for text in value if isinstance(value, tuple) else (value,):
            if (
                isinstance(text, str)
                and not isinstance(parameter.type, NameOrFile)
                and any("\ud800" <= char <= "\udfff" for char in text)
            ):
                raise UsageError(f"{_label(parameter)}: its text is not UTF-8")


def require_apart(context: click.Context) -> None:
    """Check that a command overwrites neither its inputs nor another output.

    Raises:
        UsageError: Two parameters name the same file (the message names it and both). Or a name is too long for its
            sidecars, what would be replaced is not a regular file, or the working folder would be removed.
    """
    named = list(_named(context))
    claims = [claim for parameter, place, path in named for claim in _claims(context, parameter, place, path)]
    apart.require_apart(claims)
    for parameter, place, path in named:
        if place.is_exchanged:
            _require_regular(path, parameter)
    for claim in claims:
        if claim.use in {Use.WRITE, Use.WORK}:
            require_short(claim)
    if context.params.get("in_place") and context.params.get("no_backup"):
        _require_from_outside([claim for claim in claims if claim.use is Use.WRITE])


def _named(context: click.Context) -> Iterator[tuple[str, Place, Path]]:
    """Yield each path of the command line with the name and type of its parameter."""
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


def _claims(context: click.Context, parameter: str, place: Place, path: Path) -> Iterator[Claim]:
    if place.is_room:
        yield claim_of(path, Use.ROOM, parameter, "")
    settled = path if path.name not in {"", ".."} else Path(os.path.realpath(path))
    for footprint in place.footprints(context):
        for use, names in (
            (Use.READ, footprint.reads),
            (Use.WRITE, footprint.writes),
            (Use.WORK, footprint.works),
        ):
            for name, role in names.items():
                yield claim_of(settled.parent / name.replace("{}", settled.name), use, parameter, role)


def _require_regular(path: Path, parameter: str) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # the writer refuses a folder
        what = "is a symbolic link" if stat.S_ISLNK(mode) else "is not a regular file"
        raise UsageError(
            f"{what}, and would be replaced by the file of {parameter}",
            where=str(path),
            hint=f"name the file itself with {parameter}",
        )


def _require_from_outside(written: list[Claim]) -> None:
    """Check that the working folder is not removed: relative paths would then lead nowhere."""
    try:
        here = Path.cwd()
    except OSError:
        return
    around = keys_of(here) | folder_keys(here)
    for claim in written:
        if not claim.role and claim.path.is_dir() and claim.keys & around:
            raise UsageError(
                "the working folder is inside, and would be removed with the old kit",
                where=str(claim.path),
                hint=f"cd {claim.path.resolve().parent}",
            )
