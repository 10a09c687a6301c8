"""Options of the commands that replace a kit: output, backup, resuming and abandoning a run.

Options for the migration to apply: its file, or the flags that are shorthand for one.

``--max-memory`` and ``--nice``: the share of the machine for a long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from kit.cli.encryption_options import EncryptOptions, encrypt_options
from kit.cli.options import FILE, MIGRATIONS, TRANSFORMS, VALIDATIONS, read_file
from kit.cli.output import print_report
from kit.cli.paths import MIGRATION_OR_NAME, NEW_BACKUP, ROOM
from kit.errors import UnreadableError, UsageError
from kit.values import CollectionPattern

if TYPE_CHECKING:
    from kit.migrations import Migration
    from kit.transforms.protocol import Transform
    from kit.transforms.raw_linkset import RawLinkset
    from kit.verbs.verify.kits import Environment

Command = TypeVar("Command", bound=Callable[..., Any])


def backup_options(command: Command) -> Command:
    """Add ``--backup`` and ``--no-backup``."""
    named = click.option(
        "--backup",
        type=NEW_BACKUP,
        metavar="PATH",
        help="With --in-place: keep the old kit as PATH, on the same file system.",
    )
    return named(click.option("--no-backup", is_flag=True, help="With --in-place: do not keep the old kit.")(command))


def resume_option(command: Command) -> Command:
    """Add ``--resume``."""
    return click.option(
        "--resume",
        "again",
        is_flag=True,
        help="Continue an interrupted run with its own options; keys and trust must be named again.",
    )(command)


def abandon_option(command: Command) -> Command:
    """Add ``--abandon``."""
    return click.option(
        "--abandon", "give_up", is_flag=True, help="Remove what an interrupted run left. The kit stays as it is."
    )(command)


def work_folder_option(*, is_resumable: bool) -> Callable[[Command], Command]:
    """Add ``--work-folder``; its help names ``--resume`` and ``--abandon`` only if the command has them."""
    repeated = " Repeat it with --resume and --abandon." if is_resumable else ""
    return click.option(
        "--work-folder",
        type=ROOM,
        metavar="DIR",
        help="Work in this folder instead of next to the output. Needed if the output is on FAT or CIFS, which keep no"
        f" file modes.{repeated}",
    )


def require_output(output: Path | None, *, in_place: bool, backup: Path | None, no_backup: bool) -> None:
    """Check that exactly one output is named.

    Raises:
        click.UsageError: None or both are, or what is for ``--in-place`` is given without it.
    """
    if (output is None) != in_place:
        raise click.UsageError("name the output: either --output OUT or --in-place")
    if no_backup and not in_place:
        raise click.UsageError("--no-backup needs --in-place")
    if backup is not None and not in_place:
        raise click.UsageError("--backup needs --in-place")
    if backup is not None and no_backup:
        raise click.UsageError("--backup and --no-backup exclude each other")


def require_one_action(*, again: bool, give_up: bool) -> None:
    """Check that ``--resume`` and ``--abandon`` are not both given.

    Raises:
        click.UsageError: Both are.
    """
    if again and give_up:
        raise click.UsageError("--resume and --abandon exclude each other")


def abandon_run(target: Path, work_folder: Path | None = None, *, as_json: bool) -> None:
    """Remove what an interrupted run on ``target`` left, and print a report.

    Raises:
        KitError: As for :func:`kit.verbs.jobs.abandon`.
    """
    from kit.reports.site import abandonment_json, abandonment_lines
    from kit.verbs.jobs import abandon

    given_up = abandon(target, work_folder)
    print_report(
        abandonment_lines(given_up),
        abandonment_json(given_up),
        as_json=as_json,
        done="the run is abandoned" if given_up.job else "",
    )


_IN_THE_FILE = ("transforms", "on_divergence", "cache_map", "field_map", "profile", "iv", "rekeyed")
"""Parameters that a migration file sets, so that no flag may."""


class TransformName(click.Choice[str]):
    """The name of a transform: one of the package, or one that another distribution adds."""

    name = "transform"

    def __init__(self) -> None:
        """Show the transforms of the package; others are only looked for when they are named."""
        super().__init__(TRANSFORMS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name.

        Raises:
            BadParameter: There is no such transform.
            UsageError: Two distributions add one of that name.
        """
        if value in TRANSFORMS:
            return str(value)
        from kit.transforms import registry

        if value not in registry.names():
            known = ", ".join(map(repr, registry.names()))
            self.fail(f"{value!r} is not one of {known}.", param, ctx)
        return str(value)


