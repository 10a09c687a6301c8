"""The table of commands: where each is and its summary. A command is imported when it runs or prints its help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from kit.cli.exit_codes import codes_text


@dataclass(frozen=True, slots=True)
class Home:
    """Where a command is, and its line in the list of commands."""

    place: str
    """Its module in this package, and its name there."""
    purpose: str
    """The first sentence of its help; a test holds the two together."""


HOMES: Final = {
    "inspect": Home("inspect.inspect_command", "Show what KIT contains and claims, without verifying it."),
    "plan": Home("patch.plan_command", "Show exactly what patch would change in KIT; write nothing."),
    "patch": Home("patch.patch_command", "Patch KIT into a new signed generation."),
    "verify": Home("verify.verify_command", "Verify offline that KIT is what trusted keys signed."),
    "rollback": Home("rollback.rollback_command", "Restore the kit that an in-place patch or delta replaced."),
    "prove": Home("prove.prove_command", "Prove that KIT contains a document, or that it does not."),
    "extract": Home("extract.extract_command", "Write documents of KIT into files that stock tools read."),
    "selftest": Home("selftest.selftest_command", "Test whether kits on this disk survive crashes."),
    "diff": Home("diff.diff_command", "Show the differences between the kits A and B."),
    "delta": Home("delta.delta_group", "Build, apply and check deltas between kits."),
    "keys": Home("keys.keys_group", "Generate and show signing keys."),
    "trust": Home("trust.trust_group", "Create, change and show trust policies."),
    "keyring": Home("keyring.keyring_group", "Create, change and show keyrings of field encryption."),
    "recover": Home("recover.recover_command", "Decrypt the documents of KIT that an approval names."),
    "approval": Home("approval.approval_group", "Create, sign and show approvals to decrypt."),
    "audit": Home("recover.audit_group", "Verify audit logs."),
    "completion": Home("completion.completion_command", "Print the completion script of kit for SHELL."),
}
"""By name of the command."""


class Commands(click.Group):
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
        module, name = self.homes[cmd_name].place.split(".")
        command: click.Command = getattr(import_module(f"kit.cli.{module}"), name)
        _add_exit_codes(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands as click does, but import none of them."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._stand_in(name).get_short_help_str(limit)) for name in names])

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
