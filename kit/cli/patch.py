"""``kit plan`` and ``kit patch``, with the options that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.commands import OK, exit_code
from kit.cli.encryption_options import take_encrypt_options
from kit.cli.options import (
    created_at_option,
    json_option,
    load_signing_key,
    load_trusted_keys,
    make_environment,
    passphrase_option,
    reading_options,
    signing_keys_option,
    time_or_now,
    trust_option,
)
from kit.cli.output import print_error, print_report, print_warning
from kit.cli.paths import KIT, KIT_IN_PLACE, NEW_KIT, Command
from kit.cli.places import SecretSource
from kit.cli.progress import progress_option, show_progress
from kit.cli.recording import DONE, record_run, recording_options
from kit.cli.resuming import Resumable, asked_of, taken_of
from kit.cli.run_options import (
    abandon_option,
    abandon_run,
    backup_options,
    limit_environment,
    machine_options,
    migration_options,
    require_one_action,
    require_output,
    resume_option,
    take_migration,
    work_folder_option,
)
from kit.cli.settings.options import ConfiguredOption
from kit.cli.trust_options import StateRecorder, policy_option, read_anchor, time_option
from kit.errors import KeyUnusableError, KitError
from kit.values import Allowed

if TYPE_CHECKING:
    from kit.engine.progress import Progress
    from kit.signing import PrivateKey
    from kit.verbs.jobs import Completion
    from kit.verbs.patch.patch import PatchReport, PatchRequest


def _what_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that plan and patch share."""
    for option in reversed(
        (
            migration_options,
            trust_option,
            policy_option,
            time_option,
            click.option(
                "--insecure-unverified-base",
                is_flag=True,
                help="Accept a base with unverified signatures. The result is permanently marked as such.",
            ),
            click.option(
                "--snapshots",
                type=KIT,
                metavar="PATH",
                help="Also look up snapshots and cached payloads in PATH: a kit (verified like KIT) or a dump.",
            ),
            click.option(
                "--insecure-unverified-snapshots",
                is_flag=True,
                help="Do not verify --snapshots, which a dump needs. The provenance states it.",
            ),
            click.option(
                "--allow-unimportable",
                is_flag=True,
                help="Sign documents that a MongoDB server would refuse (schemas/importing.md); the provenance counts"
                " them.",
            ),
            click.option("--limit", type=click.IntRange(0), metavar="N", help="Change at most N documents."),
            click.option(
                "--limit-per-tenant",
                type=click.IntRange(0),
                metavar="N",
                help="Change at most N documents of each tenant, workspace or owner.",
            ),
            click.option(
                "--merkle/--no-merkle",
                "merkle",
                default=None,
                help="Put Merkle roots of collections into the manifest (schemas/merkle.md), also if nothing else is"
                " to be changed. Default: as in the base.",
            ),
            created_at_option("the new generation"),
            click.option(
                "--rollback-note",
                metavar="TEXT",
                help="How to go back. Required to encrypt, and signed with the provenance.",
            ),
            recording_options,
            reading_options,
            machine_options,
            progress_option,
            json_option,
        )
    ):
        command = option(command)
    return command


_ON_RECORD = (
    *("output", "in_place", "backup", "no_backup", "operator", "place", "record"),
    *("migration", "transforms", "tenants", "collections", "on_divergence", "cache_map", "field_map", "profile", "iv"),
    "validations",
    *("reference", "reference_collection", "snapshots", "merkle", "created_at", "rollback_note"),
    *("limit", "limit_per_tenant"),
    *("stated", "not_applicable"),
)
"""Parameters of patch that its journal has; never keys, trust, permissions or limits."""


