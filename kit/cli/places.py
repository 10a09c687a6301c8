"""Types of path parameters: what is read and written at a path and next to it, and which kind of file is expected.

The parameters of kit, which have these types, are in :mod:`kit.cli.paths`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from kit.cli.settings.sources import SECRET_SCHEMES
from kit.errors import (
    ArchiveError,
    ContentError,
    DigestError,
    KeyUnusableError,
    KitError,
    ManifestError,
    SignatureError,
    UsageError,
)
from kit.values.file_kind import FileKind

Names = Mapping[str, str]
"""File name → role of that file; empty for the path itself.

In the name, ``{}`` is the last part of the path, and ``{stem}`` the same without ``.pem``.
"""
ITSELF: Names = {"{}": ""}
"""The path and nothing next to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The files that a command reads and writes at a path and next to it."""

    reads: Names = field(default_factory=dict)
    writes: Names = field(default_factory=dict)
    works: Names = field(default_factory=dict)
    """Folders of a run. They are emptied and removed."""
    numbered: Names = field(default_factory=dict)
    """Archives that are written with a generation and their sidecars; ``#`` in the name is any number."""


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
        expects: FileKind | None = None,
        is_room: bool = False,
        is_exchanged: bool = False,
        is_stream: bool = False,
    ) -> None:
        """Declare what is read and written.

        Args:
            footprint: Always read and written.
            conditional: Also read and written, under a condition.
            expects: What the file is to be. Another kind that is recognised is refused, with the command for it.
            is_room: An existing folder, in which the run makes files with its own names.
            is_exchanged: A file that is replaced if it exists.
            is_stream: ``-`` is standard output.
        """
        super().__init__(path_type=Path, readable=False)
        self.expects = expects
        self.is_room = is_room
        self.is_exchanged = is_exchanged
        self.is_stream = is_stream
        self._always = footprint
        self._conditional = conditional

    def footprints(self, context: click.Context) -> list[Footprint]:
        """Return what the command of ``context`` reads and writes at such a path."""
        return [self._always, *(one.footprint for one in self._conditional if one.when(context))]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """A secret that is in no file: in an environment variable, from a file descriptor, or in a PKCS#11 token."""

    scheme: str
    name: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


def _source(value: str) -> SecretSource:
    """Return the source that a word names.

    Raises:
        UsageError: The descriptor is not a number.
    """
    scheme, _, name = value.partition(":")
    if not name or (scheme == "fd" and not (name.isascii() and name.isdigit())):
        raise UsageError(f"{value[:80]!r}: env:NAME or fd:N is expected, with a number N")
    return SecretSource(scheme=scheme, name=name)


class SigningKeyPlace(Place):
    """A private key: a file, ``env:NAME``, ``fd:N`` or a ``pkcs11:`` URI. A file of such a name is ``./env:NAME``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path or the source.

        Raises:
            UsageError: The descriptor is not a number.
        """
        if isinstance(value, str) and value.startswith(SECRET_SCHEMES):
            if value.startswith("pkcs11:"):
                from kit.tokens.uri import TokenUri

                TokenUri.parse(value)  # before the work, and before a message can show a PIN in it
                scheme, _, name = value.partition(":")
                return SecretSource(scheme=scheme, name=name)
            return _source(value)
        return super().convert(value, param, ctx)


class SecretLine(click.ParamType[int | SecretSource]):
    """A passphrase or PIN: the next line of a file descriptor (``N`` or ``fd:N``), or ``env:NAME``."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | SecretSource:  # noqa: ARG002  of click
        """Return the number of the descriptor, or the variable.

        Raises:
            UsageError: It is neither.
        """
        if isinstance(value, int | SecretSource):
            return value
        text = str(value).removeprefix("fd:")
        if text.isascii() and text.isdigit():
            return int(text)
        scheme, _, name = text.partition(":")
        if scheme == "env" and name:
            return SecretSource(scheme=scheme, name=name)
        # The value itself is not shown: it may be the passphrase.
        raise UsageError(
            "the number of a file descriptor or env:NAME is expected", where=param.opts[0] if param else ""
        )


SECRET_LINE = SecretLine()


class SecretParameter(click.types.StringParamType):
    """A secret that is never a file and never an argument: ``env:NAME`` or ``fd:N``."""

    def __init__(self, what: str) -> None:
        """Name what it is, for messages."""
        super().__init__()
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the source.

        Raises:
            UsageError: It is none. What was given instead may be the secret, and is not repeated.
        """
        text = super().convert(value, param, ctx)
        if not text.startswith(SECRET_SCHEMES):
            raise UsageError(
                f"{self._what} is no argument, which every user of this machine can read",
                hint="put it into an environment variable or a descriptor: env:NAME or fd:N",
            )
        return _source(text)


