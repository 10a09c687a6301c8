"""Which commands there are, where each is, and what for; one is imported when it is run or helps."""

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
    """Where a command is, and what help shows of it."""

    place: str
    """Its module within this package, and its name there."""
    purpose: str
    """The first sentence of its own help; a test holds the two together."""


HOMES: Final = {
    "inspect": Home(
        "inspect.inspect_command", "Show what is in KIT and who says to have signed it; nothing is verified."
    ),
    "plan": Home("patch.plan_command", "Show exactly what patch would change in KIT, and write nothing."),
    "patch": Home("patch.patch_command", "Patch KIT into a new signed generation, beside it or in place."),
    "verify": Home("verify.verify_command", "Decide offline whether KIT is what its signers say."),
    "rollback": Home(
        "rollback.rollback_command", "Put KIT.bak, which a patch or a delta in place kept, into the place of KIT again."
    ),
    "prove": Home(
        "prove.prove_command",
        "Prove that one document is in KIT, or that none with its _id is, to somebody who does not have KIT.",
    ),
    "extract": Home(
        "extract.extract_command",
        "Write documents of KIT into files that stock tools read; what is encrypted stays encrypted.",
    ),
    "selftest": Home(
        "selftest.selftest_command",
        "Kill runs of kit patch on this disk, resume them, and count what was lost: nothing may be.",
    ),
    "diff": Home(
        "diff.diff_command",
        "Tell what differs between the kits A and B: advisories, documents, members; nothing is verified.",
    ),
    "delta": Home("delta.delta_group", "Send the difference between two kits instead of the second one."),
    "keys": Home("keys.keys_group", "Make and show keys."),
    "trust": Home("trust.trust_group", "Make, show and change trust policies: whom to believe, for what, until when."),
    "keyring": Home("keyring.keyring_group", "Make and keep the keyring of field encryption."),
    "recover": Home(
        "recover.recover_command",
        "Decrypt the documents of KIT that an approval names, as they were, into a file of BSON.",
    ),
    "approval": Home("approval.approval_group", "Make, sign and show an approval to decrypt (kit recover)."),
    "audit": Home("recover.audit_group", "Check an audit log."),
    "completion": Home(
        "completion.completion_command", "Print what makes SHELL complete the commands and options of kit."
    ),
}
"""By the name of the command."""


class Commands(click.Group):
    """Commands that are imported when they are asked for: those of ``kit``, or of a group of it.

    Its own help, and what completes the name of one, are of the table alone.
    """

    def __init__(self, *arguments: Any, homes: Mapping[str, Home] = HOMES, **options: Any) -> None:
        """Know where each is; ``homes`` is as :data:`HOMES`."""
        super().__init__(*arguments, **options)
        self.homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all, in the order of the alphabet, as click does."""
        return sorted(self.homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return one, imported; None where there is none of that name."""
        if cmd_name not in self.homes:
            return None
        module, name = self.homes[cmd_name].place.split(".")
        command: click.Command = getattr(import_module(f"kit.cli.{module}"), name)
        _tell_exit_codes(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands as click does, but import none of them."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._stand_in(name).get_short_help_str(limit)) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what can come next as click does, but import none of the commands."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self._stand_in(name).get_short_help_str()) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def _stand_in(self, name: str) -> click.Command:
        return click.Command(name, help=self.homes[name].purpose)


def _tell_exit_codes(command: click.Command) -> None:
    if not isinstance(command, click.Group):
        command.epilog = codes_text()
        return
    for inner in command.commands.values():
        _tell_exit_codes(inner)
