"""``kit delta apply``, ``inspect`` and ``verify``: the commands for a site."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kit.cli.delta import make_expectation, trust_options
from kit.cli.encryption_options import credential_options, take_keys
from kit.cli.options import json_option, make_environment, reading_options
from kit.cli.output import print_report
from kit.cli.paths import DELTA, KIT_IN_PLACE, NEW_KIT, Command
from kit.cli.progress import progress_option, show_progress
from kit.cli.resuming import Resumable, asked_of
from kit.cli.run_options import (
    abandon_option,
    abandon_run,
    backup_options,
    require_one_action,
    require_output,
    resume_option,
    work_folder_option,
)
from kit.cli.trust_options import StateRecorder, override_options
from kit.values import Allowed

_DONE = "the delta is applied"


@click.command("apply", cls=Resumable, verb="delta apply", taken=("output", "in_place", "backup", "no_backup"))
@click.argument("base", type=KIT_IN_PLACE)
@click.argument("delta", type=DELTA)
@click.option("--output", "-o", type=NEW_KIT, metavar="OUT", help="Write the target to OUT, which must not exist.")
@click.option("--in-place", is_flag=True, help="Replace BASE. The old kit is kept as BASE.bak.N, N its generation.")
@backup_options
@resume_option
@abandon_option
@work_folder_option(is_resumable=True)
@credential_options
@trust_options
@override_options("Accept a target that is stale or rolled back. Recorded in the policy's state.")
@reading_options
@progress_option
@json_option
def apply_command(
    base: Path,
    delta: Path,
    output: Path | None,
    in_place: bool,
    backup: Path | None,
    no_backup: bool,
    again: bool,
    give_up: bool,
    work_folder: Path | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    force: bool,
    reason: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Build the target kit of DELTA from BASE.

    The target is written to OUT, or replaces BASE with --in-place. No signing key is needed. BASE is any kit with the
    manifest that DELTA names, unpacked or packed in any way. The report shows whether the result is byte for byte the
    archive that DELTA was built from, and what was compared.

    The signature of the delta, the base and every member are checked. Until the target is read back and verified, only
    a folder named after the output is written.

    A delta with a recipe for an encryption needs the keyring (--keyring). The keyring is read and never written; kit
    delta inspect names the data keys.

    Exit codes: 3 the delta is not signed, 4 it is not signed by a trusted key, 5 its signature is invalid, 8 the target
    is older than the base, 9 the delta is malformed, 10 it is for another base, 12 this version computes its recipe
    differently, 13 data keys of its recipe are missing.

    \b
    Examples:
      kit delta apply kit.tar.zst november.delta --in-place --trusted-key publisher.pub.pem
      kit delta apply october.tar.zst november.delta -o november.tar.zst --trust policy.json
      kit delta apply kit.tar.zst sealed.delta --in-place --trust policy.json --keyring site.keyring
    """
    from kit.reports.delta import applied_json, applied_lines
    from kit.reports.site import completion_json, completion_lines
    from kit.verbs.delta.apply import DeltaApplyRequest, apply_delta, resume_delta
    from kit.verbs.jobs import Completion

    require_output(output, in_place=in_place, backup=backup, no_backup=no_backup)
    require_one_action(again=again, give_up=give_up)
    if give_up:
        abandon_run(output or base, work_folder, as_json=as_json)
        return
    wanted = make_expectation(trusted_keys, policy, at, force=force, reason=reason)
    remembering = StateRecorder(policy, wanted.trust)
    request = DeltaApplyRequest(
        base=base,
        delta=delta,
        expectation=wanted,
        output=output,
        keep_backup=not no_backup,
        backup=backup,
        work_folder=work_folder,
        keys=take_keys(what),
        environment=make_environment(workers, maxima, allowed=allowed),
        asked=asked_of(click.get_current_context(), base),
        installed=remembering,
    )
    with show_progress(progress_mode) as progress:
        watched = replace(request, environment=replace(request.environment, progress=progress))
        report = resume_delta(watched) if again else apply_delta(watched)
    remembering.check()
    if isinstance(report, Completion):
        print_report(completion_lines(report), completion_json(report), as_json=as_json, done=_DONE)
        return
    print_report(applied_lines(report), applied_json(report), as_json=as_json, done=_DONE)


@click.command("inspect", cls=Command)
@click.argument("delta", type=DELTA)
@reading_options
@json_option
def inspect_command(delta: Path, workers: int, maxima: tuple[str, ...], allowed: Allowed, as_json: bool) -> None:
    """Show what DELTA contains and claims, without verifying it.

    It shows the base and the target, how each member is made, and the signers that its signatures name.

    \b
    Example:
      kit delta inspect november.delta
    """
    from kit.reports.delta import inspected_json, inspected_lines
    from kit.verbs.delta.verify import inspect_delta

    report = inspect_delta(delta, make_environment(workers, maxima, allowed=allowed))
    print_report(inspected_lines(report), inspected_json(report), as_json=as_json)


@click.command("verify", cls=Command)
@click.argument("delta", type=DELTA)
@trust_options
@reading_options
@json_option
def verify_command(
    delta: Path,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    as_json: bool,
) -> None:
    """Verify the signatures of DELTA and of its target.

    No kit is needed.

    Exit codes: 2 a payload is not as signed, 3 not signed, 4 not signed by a trusted key, 5 a signature is invalid, 9
    malformed.

    \b
    Example:
      kit delta verify november.delta --trusted-key publisher.pub.pem
    """
    from kit.reports.delta import verified_json, verified_lines
    from kit.verbs.delta.verify import DeltaVerifyRequest, verify_delta

    report = verify_delta(
        DeltaVerifyRequest(
            delta=delta,
            anchor=make_expectation(trusted_keys, policy, at).anchor,
            environment=make_environment(workers, maxima, allowed=allowed),
        )
    )
    print_report(verified_lines(report), verified_json(report), as_json=as_json)