class KeysPlace(Place):
    """Public keys: a file of one or more, or a folder of such files."""


class NameOrFile(click.types.StringParamType):
    """The name of something that comes with kit, else a file that is read."""

    def __init__(self, expects: FileKind | None = None) -> None:
        """Declare what the file is to be."""
        super().__init__()
        self.place = Place(Footprint(reads=ITSELF), expects=expects)

    def is_file(self, text: str) -> bool:
        """Return whether there is a file of that name."""
        return os.path.lexists(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An input, and the kind of file that its parameter expects."""

    parameter: str
    kind: FileKind
    path: Path


def require_kinds(inputs: Iterable[Expected], context: click.Context) -> None:
    """Check that no input is recognised as another kind of file than the one its parameter expects.

    Raises:
        KitError: One is. The class, and so the exit code, is that of an input which its reader refuses.
    """
    from kit.archive.recognise import recognise

    known = ((one, recognise(one.path)) for one in inputs)
    wrong = [(one, found) for one, found in known if found is not None and not found.is_a(one.kind)]
    if not wrong:
        return
    (first, found), *others = wrong
    for other, actual in others:
        if (other.kind, actual) == (found, first.kind):
            raise ArchiveError(
                f"is {_name(found)}, and {other.path} is {_name(actual)}",
                where=str(first.path),
                hint=f"{first.parameter} and {other.parameter} are swapped{_swapped(context, other.path, first.path)}",
            )
    refusal = _refusal_of(first.kind, found)
    raise refusal(
        f"is {_name(found)}, not {first.kind.value}", where=str(first.path), hint=_command_for(found, first.path)
    )


def _swapped(context: click.Context, *inputs: Path) -> str:
    """Return the command with its two arguments in their order, if these are all that it has."""
    arguments = [one for one in context.command.params if isinstance(one, click.Argument)]
    if len(arguments) != len(inputs) or any(one.nargs != 1 for one in arguments):
        return ""
    return f": {context.command_path} {shlex.join(map(str, inputs))}"


def _refusal_of(expected: FileKind, found: FileKind | None) -> type[KitError]:
    """Return the class of error that the reader of the expected kind raises for that file."""
    if (expected, found) == (FileKind.KIT, FileKind.DELTA):
        return ManifestError  # an archive without the manifest of a kit
    refusals: Mapping[FileKind, type[KitError]] = {
        FileKind.KIT: ArchiveError,
        FileKind.DELTA: ArchiveError,
        FileKind.APPROVAL: SignatureError,
        FileKind.RECEIPT: SignatureError,
        FileKind.AUDIT_LOG: DigestError,
        FileKind.PAGE: DigestError,
    }
    return refusals.get(expected, ContentError)


def _name(kind: FileKind | None) -> str:
    return kind.value if kind is not None else "something else"


def _command_for(kind: FileKind | None, path: Path) -> str:
    from kit.archive.recognise import COMMANDS

    return COMMANDS[kind].replace("{}", shlex.quote(str(path))) if kind in COMMANDS else ""


def name_kind(error: KeyUnusableError, secrets: Iterable[Expected]) -> None:
    """Name what a file is that was given as a key or keyring and is none.

    Secrets are not opened before their reader has refused them: some are opened only after a record was written.
    """
    from kit.archive.recognise import recognise

    for one in secrets:
        is_it = error.where == str(one.path) or error.where.startswith(f"{one.path}, block ")
        found = recognise(one.path) if is_it else None
        if found is None or found is one.kind or (found.is_key and one.kind is not FileKind.KEYRING):
            continue
        wanted = one.kind.value if one.kind is FileKind.KEYRING else "a key"
        error.what, error.where = f"is {_name(found)}, not {wanted}", str(one.path)
        error.hint = _command_for(found, one.path)
