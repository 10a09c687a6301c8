"""Help in groups: what a command needs first, what few runs need last, or with ``--help-all`` only.

The tables name options and commands by their names. One that no table names is under the general heading, so that a
new one is never lost. ``-q`` and ``-v``, which every command has, are here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import click

NEEDED, GENERAL, TRUST, RESUMING, REPORTS = "Needed", "Options", "Trust and time", "Interrupted runs", "Reports"
SOURCES, ENCRYPTION = "Other sources and checklist", "Encryption and key access"
MACHINE, HELP = "Limits and machine", "Help"
_ORDER: Final = (NEEDED, GENERAL, TRUST, RESUMING, REPORTS, SOURCES, ENCRYPTION, MACHINE, HELP)
_RARE: Final = (SOURCES, ENCRYPTION, MACHINE)
_MANY: Final = 22
"""Options that are a page. A command with more shows the rare groups with ``--help-all`` only."""

_USUALLY_NEEDED: Final = frozenset({"--output", "--in-place", "--signing-key", "--trusted-key", "--trust"})
_NOT_NEEDED: Final = {
    "cat": frozenset({"--output"}),
    "plan": frozenset({"--output", "--in-place", "--signing-key"}),
    "verify": frozenset({"--signing-key"}),
    "export-changes": frozenset({"--signing-key"}),
    "compare": frozenset({"--signing-key"}),
    "prove": frozenset({"--trusted-key", "--trust"}),
}
"""By command: what is needed in others, and only for something more in this one."""
_PLACES: Final = {
    **dict.fromkeys(
        ("--trusted-key", "--trust", "--at", "--force", "--reason", "--insecure-unverified-base", "--created-at"), TRUST
    ),
    **dict.fromkeys(("--resume", "--abandon", "--work-folder"), RESUMING),
    **dict.fromkeys(
        ("--html", "--receipt", "--write-script", "--record", "--metrics", "--progress", "--json", "--markdown"),
        REPORTS,
    ),
    **dict.fromkeys(("--quiet", "--verbose"), REPORTS),
    **dict.fromkeys(
        ("--passphrase-fd", "--keyring", "--keyring-passphrase-fd", "--keyring-key", "--age-identity"), ENCRYPTION
    ),
    **dict.fromkeys(("--pkcs11-module", "--pkcs11-pin-fd", "--field-map", "--profile", "--iv"), ENCRYPTION),
    **dict.fromkeys(("--reference", "--reference-collection", "--rollback-note", "--rekey"), ENCRYPTION),
    **dict.fromkeys(("--canary", "--canary-file", "--canary-everywhere", "--most-copies"), ENCRYPTION),
    **dict.fromkeys(("--workers", "--max", "--max-memory", "--nice", "--executor", "--temp"), MACHINE),
    **dict.fromkeys(("--allow-links", "--allow-names", "--allow-records", "--allow-unimportable"), MACHINE),
    **dict.fromkeys(("--cache-map", "--snapshots", "--insecure-unverified-snapshots"), SOURCES),
    **dict.fromkeys(("--stated", "--not-applicable"), SOURCES),
    **dict.fromkeys(("--help", "--help-all"), HELP),
}

COMMANDS: Final = (
    ("Look at a kit", ("inspect", "ls", "find", "cat", "census", "diff", "extract")),
    ("Change a kit", ("create", "sign", "plan", "patch", "export-changes", "rollback", "jobs", "delta")),
    ("Judge a kit", ("verify", "compare", "prove", "receipt")),
    ("Keys and policies", ("keys", "trust", "keyring")),
    ("Decrypt in an incident", ("approval", "recover", "audit")),
    ("This program", ("config", "formats", "selftest", "completion")),
)
"""Groups of commands. A command in none of them is in the last."""

_QUIET, _VERBOSE, _ALL = (f"kit.cli.{name}" for name in ("quiet", "verbose", "help-all"))


def common_options() -> list[click.Option]:
    """Return the options that every command has."""
    return [
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_note(_QUIET),
            help="Print no report, and no progress; warnings and errors only.",
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_note(_VERBOSE),
            help="Print a line of progress per batch, also for a small kit and without a terminal.",
        ),
        click.Option(
            ["--help-all"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_all,
            help="Show all options and exit.",
        ),
    ]


def _note(name: str) -> Any:
    def callback(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
        if wanted:
            context.meta[name] = True
            if {_QUIET, _VERBOSE} <= context.meta.keys():
                raise click.UsageError("--quiet and --verbose exclude each other")

    return callback


def _show_all(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        show_everything(context)
        click.echo(context.get_help())
        context.exit()


def show_everything(context: click.Context) -> None:
    """Make the help of a context show the rare options too."""
    context.meta[_ALL] = True


def is_quiet() -> bool:
    """Return whether the command that runs was asked for no report (``-q``)."""
    return _is_noted(_QUIET)


def is_verbose() -> bool:
    """Return whether the command that runs was asked for more (``-v``)."""
    return _is_noted(_VERBOSE)


def _is_noted(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(name))


def write_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options of a command in groups, the needed ones first."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in command.get_params(context):
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None:
            groups.setdefault(_group(command, option), []).append(record)
    hidden: list[str] = []
    if sum(map(len, groups.values())) > _MANY and not context.meta.get(_ALL):
        hidden = [name for name in _RARE if name in groups]
    for name in _ORDER:
        if name in groups and name not in hidden:
            with formatter.section(name):
                formatter.write_dl(groups[name])
    if hidden:
        count = sum(len(groups[name]) for name in hidden)
        names = ", ".join(name[0].lower() + name[1:] for name in hidden)
        formatter.write_paragraph()
        formatter.write_text(f"{count} more options, of {names}: {context.command_path} --help-all")


def _group(command: click.Command, option: click.Parameter) -> str:
    name = max(option.opts, key=len)
    is_usual = name in _USUALLY_NEEDED and name not in _NOT_NEEDED.get(command.name or "", ())
    return NEEDED if option.required or is_usual else _PLACES.get(name, GENERAL)


class GroupedCommand(click.Command):
    """A command whose help is in groups, with the options that every command has."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, with those that every command has before ``--help``."""
        *own, last = super().get_params(ctx)
        return [*own, *common_options(), last]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups."""
        write_options(self, ctx, formatter)


def grouped_commands(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading with the commands that there are of it."""
    left = list(names)
    known = {name for _, group in COMMANDS for name in group}
    for heading, group in COMMANDS:
        found = [name for name in group if name in left]
        if heading == COMMANDS[-1][0]:
            found += [name for name in left if name not in known]
        if found:
            yield heading, found
