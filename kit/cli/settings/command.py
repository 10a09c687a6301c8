"""``kit config``: the settings in force, their sources, and what looks like a setting and is none."""

from __future__ import annotations

import os
from pathlib import Path

import click

from kit.cli.options import json_option
from kit.cli.output import print_report, print_warning
from kit.cli.paths import READ, Command
from kit.cli.settings.options import CONFIG, settings_of, source_json
from kit.cli.settings.sources import FILE_NAME, KNOWN, Settings, passed_over, unknown_variables
from kit.reports.text import SCHEMA_VERSION


@click.command("config", cls=Command)
@click.option("--config", CONFIG, type=READ, metavar="FILE", help="The file to read instead of the user's kit.toml.")
@json_option
@click.pass_context
def config_command(context: click.Context, config_file: Path | None, as_json: bool) -> None:  # noqa: ARG001
    """Show the settings in force, and where each comes from.

    An option that is given decides, else the environment, else one file: that of --config, else of KIT_CONFIG, else
    kit/kit.toml in the user's configuration folder ($XDG_CONFIG_HOME, else ~/.config). The file must belong to the user
    and be writable by nobody else. Its members are trust, trusted-keys, signing-key, operator and environment; the
    variables are KIT_TRUST, KIT_TRUSTED_KEYS (separated by colons), KIT_SIGNING_KEY, KIT_OPERATOR and KIT_ENVIRONMENT.

    A kit.toml next to a kit, in the working folder or on a medium is never read unless it is named. Options that
    override a check (--insecure-…, --force, --allow-…) cannot be configured.

    \b
    Examples:
      kit config --json
      kit config --config site.toml
    """
    settings = settings_of(context)
    ignored = [f"{file} is not read" for file in passed_over(settings, ())]
    ignored += unknown_variables(os.environ)
    print_report(_lines(settings), _json(settings, ignored), as_json=as_json)
    for text in ignored:
        print_warning(f"warning: {text}")


def _lines(settings: Settings) -> list[str]:
    width = max(map(len, KNOWN))
    lines = [f"{'file':{width}}  {_state(settings)}"]
    for name in KNOWN:
        setting = settings.settings.get(name)
        value = f"{', '.join(setting.values)}  ({setting.source})" if setting is not None else "-"
        lines.append(f"{name:{width}}  {value}")
    return lines


def _state(settings: Settings) -> str:
    if settings.file is not None:
        return str(settings.file)
    return (
        f"{settings.place}: not there" if settings.place is not None else f"no folder for {FILE_NAME}: HOME is not set"
    )


def _json(settings: Settings, ignored: list[str]) -> dict[str, object]:
    return {
        "schemaVersion": SCHEMA_VERSION,
        "file": str(settings.file) if settings.file is not None else None,
        "settings": {name: source_json(setting) for name, setting in sorted(settings.settings.items())},
        "ignored": ignored,
    }
