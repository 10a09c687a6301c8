"""The table of commands: where each is and its summary. A command is imported when it runs or prints its help.

The table of exit codes, which ``--help`` and the README print, and their mapping from errors.

``kit completion``: the script, made by click, that a shell sources to complete commands, options and choices.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from kit import errors
from kit.cli.manual import GroupedCommand, grouped_commands
from kit.cli.output import print_bytes, print_report
from kit.errors import KitError, UsageError
from kit.reports.text import SCHEMA_VERSION

OK = 0
_NEAR = 0.6
"""How like a name of a command a mistyped one is, at least."""

TABLE: tuple[tuple[int, str], ...] = (
    (0, "ok"),
    (1, "not found or unreadable"),
    (2, "digest mismatch: damaged or changed"),
    (3, "unsigned"),
    (4, "untrusted or refused by policy"),
    (5, "signature or envelope invalid"),
    (7, "stale or expired"),
    (8, "rollback"),
    (9, "damaged, malformed or hostile archive, or a limit"),
    (10, "wrong base of a delta"),
    (11, "content invalid (BSON, schema, coverage)"),
    (12, "stopped by a stop rule"),
    (13, "key missing or unusable"),
    (64, "usage"),
    (70, "internal error"),
    (74, "output not written"),
    (130, "interrupted"),
)

# The nearest class in the inheritance of an error decides.
_CODES: dict[type[KitError], int] = {
    errors.UnreadableError: 1,
    errors.DigestError: 2,
    errors.UnsignedError: 3,
    errors.UntrustedError: 4,
    errors.SignatureError: 5,
    errors.StaleError: 7,
    errors.RollbackError: 8,
    errors.ArchiveError: 9,
    errors.WrongBaseError: 10,
    errors.ContentError: 11,
    errors.StoppedError: 12,
    errors.KeyUnusableError: 13,
    errors.UsageError: 64,
    errors.OutputError: 74,
    errors.InterruptedRunError: 130,
    KitError: 70,
}


def exit_code(error: KitError) -> int:
    """Return the exit code of an error."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def table_text() -> str:
    """Return the table for ``--help``."""
    return "\n".join(f"{code:>5}  {meaning}" for code, meaning in TABLE)


def codes_text() -> str:
    """Return the table as one paragraph, for the help of each command."""
    return "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in TABLE) + "."


@dataclass(frozen=True, slots=True)
class Home:
    """Where a command is, and its line in the list of commands."""

    place: str
    """Its module in this package, and its name there."""
    purpose: str
    """The first sentence of its help; a test holds the two together."""


HOMES: Final = {
    "inspect": Home("inspect.inspect_command", "Show what KIT contains and claims, without verifying it."),
    "ls": Home("inspect.ls_command", "List the members of KIT."),
    "cat": Home("inspect.cat_command", "Print the bytes of MEMBER of KIT."),
    "find": Home("inspect.find_command", "Find the documents of KIT that have TEXT as a name."),
    "census": Home("inspect.census_command", "Count what is on each path of the documents of KIT."),
    "plan": Home("patch.plan_command", "Show exactly what patch would change in KIT; write nothing."),
    "create": Home("publishing.create.create_command", "Create a signed kit of a folder, a dump or a tar archive."),
    "sign": Home("publishing.create.sign_command", "Add a signature to KIT."),
    "patch": Home("patch.patch_command", "Patch KIT into a new signed generation."),
    "verify": Home("verify.verify_command", "Verify offline that KIT is what trusted keys signed."),
    "compare": Home("databases.compare.compare_command", "Show whether a database has exactly the documents of KIT."),
    "jobs": Home("resuming.jobs_command", "List the unfinished jobs in FOLDER or in the current one."),
    "receipt": Home("publishing.receipt.receipt_group", "Show and verify receipts of kit verify and kit compare."),
    "rollback": Home("site.rollback_command", "Restore the kit that an in-place patch or delta replaced."),
    "prove": Home("documents.prove_command", "Prove that KIT contains a document, or that it does not."),
    "extract": Home("documents.extract_command", "Write documents of KIT into files that stock tools read."),
    "export-changes": Home(
        "publishing.export_changes.export_changes_command",
        "Export what patch would add to KIT, for a database.",
    ),
    "selftest": Home("site.selftest_command", "Test whether kits on this disk survive crashes."),
    "diff": Home("inspect.diff_command", "Show the differences between the kits A and B."),
    "delta": Home("delta.delta_group", "Build, apply and check deltas between kits."),
    "formats": Home("inspect.formats_command", "Show the formats of advisories that are read."),
    "keys": Home("keys.keys_group", "Generate and show signing keys."),
    "trust": Home("trust.trust_group", "Create, change and show trust policies."),
    "keyring": Home("keyring.command.keyring_group", "Create, change and show keyrings of field encryption."),
    "recover": Home("recover.recover_command", "Decrypt the documents of KIT that an approval names."),
    "approval": Home("recover.approval_group", "Create, sign and show approvals to decrypt."),
    "audit": Home("recover.audit_group", "Verify audit logs."),
    "config": Home("settings.command.config_command", "Show the settings in force, and where each comes from."),
    "completion": Home("commands.completion_command", "Print the completion script of kit for SHELL."),
}
"""By name of the command."""


