"""``kit rollback``: restore the previous kit.

``kit selftest``: whether this disk keeps what it reports as written.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kit.cli.commands import OK, exit_code
from kit.cli.options import json_option, load_trusted_keys, make_environment, reading_options, time_or_now, trust_option
from kit.cli.output import print_error, print_report, print_warning
from kit.cli.paths import DELTA, KIT, KIT_ROLLED_BACK, ROOM, Command
from kit.cli.progress import progress_option, show_progress
from kit.cli.resuming import Resumable, asked_of
from kit.cli.run_options import abandon_option, abandon_run, require_one_action, work_folder_option
from kit.cli.trust_options import (
    StateRecorder,
    override_options,
    policy_option,
    read_anchor,
    require_one_trust,
    time_option,
    unverified_option,
)
from kit.errors import OutputError
from kit.values import Allowed


@click.command("rollback", cls=Resumable, verb="rollback", taken=("backup", "delta"))
@click.argument("kit", type=KIT_ROLLED_BACK)
@trust_option
@policy_option
@time_option
@unverified_option
@click.option("--backup", type=KIT, metavar="PATH", help="The backup, if it is not next to KIT. It stays.")
@click.option(
    "--delta", type=DELTA, metavar="DELTA", help="The delta that made KIT, if kit delta apply --in-place did."
)
@override_options("Go back although the policy remembers a newer kit. Recorded in its state.")
@click.option("--resume", "again", is_flag=True, help="Finish an interrupted rollback.")
@abandon_option
@work_folder_option(is_resumable=True)
@reading_options
@progress_option
@json_option
def rollback_command(
    kit: Path,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    insecure: bool,
    backup: Path | None,
    delta: Path | None,
    force: bool,
    reason: str | None,
    again: bool,
    give_up: bool,
    work_folder: Path | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
) -> None:
    """Restore the kit that an in-place patch or delta replaced.

    The backup becomes KIT again, with its .sha256 and .sig: KIT.bak.N of the generation N that KIT was made from, or
    KIT.bak of earlier versions, or --backup PATH. KIT is kept as KIT.rolled-back.N, N its own generation. Repeat the
    command to go back further.

    The backup must be the kit that KIT was made from, with valid signatures and digests. Its manifest must be the one
    that the signed lineage of KIT names. A publisher's next generation has no lineage: name the signed delta that made
    it with --delta.

    A policy remembers the newer generation. Going back then needs --force, and is recorded.

    \b
    Examples:
      kit rollback kit.tar.zst --trusted-key publisher.pub.pem --trusted-key site.pub.pem
      kit rollback kit.tar.zst --trusted-key publisher.pub.pem --delta november.delta
      kit rollback kit.tar.zst --trust policy.json --force --reason "INC-9: the importer cannot read it"
    """
    from kit.reports.site import rollback_json, rollback_lines
    from kit.verbs.rollback import RollbackRequest, rollback

    require_one_action(again=again, give_up=give_up)
    if give_up:
        abandon_run(kit, work_folder, as_json=as_json)
        return
    require_one_trust(trusted_keys, policy, insecure=insecure)
    trust = read_anchor(policy, time_or_now(at), force=force, reason=reason)
    remembering = StateRecorder(policy, trust)
    request = RollbackRequest(
        kit=kit,
        trusted=None if insecure else load_trusted_keys(trusted_keys),
        trust=trust,
        backup=backup,
        delta=delta,
        work_folder=work_folder,
        environment=make_environment(workers, maxima, allowed=allowed),
        asked=asked_of(click.get_current_context(), kit),
        installed=remembering,
    )
    with show_progress(progress_mode) as progress:
        watched = replace(request, environment=replace(request.environment, progress=progress))
        report = rollback(watched, again=again)
    remembering.check()
    print_report(rollback_lines(report), rollback_json(report), as_json=as_json, done="the kit is rolled back")
    if insecure:
        print_warning("warning: no signature was verified, of either kit")


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
    from kit.reports.site import selftest_json, selftest_lines
    from kit.verbs.selftest import selftest

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
