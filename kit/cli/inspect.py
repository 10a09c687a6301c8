"""``kit inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from kit.cli.options import json_option, kit_argument, reading, reading_options
from kit.cli.output import print_report
from kit.ops.inspect import inspect
from kit.reports.inspections import inspect_json, inspect_lines


@click.command("inspect")
@kit_argument
@reading_options
@json_option
def inspect_command(
    kit: Path,
    workers: int,
    maxima: tuple[str, ...],
    allow_links: bool,
    as_json: bool,
) -> None:
    """Show what is in KIT and who says to have signed it; nothing is verified.

    \b
    Example:
      kit inspect offline-kit.tar.zst
    """
    report = inspect(kit, reading(workers, maxima, allow_links=allow_links))
    print_report(inspect_lines(report), inspect_json(report), as_json=as_json)