@click.command("plan", cls=Command)
@click.argument("kit", type=KIT_IN_PLACE)
@click.option("--preflight", is_flag=True, help="Also check keys, output, disk space, memory and clock.")
@click.option("--output", "-o", type=NEW_KIT, metavar="OUT", help="With --preflight: the output of the patch.")
@click.option("--in-place", is_flag=True, help="With --preflight: the patch will replace KIT.")
@work_folder_option(is_resumable=False)
@signing_keys_option(
    "A private key that will sign. Repeatable. It is checked by the policy (--trust); nothing is signed.", "preflight"
)
@passphrase_option
@_what_options
def plan_command(
    kit: Path,
    preflight: bool,
    output: Path | None,
    in_place: bool,
    work_folder: Path | None,
    signing_keys: tuple[Path | SecretSource, ...],
    passphrase_fd: int | SecretSource | None,
    as_json: bool,
    **what: Any,
) -> int:
    """Show exactly what patch would change in KIT; write nothing.

    \b
    Examples:
      kit plan offline-kit.tar.zst --trusted-key publisher.pub.pem
      kit plan offline-kit.tar.zst --trusted-key publisher.pub.pem --migration 20251031_raw_linkset --tenant acme
      kit plan offline-kit.tar.zst --trusted-key publisher.pub.pem --record release.json
      kit plan offline-kit.tar.zst --trusted-key publisher.pub.pem --preflight --in-place --signing-key site.pem
    """
    from kit.reports.patch import patch_json, patch_lines
    from kit.verbs.patch.patch import plan
    from kit.verbs.patch.plan import Aim, require_none

    if (output is not None or in_place or work_folder is not None) and not preflight:
        raise click.UsageError("--output, --in-place and --work-folder need --preflight: a plan writes nothing")
    if output is not None and in_place:
        raise click.UsageError("--output and --in-place exclude each other")
    signers, unusable = _load_keys(signing_keys, passphrase_fd)
    if not preflight:
        require_none(unusable)
    aim = Aim(output=output, keys=signers, work_folder=work_folder) if preflight else None
    with (
        record_run("plan", what.pop("record"), what.pop("metrics"), as_json=as_json) as run,
        show_progress(what.pop("progress_mode"), run.log) as progress,
    ):
        request = _make_request(kit, progress, keeps_backup=True, **what)
        run.begin(request)
        report = plan(request, () if preflight else signers, aim)
        report = replace(report, obstacles=(*unusable, *report.obstacles))
        refusals = (report.refusal,) if report.refusal is not None else ()
        against = (*report.obstacles, *refusals, *report.stops)
        code = exit_code(against[0]) if against else OK
        run.end(report, code)
        print_report(patch_lines(report), patch_json(report), as_json=as_json, to_stderr=run.takes_standard_output)
        _warn(report)
    for found in against:
        print_error(found, exit_code(found), as_json=False)
    return code


