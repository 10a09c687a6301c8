"""Options that a setting fills in, and what a report shows of it.

Law: an option that is given decides; else the environment; else the configuration file. A setting never joins an option
that excludes it, and reaches only the commands that declare it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from kit.cli.output import note_use
from kit.cli.settings.sources import FILE_NAME, Setting, Settings, passed_over, read_settings
from kit.errors import UsageError

_SETTINGS: Final = "kit.settings"
CONFIG: Final = "config_file"
"""The parameter of ``--config``."""
POLICY_YIELDS_TO: Final = ("trusted_keys", "approver_keys", "insecure", "insecure_unverified_base")
KEYS_YIELD_TO: Final = ("policy", "insecure", "insecure_unverified_base")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A setting that a command has used."""

    option: str
    setting: Setting

    def line(self) -> str:
        """Return the line of a report."""
        return f"configured: {self.option} {', '.join(self.setting.values)} ({self.setting.source})"

    def to_json(self) -> dict[str, Any]:
        """Return the value for a report (schemas/configuration.md, "In reports")."""
        return {"option": self.option, **source_json(self.setting)}


class ConfiguredOption(click.Option):
    """An option with a setting."""

    def __init__(
        self, *names: Any, setting: str, yields_to: tuple[str, ...] = (), needs: str | None = None, **more: Any
    ) -> None:
        """Declare the option.

        Args:
            names: As for click.
            setting: The name of its setting.
            yields_to: Parameters that exclude it: the setting is not used if one is given.
            needs: A parameter without which it is not used.
            more: As for click.
        """
        super().__init__(*names, **more)
        self.setting = setting
        self._yields_to = yields_to
        self._needs = needs

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Return the value given, else that of the setting.

        Raises:
            KitError: As for :func:`kit.cli.settings.sources.read_settings`.
            UsageError: The setting has several values, and the option takes one.
        """
        value, source = super().consume_value(ctx, opts)
        given = source is ParameterSource.COMMANDLINE or any(opts.get(name) for name in self._yields_to)
        if given or ctx.resilient_parsing or (self._needs is not None and not opts.get(self._needs)):
            return value, source
        setting = settings_of(ctx, opts).settings.get(self.setting)
        if setting is None:
            return value, source
        if not self.multiple and len(setting.values) > 1:
            raise UsageError(
                f"{setting.known.name} has {len(setting.values)} values, and this command takes one",
                where=setting.source,
                hint=f"name one with {setting.known.option}",
            )
        note_use(ctx, Use(option=setting.known.option, setting=setting))
        origin = ParameterSource.ENVIRONMENT if setting.variable is not None else ParameterSource.DEFAULT_MAP
        return setting.values if self.multiple else setting.values[0], origin


def settings_of(context: click.Context, opts: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings in force for a command; they are read once.

    Raises:
        KitError: As for :func:`kit.cli.settings.sources.read_settings`.
    """
    if _SETTINGS not in context.meta:
        named = (opts or context.params).get(CONFIG)
        context.meta[_SETTINGS] = read_settings(str(named) if named is not None else None, os.environ)
    found: Settings = context.meta[_SETTINGS]
    return found


def warnings(context: click.Context, kits: list[Path]) -> Iterator[str]:
    """Yield a sentence for each configuration file that is not read, if the command has settings."""
    if any(isinstance(parameter, ConfiguredOption) for parameter in context.command.params):
        for file in passed_over(settings_of(context), kits):
            yield f"{file} is not read; a {FILE_NAME} that is there must be named with --config"


def source_json(setting: Setting) -> dict[str, Any]:
    """Return value and source of a setting."""
    return {
        "values": list(setting.values),
        "source": "environment" if setting.variable is not None else "file",
        "name": setting.source,
    }