_MIGRATION = click.option(
    "--migration",
    type=MIGRATION_OR_NAME,
    metavar="MIGRATION",
    help=f"The migration to apply: a file (schemas/migration.md), or one of {', '.join(MIGRATIONS)}.",
)
_TENANT = click.option("--tenant", "tenants", multiple=True, metavar="T", help="Only this tenant. Repeatable.")
_ON_DIVERGENCE = click.option(
    "--on-divergence",
    type=click.Choice(("warn", "stop")),
    default="warn",
    show_default=True,
    help="What to do if rawLinkset and the canonical linkset disagree.",
)
_CACHE_MAP = click.option(
    "--cache-map", type=FILE, metavar="FILE", help="Where cached payloads are (schemas/cache-map.md)."
)


def backfill_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a migration that only appends ``rawLinkset``."""
    for option in reversed((_MIGRATION, _TENANT, _ON_DIVERGENCE, _CACHE_MAP)):
        command = option(command)
    return command


def take_backfill(what: dict[str, Any]) -> Migration:
    """Take the options of :func:`backfill_options` out of ``what`` and return the migration.

    Raises:
        KitError: As :func:`take_migration`.
    """
    from kit.migrations import Migration
    from kit.transforms.raw_linkset import RawLinkset

    name, tenants = what.pop("migration"), frozenset(what.pop("tenants")) or None
    stopping, cache_map = what.pop("on_divergence") == "stop", what.pop("cache_map")
    if name is not None:
        _require_no_others()
        return load_migration(name).narrowed(tenants)
    return Migration.of((with_cache(RawLinkset(tenants=tenants, stop_on_divergence=stopping), cache_map),))


def migration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a migration, which plan and patch share."""
    for option in reversed(
        (
            _MIGRATION,
            click.option(
                "--transform",
                "transforms",
                type=TransformName(),
                multiple=True,
                default=("raw-linkset",),
                show_default=True,
                help="A transform to apply, in this order. Repeatable. Shorthand for a migration.",
            ),
            _TENANT,
            click.option(
                "--collection",
                "collections",
                multiple=True,
                metavar="NAME",
                help="Only this collection: COLLECTION, in any database, or DB.COLLECTION. Repeatable.",
            ),
            _ON_DIVERGENCE,
            _CACHE_MAP,
            encrypt_options,
            click.option(
                "--validate",
                "validations",
                type=click.Choice(VALIDATIONS),
                multiple=True,
                help="An extra check that the new kit must pass before it gets its name. Integrity is always checked."
                " Repeatable.",
            ),
        )
    ):
        command = option(command)
    return command


def take_migration(
    what: dict[str, Any], encryption: EncryptOptions, note: str | None, *, keeps_backup: bool
) -> Migration:
    """Take the options of :func:`migration_options` out of ``what`` and return the migration.

    Raises:
        UsageError: They contradict each other.
        UnreadableError: A file does not exist.
        ContentError: A migration, cache map or field map is refused.
    """
    from kit.migrations import Decision, Migration, Validation

    name: str | None = what.pop("migration")
    names: tuple[str, ...] = what.pop("transforms")
    tenants = frozenset(what.pop("tenants")) or None
    collections = frozenset(CollectionPattern.parse(name) for name in what.pop("collections")) or None
    stopping, cache_map = what.pop("on_divergence") == "stop", what.pop("cache_map")
    validation = frozenset(Validation(word) for word in what.pop("validations"))
    if name is not None:
        _require_no_others()
        found = load_migration(name).narrowed(tenants, collections)
        found = replace(found, validation=found.validation | validation)
    else:
        found = Migration.of(
            tuple(
                _transform(one, encryption, tenants, stopping=stopping, cache_map=cache_map)
                for one in dict.fromkeys(names)
            ),
            validation=validation,
        ).narrowed(None, collections)
        if found.rollback.decision is Decision.RESTORE_BACKUP and not keeps_backup:
            found = replace(found, rollback=replace(found.rollback, decision=Decision.RESTORE_COPY))
    return found.with_note(note)


