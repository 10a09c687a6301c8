"""``kit completion``: the script, made by click, that a shell sources to complete commands, options and choices."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class, shell_complete

from kit.cli.output import print_bytes, print_report
from kit.errors import UsageError
from kit.reports.errors import SCHEMA_VERSION

_SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_KIT_COMPLETE"
"""Set by the scripts when they ask this program for completions."""


@click.command("completion")
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
