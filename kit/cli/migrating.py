"""Options for the migration to apply: its file, or the flags that are shorthand for one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kit.cli.choices import MIGRATIONS, TRANSFORMS, VALIDATIONS
from kit.cli.encrypting import EncryptOptions, encrypt_options
from kit.cli.options import FILE, read_file
from kit.cli.places import NAME_OR_FILE
from kit.errors import UnreadableError

if TYPE_CHECKING:
    from kit.migrations import Migration
    from kit.transforms.protocol import Transform

_IN_THE_FILE = ("transforms", "on_divergence", "cache_map", "field_map", "profile", "iv")
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


def migration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a migration, which plan and patch share."""
    for option in reversed(
        (
            click.option(
                "--migration",
                type=NAME_OR_FILE,
                metavar="MIGRATION",
                help=f"The migration to apply: a file (schemas/migration.md), or one of {', '.join(MIGRATIONS)}.",
            ),
            click.option(
                "--transform",
                "transforms",
                type=TransformName(),
                multiple=True,
                default=("raw-linkset",),
                show_default=True,
                help="A transform to apply, in this order. Repeatable. Shorthand for a migration.",
            ),
            click.option("--tenant", "tenants", multiple=True, metavar="T", help="Only this tenant. Repeatable."),
            click.option(
                "--on-divergence",
                type=click.Choice(("warn", "stop")),
                default="warn",
                show_default=True,
                help="What to do if rawLinkset and the canonical linkset disagree.",
            ),
            click.option(
                "--cache-map", type=FILE, metavar="FILE", help="Where cached payloads are (schemas/cache-map.md)."
            ),
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
    stopping, cache_map = what.pop("on_divergence") == "stop", what.pop("cache_map")
    validation = frozenset(Validation(word) for word in what.pop("validations"))
    if name is not None:
        _require_no_others()
        found = load_migration(name).narrowed(tenants)
        found = replace(found, validation=found.validation | validation)
    else:
        found = Migration.of(
            tuple(
                _transform(one, encryption, tenants, stopping=stopping, cache_map=cache_map)
                for one in dict.fromkeys(names)
            ),
            validation=validation,
        )
        if found.rollback.decision is Decision.RESTORE_BACKUP and not keeps_backup:
            found = replace(found, rollback=replace(found.rollback, decision=Decision.RESTORE_COPY))
    return found.with_note(note)


def _transform(
    name: str, encryption: EncryptOptions, tenants: frozenset[str] | None, *, stopping: bool, cache_map: Path | None
) -> Transform:
    from kit.transforms import registry
    from kit.transforms.protocol import Selection
    from kit.transforms.raw_linkset import RawLinkset, parse_cache_map

    if name == "encrypt-fields":
        return encryption.transform(tenants)
    if name == "raw-linkset":
        backfill = RawLinkset(tenants=tenants, stop_on_divergence=stopping)
        if cache_map is None:
            return backfill
        return backfill.with_cache(parse_cache_map(read_file(cache_map), where=str(cache_map)))
    kind = registry.find(name)
    if kind is None:
        raise click.UsageError(f"there is no transform {name!r}")
    return kind.of_parameters({}).selecting(Selection(tenants=tenants, stop_on_divergence=stopping))


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