@click.command("patch", cls=Resumable, verb="patch", taken=_ON_RECORD)
@click.argument("kit", type=KIT_IN_PLACE)
@click.option("--output", "-o", type=NEW_KIT, metavar="OUT", help="Write the patched kit to OUT, which must not exist.")
@click.option("--in-place", is_flag=True, help="Replace KIT. The old kit is kept as KIT.bak.N, N its generation.")
@backup_options
@signing_keys_option("A private key that signs the result. Required; repeatable if a policy demands several.")
@passphrase_option
@click.option(
    "--operator",
    cls=ConfiguredOption,
    setting="operator",
    metavar="NAME",
    help="Who runs this, for the signed provenance. Also KIT_OPERATOR.",
)
@click.option(
    "--environment",
    "place",
    cls=ConfiguredOption,
    setting="environment",
    metavar="NAME",
    help="Where it runs, for the signed provenance. Also KIT_ENVIRONMENT.",
)
@click.option(
    "--stated",
    multiple=True,
    metavar="STEP=NAME[@TIME]",
    help="NAME states that a step of the plan was taken, by default now. Signed with the provenance. Repeatable.",
)
@click.option(
    "--not-applicable",
    multiple=True,
    metavar="STEP=REASON",
    help="A step of the plan does not apply. Signed with the provenance. Repeatable.",
)
@click.option(
    "--executor",
    metavar="URL",
    help="Use a Dask cluster instead of --workers: dask://HOST:PORT. Its workers must see the output's folder.",
)
@resume_option
@abandon_option
@work_folder_option(is_resumable=True)
@_what_options
def patch_command(
    kit: Path,
    output: Path | None,
    in_place: bool,
    backup: Path | None,
    no_backup: bool,
    signing_keys: tuple[Path | SecretSource, ...],
    passphrase_fd: int | SecretSource | None,
    operator: str | None,
    place: str | None,
    stated: tuple[str, ...],
    not_applicable: tuple[str, ...],
    executor: str | None,
    again: bool,
    give_up: bool,
    work_folder: Path | None,
    as_json: bool,
    **what: Any,
) -> None:
    """Patch KIT into a new signed generation.

    The base is verified first. The result is written to OUT, or replaces KIT with --in-place. It is read back and
    verified before it gets its name. Until then only a folder named after the output is written.

    A run that is interrupted, killed or out of disk space leaves that folder. kit patch KIT --resume continues it, and
    gives the same bytes. Migration, selection, output, time, operator, environment and record are those of the run;
    given again, they must be the same. The signing key, the keyring, and --trusted-key, --trust or
    --insecure-unverified-base are never on record and must be given again.

    With several signing keys, the first also signs the archive (.sig). --passphrase-fd then has one line for each
    encrypted key, in their order.

    \b
    Examples:
      kit patch kit.tar.zst -o patched.tar.zst --trusted-key publisher.pub.pem --signing-key site.pem
      kit patch kit.tar.zst --in-place --trusted-key publisher.pub.pem --signing-key site.pem
      kit patch kit.tar.zst --in-place --trusted-key publisher.pub.pem --signing-key site.pem --migration job.json \\
        --record release.json --metrics kit.prom --operator "A. Keeper" --environment harbour
      kit patch kit.tar.zst --resume --trusted-key publisher.pub.pem --signing-key site.pem
      kit patch kit.tar.zst --in-place --trust policy.json --signing-key ada.pem --signing-key bob.pem
      kit patch kit.tar.zst -o sealed.tar.zst --trusted-key publisher.pub.pem --signing-key site.pem \\
        --transform encrypt-fields --field-map concelier --keyring site.keyring --rollback-note "kit.tar.zst is kept"
    """
    from kit.verbs.patch.checklist import Stated, parse_not_applicable, parse_stated
    from kit.verbs.patch.patch import Output, patch, resume
    from kit.verbs.patch.plan import Aim, obstacles, require_none

    require_output(output, in_place=in_place, backup=backup, no_backup=no_backup)
    require_one_action(again=again, give_up=give_up)
    if give_up:
        abandon_run(output or kit, work_folder, as_json=as_json)
        return
    if not signing_keys:
        raise click.UsageError("Missing option '--signing-key'.")
    for name, text in (("--operator", operator), ("--environment", place)):
        if text == "":
            raise click.UsageError(f"{name} is empty: omit it")
    keys, unusable = _load_keys(signing_keys, passphrase_fd)
    with (
        record_run("resume" if again else "patch", what.pop("record"), what.pop("metrics"), as_json=as_json) as run,
        show_progress(what.pop("progress_mode"), run.log) as progress,
    ):
        request = _make_request(kit, progress, keeps_backup=not no_backup, **what)
        request = replace(request, environment=replace(request.environment, executor=executor))
        context = click.get_current_context()
        if (taken := taken_of(context)) is not None:
            request = replace(request, created_now=taken.by_clock)
        if unusable:
            # Report what else is wrong at the same time.
            aim = Aim(output=output, keys=keys, work_folder=work_folder, resumed=again)
            require_none(obstacles(request, request.described(), aim, known=unusable))
        key, *cosigners = keys
        remembering = StateRecorder(what["policy"], request.trust)
        destination = Output(
            path=output,
            work_folder=work_folder,
            key=key,
            cosigners=tuple(cosigners),
            keep_backup=not no_backup,
            backup=backup,
            operator=operator,
            place=place,
            asked=asked_of(context, kit, time=request.created_at),
            installed=remembering,
        )
        run.begin(request, destination)
        ticks = (
            *(parse_stated(one, request.created_at) for one in stated),
            *(parse_not_applicable(one) for one in not_applicable),
        )
        told = Stated(ticks=ticks, has_dry_run=run.has_dry_run, has_record=run.has_record)
        destination = replace(destination, stated=told)
        report = resume(request, destination) if again else patch(request, destination)
        run.end(report)
        _show(report, as_json=as_json, to_stderr=run.takes_standard_output)
        if remembering.failure is not None:  # a policy on a read-only medium does not stop a patch
            print_warning(f"warning: {remembering.failure}")


