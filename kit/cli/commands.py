"""Which commands there are and where each is; one is imported when it is asked for, and help asks for all."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from kit.cli.exit_codes import codes_text

HOMES: Final = {
    "inspect": "inspect.inspect_command",
    "plan": "patch.plan_command",
    "patch": "patch.patch_command",
    "verify": "verify.verify_command",
    "rollback": "rollback.rollback_command",
    "prove": "prove.prove_command",
    "extract": "extract.extract_command",
    "selftest": "selftest.selftest_command",
    "diff": "diff.diff_command",
    "delta": "delta.delta_group",
    "keys": "keys.keys_group",
    "trust": "trust.trust_group",
    "keyring": "keyring.keyring_group",
    "recover": "recover.recover_command",
    "approval": "approval.approval_group",
    "audit": "recover.audit_group",
    "completion": "completion.completion_command",
}
"""Name of a command → its module within this package, and its name there."""


class Commands(click.Group):
    """Commands that are imported when they are asked for: those of ``kit``, or of a group of it."""

    def __init__(self, *arguments: Any, homes: Mapping[str, str] = HOMES, **options: Any) -> None:
        """Know where each is; ``homes`` is as :data:`HOMES`."""
        super().__init__(*arguments, **options)
        self.homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name them all, in the order of the alphabet, as click does."""
        return sorted(self.homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one."""
        if cmd_name not in self.homes:
            return None
        module, name = self.homes[cmd_name].split(".")
        command: click.Command = getattr(import_module(f"kit.cli.{module}"), name)
        _tell_exit_codes(command)
        return command


def _tell_exit_codes(command: click.Command) -> None:
    if not isinstance(command, click.Group):
        command.epilog = codes_text()
        return
    for inner in command.commands.values():
        _tell_exit_codes(inner)
