"""Options of the commands that replace a kit: output, backup, resuming and abandoning a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kit.cli.output import print_report
from kit.cli.places import ROOM

Command = TypeVar("Command", bound=Callable[..., Any])


def no_backup_option(command: Command) -> Command:
    """Add ``--no-backup``."""
    return click.option("--no-backup", is_flag=True, help="With --in-place: do not keep the old kit.")(command)


def resume_option(command: Command) -> Command:
    """Add ``--resume``."""
    return click.option(
        "--resume", "again", is_flag=True, help="Continue an interrupted run. Repeat all other options."
    )(command)


def abandon_option(command: Command) -> Command:
    """Add ``--abandon``."""
    return click.option(
        "--abandon", "give_up", is_flag=True, help="Remove what an interrupted run left. The kit stays as it is."
    )(command)


def work_folder_option(*, is_resumable: bool) -> Callable[[Command], Command]:
    """Add ``--work-folder``; its help names ``--resume`` and ``--abandon`` only if the command has them."""
    repeated = " Repeat it with --resume and --abandon." if is_resumable else ""
    return click.option(
        "--work-folder",
        type=ROOM,
        metavar="DIR",
        help="Work in this folder instead of next to the output. Needed if the output is on FAT or CIFS, which keep no"
        f" file modes.{repeated}",
    )


def require_output(output: Path | None, *, in_place: bool, no_backup: bool) -> None:
    """Check that exactly one output is named.

    Raises:
        click.UsageError: None or both are, or ``--no-backup`` is given without ``--in-place``.
    """
    if (output is None) != in_place:
        raise click.UsageError("name the output: either --output OUT or --in-place")
    if no_backup and not in_place:
        raise click.UsageError("--no-backup needs --in-place")


def require_one_action(*, again: bool, give_up: bool) -> None:
    """Check that ``--resume`` and ``--abandon`` are not both given.

    Raises:
        click.UsageError: Both are.
    """
    if again and give_up:
        raise click.UsageError("--resume and --abandon exclude each other")


def abandon_run(target: Path, work_folder: Path | None = None, *, as_json: bool) -> None:
    """Remove what an interrupted run on ``target`` left, and print a report.

    Raises:
        KitError: As for :func:`kit.ops.jobs.abandon`.
    """
    from kit.ops.jobs import abandon
    from kit.reports.jobs import abandonment_json, abandonment_lines

    given_up = abandon(target, work_folder)
    print_report(
        abandonment_lines(given_up),
        abandonment_json(given_up),
        as_json=as_json,
        done="the run is abandoned" if given_up.job else "",
    )