def _load_keys(
    paths: tuple[Path | SecretSource, ...], passphrase_fd: int | SecretSource | None
) -> tuple[list[PrivateKey], list[KitError]]:
    """Return the signing keys that can be used, and the errors of the others."""
    keys: list[PrivateKey] = []
    unusable: list[KitError] = []
    for path in paths:
        try:
            keys.append(load_signing_key(path, passphrase_fd))
        except KeyUnusableError as error:
            unusable.append(error)
    return keys, unusable


def _show(report: PatchReport | Completion, *, as_json: bool, to_stderr: bool) -> None:
    from kit.reports.patch import patch_json, patch_lines
    from kit.reports.site import completion_json, completion_lines
    from kit.verbs.jobs import Completion

    if isinstance(report, Completion):
        print_report(completion_lines(report), completion_json(report), as_json=as_json, to_stderr=to_stderr, done=DONE)
        return
    print_report(patch_lines(report), patch_json(report), as_json=as_json, to_stderr=to_stderr, done=DONE)
    _warn(report)


def _warn(report: PatchReport) -> None:
    for line in report.migration.warnings:
        print_warning(f"warning: {line}")
    if report.snapshots is not None and not report.snapshots.is_verified:
        print_warning(
            "warning: unverified snapshots: those who could change these files decided what is derived from them"
        )
    for obligation in report.base.obligations:
        if obligation.error is not None:
            print_warning(f"warning: unverified base: {obligation.error}")


def _make_request(
    kit: Path,
    progress: Progress,
    *,
    keeps_backup: bool,
    rollback_note: str | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    insecure_unverified_base: bool,
    allow_unimportable: bool,
    snapshots: Path | None,
    insecure_unverified_snapshots: bool,
    limit: int | None,
    limit_per_tenant: int | None,
    merkle: bool | None,
    created_at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    max_memory: str | None,
    nice: int | None,
    **what: Any,
) -> PatchRequest:
    from kit.verbs.patch.patch import PatchRequest

    if insecure_unverified_base and (trusted_keys or policy):
        raise click.UsageError("--insecure-unverified-base excludes --trusted-key and --trust")
    if policy is not None and trusted_keys:
        raise click.UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    if not insecure_unverified_base and not trusted_keys and policy is None:
        raise click.UsageError("name the publisher's key with --trusted-key (or use --insecure-unverified-base)")
    if insecure_unverified_snapshots and snapshots is None:
        raise click.UsageError("--insecure-unverified-snapshots needs --snapshots")
    encryption = take_encrypt_options(what)
    time, now = time_or_now(created_at, "--created-at"), time_or_now(at)
    return PatchRequest(
        kit=kit,
        migration=take_migration(what, encryption, rollback_note, keeps_backup=keeps_backup),
        keying=encryption.keying(time),
        trusted=None if insecure_unverified_base else load_trusted_keys(trusted_keys),
        trust=read_anchor(policy, now),
        now=now,
        created_at=time,
        created_now=created_at is None,
        limit=limit,
        limit_per_tenant=limit_per_tenant,
        allow_unimportable=allow_unimportable,
        snapshots=snapshots,
        unverified_snapshots=insecure_unverified_snapshots,
        merkle=merkle,
        environment=limit_environment(
            replace(make_environment(workers, maxima, allowed=allowed), progress=progress), max_memory, nice
        ),
    )