class SuggestingGroup(click.Group):
    """A group that offers the nearest commands for a mistyped one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with, as click does.

        Raises:
            UsageError: There is none of that name; the nearest ones are offered.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, self.list_commands(ctx), n=2, cutoff=_NEAR)
            offer = f"; did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(f"there is no command {name[:40]!r}{offer}", ctx)
        return super().resolve_command(ctx, args)


class Commands(SuggestingGroup):
    """A group whose commands are imported on demand: ``kit`` itself, or a group of it.

    The help of the group and the completion of names use the table only.
    """

    def __init__(self, *arguments: Any, homes: Mapping[str, Home] = HOMES, **options: Any) -> None:
        """Set the table of commands; ``homes`` is like :data:`HOMES`."""
        super().__init__(*arguments, **options)
        self.homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands in alphabetical order, as click does."""
        return sorted(self.homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, imported; None if there is none of that name."""
        if cmd_name not in self.homes:
            return None
        module, _, name = self.homes[cmd_name].place.rpartition(".")
        command: click.Command = getattr(import_module(f"kit.cli.{module}"), name)
        _add_exit_codes(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands as click does, in groups for ``kit`` itself, but import none of them."""
        names = self.list_commands(ctx)
        width = max(map(len, names))
        groups = grouped_commands(names) if self.homes is HOMES else [("Commands", names)]
        for heading, group in groups:
            with formatter.section(heading):
                rows = [(name, self._stand_in(name).get_short_help_str(formatter.width - 6 - width)) for name in group]
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; ``help`` is a command as well, and takes the names of others."""
        if self.homes is HOMES and args[:1] == ["help"]:
            args = [
                *(word for word in args[1:] if not word.startswith("-")),
                "--help-all" if "--all" in args else "--help",
            ]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return completions as click does, but import none of the commands."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self._stand_in(name).get_short_help_str()) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def _stand_in(self, name: str) -> click.Command:
        return click.Command(name, help=self.homes[name].purpose)


def _add_exit_codes(command: click.Command) -> None:
    if not isinstance(command, click.Group):
        command.epilog = codes_text()
        return
    for inner in command.commands.values():
        _add_exit_codes(inner)


_SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_KIT_COMPLETE"
"""Set by the scripts when they ask this program for completions."""


@click.command("completion", cls=GroupedCommand)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.option("--json", "as_json", is_flag=True, help="Print the script as a member of a JSON object.")
@click.pass_context
def completion_command(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion script of kit for SHELL.

    It completes commands, options and choices.

    \b
    Examples:
      kit completion bash > ~/.local/share/bash-completion/completions/kit
      kit completion zsh > ~/.zfunc/_kit
      kit completion fish > ~/.config/fish/completions/kit.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(f"there is no completion for {shell}")
    # source() is not called: for bash it starts a bash, to warn of versions before 4.4.
    completion = made(context.find_root().command, {}, "kit", VARIABLE)
    script = (completion.source_template % completion.source_vars()).strip()
    if as_json:
        document = {"schemaVersion": SCHEMA_VERSION, "shell": shell, "script": script}
        print_report((), document, as_json=True)
    else:
        print_bytes(script.encode() + b"\n")


def complete(command: click.Command) -> int | None:
    """Answer a shell that asks for completions, and return the exit code; None if no shell asks."""
    asked = os.environ.get(VARIABLE)
    return shell_complete(command, {}, "kit", VARIABLE, asked) if asked else None
