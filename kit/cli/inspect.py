"""``kit inspect``: what a kit contains, or with ``--limits`` what a kit may demand of this host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kit.cli.collisions import Command
from kit.cli.options import json_option, make_environment, reading_options
from kit.cli.output import print_report
from kit.cli.places import KIT
from kit.cli.progress import progress_option, show_progress
from kit.values import Allowed


@click.command("inspect", cls=Command)
@click.argument("kit", type=KIT, required=False)
@click.option("--limits", "show_limits", is_flag=True, help="Show the limits in force instead of a kit; --max applies.")
@reading_options
@progress_option
@json_option
def inspect_command(
    kit: Path | None,
    show_limits: bool,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """Show what KIT contains and claims, without verifying it.

    The signers are those that its signatures name.

    \b
    Examples:
      kit inspect offline-kit.tar.zst
      kit inspect --limits
    """
    from kit.ops.inspect import inspect
    from kit.reports.inspections import inspect_json, inspect_lines
    from kit.reports.limits import limits_json, limits_lines

    environment = make_environment(workers, maxima, allowed=allowed)
    if show_limits:
        if kit is not None:
            raise click.UsageError("--limits shows no kit: omit KIT")
        print_report(limits_lines(environment.limits), limits_json(environment.limits), as_json=as_json)
        return
    if kit is None:
        raise click.UsageError("Missing argument 'KIT'.")
    with show_progress(progress_mode) as progress:
        report = inspect(kit, replace(environment, progress=progress))
    print_report(inspect_lines(report), inspect_json(report), as_json=as_json)
