"""Path parameters: each declares what is read and written there and next to it.

The check that no two parameters name the same file uses these declarations only. Every parameter that takes a path
therefore has one of the types of :mod:`kit.cli.places`, which a test checks.

The check, before any work, that a command overwrites neither what it reads nor another output.

It collects every path from the declared parameters (:mod:`kit.cli.paths`) and compares them with
:mod:`kit.output.paths`. Law: a collision is reported only if one of the two files is written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from kit.cli.commands import SuggestingGroup
from kit.cli.manual import GroupedCommand
from kit.cli.output import filter_hints, name_keys, print_warning
from kit.cli.places import (
    ITSELF,
    Conditional,
    Expected,
    Footprint,
    KeysPlace,
    NameOrFile,
    Place,
    SecretSource,
    SigningKeyPlace,
    name_kind,
    require_kinds,
)
from kit.cli.settings import options as settings
from kit.cli.settings.options import CONFIG, ConfiguredOption
from kit.errors import KeyUnusableError, KitError, UsageError
from kit.output import paths
from kit.output.key_names import stem
from kit.output.paths import BACKUP, ROLLED_BACK, SIDECARS, Claim, Use, claim_of, folder_keys, keys_of, require_short
from kit.values.file_kind import FileKind

STREAM = Path("-")
"""Standard output, for a parameter that allows it."""


def _beside(*suffixes: str) -> dict[str, str]:
    """Return the names of archives with these suffixes and of the sidecars of each."""
    kinds = {".sha256": "checksum", ".sig": "signature", BACKUP: "backup"}
    kinds |= {f"{BACKUP}.#": "backup", f"{ROLLED_BACK}.#": "newer kit, kept"}
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
    given = context.params
    return bool(given.get("in_place")) and not given.get("no_backup") and given.get("backup") is None


def _changes_keyring(context: click.Context) -> bool:
    return context.command.name in {"plan", "patch", "rewrap", "rekey", "import"}


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

READ = Place(Footprint(reads=ITSELF))
"""A file that is read."""
SIGNING_KEY = SigningKeyPlace(Footprint(reads=ITSELF))
"""A private key that is read."""
PUBLIC_KEYS = KeysPlace(Footprint(reads=ITSELF))
"""Public keys that are read."""
KIT = Place(_READ_KIT, expects=FileKind.KIT)
"""A kit that is read."""
DELTA = Place(_READ_KIT, expects=FileKind.DELTA)
"""A delta that is read."""
PROOF = Place(Footprint(reads=ITSELF), expects=FileKind.PROOF)
"""A proof that is read."""
RECEIPT = Place(Footprint(reads=ITSELF), expects=FileKind.RECEIPT)
"""A receipt that is read."""
PAGE = Place(Footprint(reads=ITSELF), expects=FileKind.PAGE)
"""A report page that is read."""
APPROVAL = Place(Footprint(reads=ITSELF), expects=FileKind.APPROVAL)
"""An approval that is read."""
AUDIT_LOG = Place(Footprint(reads=ITSELF), expects=FileKind.AUDIT_LOG)
"""An audit log that is read."""
KIT_IN_PLACE = Place(
    _READ_KIT,
    Conditional(when=_given("in_place"), footprint=_REPLACED_KIT),
    Conditional(when=_keeps_backup, footprint=Footprint(numbered=_beside(f"{BACKUP}.#"))),
    _LANDING,
    expects=FileKind.KIT,
)
"""A kit that is read and, with ``--in-place``, replaced."""
KIT_ROLLED_BACK = Place(
    _READ_KIT,
    Conditional(when=lambda _: True, footprint=_REPLACED_KIT),
    _LANDING,
    Conditional(when=lambda _: True, footprint=Footprint(numbered=_beside(f"{ROLLED_BACK}.#"))),
    Conditional(
        when=lambda context: context.params.get("backup") is None,
        footprint=Footprint(reads=_beside(BACKUP), writes=_beside(BACKUP), numbered=_beside(f"{BACKUP}.#")),
    ),
    expects=FileKind.KIT,
)
"""A kit that is replaced by its backup."""
NEW_KIT = Place(Footprint(writes=_beside(""), works=_JOB), _LANDING)
"""A kit that is written and must not exist."""
NEW_BACKUP = Place(Footprint(writes=_beside("")))
"""Where a kit that is replaced is kept."""
NEW_DELTA = Place(Footprint(writes=_beside(""), works=_BUILD), _LANDING)
"""A delta that is written and must not exist."""
NEW_BUILT_KIT = NEW_DELTA
"""A kit that is written by a run that is not resumed, and must not exist."""
NEW = Place(Footprint(writes=ITSELF))
"""A file that is written and must not exist."""
REPORT = Place(Footprint(writes=_replaced("")))
"""A report that is written. It replaces an earlier one, and nothing else."""
NEW_OR_STREAM = Place(Footprint(writes=ITSELF), is_stream=True)
"""The same, or standard output."""
NEW_SECRET = Place(Footprint(writes=_replaced("")))
"""A file of plaintext that is written; nothing may be there."""
NEW_KEYS = Place(Footprint(writes={"{}": "", "{stem}.pub.pem": "public key"}))
"""A private key that is written with its public key."""
EXCHANGED = Place(Footprint(writes=_replaced("")), is_exchanged=True)
"""A file that is written, and replaced if it exists."""
EXCHANGED_OR_STREAM = Place(Footprint(writes=_replaced("")), is_exchanged=True, is_stream=True)
"""The same, or standard output."""
APPENDED = Place(Footprint(reads=ITSELF, writes=ITSELF), expects=FileKind.AUDIT_LOG)
"""A file that is read and written."""
SIGNED = Place(Footprint(reads={"{}": "", "{}.jws": "signature"}), expects=FileKind.POLICY)
"""A file that is read with its signature."""
POLICY = Place(
    Footprint(reads={"{}": "", "{}.jws": "signature", "{}.state": "state"}, writes=_STATE), expects=FileKind.POLICY
)
"""A trust policy that is read; its state is changed."""
CHANGED_POLICY = Place(
    Footprint(reads=ITSELF, writes={**_replaced(""), **_replaced("signature", "{}.jws"), **_STATE}),
    expects=FileKind.POLICY,
)
"""A trust policy that is created, signed, changed or replaced."""
KEYRING = Place(
    Footprint(reads=ITSELF),
    Conditional(when=_changes_keyring, footprint=Footprint(writes=_KEYRING)),
    expects=FileKind.KEYRING,
)
"""A keyring that is read and, by a command that encrypts, gets keys."""
CHANGED_KEYRING = Place(Footprint(reads=ITSELF, writes=_KEYRING), expects=FileKind.KEYRING)
"""A keyring that is created or changed."""
ROOM = Place(Footprint(), is_room=True)
"""An existing folder in which a run works."""
FIELD_MAP_OR_NAME = NameOrFile(FileKind.FIELD_MAP)
"""A field map that is read, or one of kit's."""
MIGRATION_OR_NAME = NameOrFile(FileKind.MIGRATION)
"""A migration that is read, or one of kit's."""
ADAPTER_OR_NAME = NameOrFile()
"""An adapter of key records that is read, or one of kit's."""