def _transform(
    name: str, encryption: EncryptOptions, tenants: frozenset[str] | None, *, stopping: bool, cache_map: Path | None
) -> Transform:
    from kit.transforms import registry
    from kit.transforms.protocol import Selection
    from kit.transforms.raw_linkset import RawLinkset

    if name == "encrypt-fields":
        return encryption.transform(tenants)
    if name == "raw-linkset":
        return with_cache(RawLinkset(tenants=tenants, stop_on_divergence=stopping), cache_map)
    kind = registry.find(name)
    if kind is None:
        raise click.UsageError(f"there is no transform {name!r}")
    return kind.of_parameters({}).selecting(Selection(tenants=tenants, stop_on_divergence=stopping))


def with_cache(backfill: RawLinkset, cache_map: Path | None) -> RawLinkset:
    """Return the backfill with the cached payloads that a cache map names; as it is without one.

    Raises:
        UnreadableError: The file does not exist.
        ContentError: It is no cache map.
    """
    from kit.transforms.raw_linkset import parse_cache_map

    if cache_map is None:
        return backfill
    return backfill.with_cache(parse_cache_map(read_file(cache_map), where=str(cache_map)))


def load_migration(name: str) -> Migration:
    """Return a built-in migration by its name, else that of a file.

    Raises:
        UnreadableError: The file does not exist.
        ContentError: It is refused.
    """
    from kit.migrations import BUILT_IN, built_in, parse_migration

    if name in BUILT_IN:
        return built_in(name, random=os.urandom)
    try:
        data = read_file(Path(name))
    except UnreadableError as error:
        error.hint = f"name a file, or one of {', '.join(BUILT_IN)}"
        raise
    return parse_migration(data, random=os.urandom, where=name)


def _require_no_others() -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
        if parameter.name in _IN_THE_FILE and given:
            raise click.UsageError(
                f"{parameter.opts[0]} and --migration exclude each other: the migration file sets it"
            )


_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MAX_DIGITS = 12
MAX_NICE = 19


def machine_options(command: Command) -> Command:
    """Add ``--max-memory`` and ``--nice``."""
    for option in reversed(
        (
            click.option(
                "--max-memory",
                metavar="SIZE",
                help="Limit the memory of all processes together: 512M, 2G. Fewer workers run, with less in flight.",
            ),
            click.option(
                "--nice",
                type=click.IntRange(0, MAX_NICE),
                metavar="N",
                help="Add N to the niceness of this process and its workers.",
            ),
        )
    ):
        command = option(command)
    return command


def limit_environment(environment: Environment, max_memory: str | None, nice: int | None) -> Environment:
    """Return the environment within ``--max-memory``, and apply ``--nice`` to this process.

    Raises:
        UsageError: The size is malformed, or too small for one worker.
    """
    from kit.engine.budget import allotment

    if nice:
        os.nice(nice)
    if max_memory is None:
        return environment
    found = allotment(environment.workers, _size(max_memory))
    return replace(environment, workers=found.workers, budget_per_worker=found.budget)


def _size(text: str) -> int:
    digits, unit = text.upper().removesuffix("IB").removesuffix("B"), 1
    if digits[-1:] in _UNITS:
        digits, unit = digits[:-1], _UNITS[digits[-1]]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise UsageError(f"--max-memory {text[:40]}: expected a size such as 512M or 2G")
    return int(digits) * unit
