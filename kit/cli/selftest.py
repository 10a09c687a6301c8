"""``kit selftest``: whether this disk keeps what it reports as written."""

from __future__ import annotations

from pathlib import Path

import click

from kit.cli.collisions import Command
from kit.cli.exit_codes import OK, exit_code
from kit.cli.options import json_option
from kit.cli.output import print_error, print_report, print_warning
from kit.cli.places import ROOM
from kit.errors import OutputError


@click.command("selftest", cls=Command)
@click.option(
    "--kills",
    type=click.IntRange(0, 1_000_000),
    default=100,
    show_default=True,
    help="Number of kills at random moments.",
)
@click.option(
    "--directory",
    type=ROOM,
    default=Path(),
    help="A folder on the disk to test. Default: the current folder.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random moments.")
@click.option("--quick", is_flag=True, help="Test only every 20th step, for a first impression.")
@json_option
def selftest_command(kills: int, directory: Path, seed: int, quick: bool, as_json: bool) -> int:
    """Test whether kits on this disk survive crashes.

    A small kit is made and patched, in place and into another file. The run is killed (SIGKILL) before every step that
    changes the disk, with and without losing what was not synced, and at random moments. Afterwards the kit must be the
    old or the new one, complete, and --resume must give the bytes of an undisturbed run.

    All of it happens in a folder of its own, which is removed. It takes minutes. The exit code is 74 if anything was
    lost.

    \b
    Example:
      kit selftest --kills 300 --directory /srv/kits
    """
    from kit.ops.selftest import selftest
    from kit.reports.selftests import selftest_json, selftest_lines

    report = selftest(
        directory, kills, seed=seed, every=20 if quick else 1, told=lambda text: print_warning(f"selftest: {text}")
    )
    print_report(selftest_lines(report), selftest_json(report), as_json=as_json)
    if report.sound:
        return OK
    error = OutputError(
        f"{len(report.faults)} strikes did harm",
        where=str(directory),
        hint="patch kits on another disk or file system",
    )
    print_error(error, exit_code(error), as_json=False)
    return exit_code(error)