class Command(GroupedCommand):
    """A command of kit: paths are checked first, hints fit it, help is in groups, and settings fill in options."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """Make the command; it takes ``--config`` if an option of it has a setting."""
        super().__init__(*arguments, **more)
        self._is_configured = any(isinstance(parameter, ConfiguredOption) for parameter in self.params)
        if self._is_configured:
            self.params.append(config_option())

    def invoke(self, ctx: click.Context) -> Any:
        """Check the paths, then run the command.

        Raises:
            UsageError: As for :func:`require_apart`, or text is not UTF-8.
            KitError: As for :func:`kit.cli.output.require_kinds`.
        """
        for text in settings.warnings(ctx, _kits(ctx)):
            print_warning(f"warning: {text}")
        _require_text(ctx)
        require_apart(ctx)
        if self._is_configured:
            del ctx.params[CONFIG]
        try:
            require_kinds(_expected(ctx, secret=False), ctx)
            return super().invoke(ctx)
        except KitError as error:
            if isinstance(error, KeyUnusableError):
                name_kind(error, _expected(ctx, secret=True))
            filter_hints(error, ctx)
            name_keys(error, ctx)
            raise


def config_option() -> click.Option:
    """Return ``--config``; :mod:`kit.cli.settings.options` reads its value."""
    return click.Option(
        ["--config", CONFIG],
        type=READ,
        metavar="FILE",
        help="Take settings from FILE instead of the user's kit.toml (kit config).",
    )


def _kits(context: click.Context) -> list[Path]:
    """Return the kits and deltas that the arguments of a command name."""
    arguments = [one for one in context.command.params if isinstance(one, click.Argument)]
    values = [context.params.get(one.name or "") for one in arguments if isinstance(one.type, Place)]
    found = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return [one for one in found if isinstance(one, Path)]


class Group(SuggestingGroup):
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
    numbers = _numbers(path for _, _, path in named)
    claims = [claim for parameter, place, path in named for claim in _claims(context, parameter, place, path, numbers)]
    paths.require_apart(claims)
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
                if part is None or isinstance(part, SecretSource):
                    continue
                if isinstance(kind, KeysPlace) and part.is_dir():
                    # Each file in it, not the folder: outputs may be there, as long as they replace no key.
                    yield from ((label, kind, file) for file in _entries(part))
                    continue
                if isinstance(kind, Place) and not (kind.is_stream and part == STREAM):
                    yield label, kind, part
                elif isinstance(kind, NameOrFile) and kind.is_file(part):
                    yield label, kind.place, Path(part)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []  # reported when the keys are read


def _expected(context: click.Context, *, secret: bool) -> list[Expected]:
    """Return the inputs that have an expected kind; ``secret``: those that may be keys, and keyrings."""
    return [
        Expected(parameter=label, kind=place.expects or FileKind.PRIVATE_KEY, path=path)
        for label, place, path in _named(context)
        if (place.expects in {None, FileKind.KEYRING}) is secret
    ]


def _label(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.human_readable_name.split()[0]


def _numbers(paths: Iterable[Path]) -> frozenset[str]:
    """Return the numbers in names of paths: of names with any number, only those with one of these can be one of them.

    What is there already is never overwritten (:func:`kit.output.paths.require_free`); this is about what is not.
    """
    names = {name for path in paths for name in (path.name, Path(os.path.realpath(path)).name)}
    return frozenset(number for name in names for number in re.findall(r"\.([0-9]+)", name))


def _claims(
    context: click.Context, parameter: str, place: Place, path: Path, numbers: frozenset[str]
) -> Iterator[Claim]:
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
                yield claim_of(settled.parent / _filled(name, settled.name), use, parameter, role)
        for name, role in footprint.numbered.items():
            for number in numbers:
                there = settled.parent / name.replace("#", number).replace("{}", settled.name)
                yield claim_of(there, Use.WRITE, parameter, role)


def _filled(name: str, last: str) -> str:
    mark = "{stem}" if "{stem}" in name else "{}"
    return name.replace(mark, stem(last) if mark == "{stem}" else last)


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
