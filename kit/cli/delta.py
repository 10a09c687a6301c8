"""``kit delta``: build, apply, inspect and verify what leads from one kit to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kit.cli.encrypting import credential_options, field_map, keys_given
from kit.cli.migrating import named_migration
from kit.cli.options import (
    FILE,
    json_option,
    passphrase_option,
    private_key,
    read_file,
    reading,
    reading_options,
    trust_option,
    trusted,
)
from kit.cli.output import print_report, print_warning
from kit.cli.progress import progress_option, progressing
from kit.cli.trusting import anchor, moment, policy_option, time_option
from kit.encryption import SHIPPED, Profile
from kit.ops import trust_files
from kit.ops.delta_apply import DeltaApplyReport, DeltaApplyRequest, apply_delta, resume_delta
from kit.ops.delta_build import DeltaBuildReport, DeltaBuildRequest, DeltaSquashRequest, build_delta
from kit.ops.delta_squash import squash_deltas
from kit.ops.delta_verify import DeltaVerifyRequest, inspect_delta, verify_delta
from kit.ops.jobs import Completion, abandon
from kit.ops.obligations import Expectation
from kit.reports.deltas import (
    applied_json,
    applied_lines,
    built_json,
    built_lines,
    inspected_json,
    inspected_lines,
    verified_json,
    verified_lines,
)
from kit.reports.jobs import abandonment_json, abandonment_lines, completion_json, completion_lines
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset import RawLinkset, parse_cache_map


@click.group("delta")
def delta_group() -> None:
    """Send the difference between two kits instead of the second one."""


def _trust_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whom to believe: keys, or a policy with its state and the time."""
    for option in (time_option, policy_option, trust_option):
        command = option(command)
    return command


def _expectation(
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    *,
    force: bool = False,
    reason: str | None = None,
) -> Expectation:
    if policy is not None and trusted_keys:
        raise click.UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    if policy is None and not trusted_keys:
        raise click.UsageError("name whom to believe with --trusted-key or --trust")
    return Expectation(trusted=trusted(trusted_keys), trust=anchor(policy, moment(at), force=force, reason=reason))


def _recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a recipe is found and proven with."""
    for option in reversed(
        (
            click.option(
                "--no-recipe", is_flag=True, help="Send what a transform made, too: for sites with another version."
            ),
            click.option(
                "--migration",
                metavar="MIGRATION",
                help="The migration that made TARGET: where it has a cache map or a field map of its own.",
            ),
            click.option(
                "--cache-map", type=FILE, metavar="FILE", help="The cache map that raw-linkset was applied with."
            ),
            click.option(
                "--field-map", "map_name", metavar="MAP", help="The field map that was encrypted by, if none of kit's."
            ),
            click.option(
                "--tenant",
                "tenants",
                multiple=True,
                metavar="T",
                help="A tenant that TARGET was limited to, where the kits do not show it; repeatable.",
            ),
            credential_options,
        )
    ):
        command = option(command)
    return command


def _candidates(what: dict[str, Any]) -> tuple[Transform, ...]:
    """Make of the options of :func:`_recipe_options` what may have made the target.

    Raises:
        UnreadableError: A file is not there.
        ContentError: A migration, cache map or field map is refused.
    """
    migration, cache_map, map_name = what.pop("migration"), what.pop("cache_map"), what.pop("map_name")
    tenants = frozenset(what.pop("tenants")) or None
    made: list[Transform] = []
    if migration is not None:
        made += named_migration(migration).narrowed(tenants).transforms
    backfill = RawLinkset(tenants=tenants)
    if cache_map is not None:
        backfill = backfill.with_cache(parse_cache_map(read_file(cache_map), where=str(cache_map)))
    maps = [field_map(name) for name in ((map_name,) if map_name is not None else SHIPPED if tenants else ())]
    made += [backfill] if cache_map is not None or tenants else []
    made += [EncryptFields(field_map=one, profile=profile, partitions=tenants) for one in maps for profile in Profile]
    return tuple(made)


@delta_group.command("build")
@click.argument("base", type=FILE)
@click.argument("target", type=FILE)
@click.option("--output", "-o", type=FILE, required=True, metavar="D", help="Write the delta here; it must not exist.")
@click.option("--signing-key", type=FILE, required=True, metavar="PEM", help="The private key that signs the delta.")
@passphrase_option
@click.option("--reverse", is_flag=True, help="Build the way back: from TARGET to BASE.")
@_recipe_options
@_trust_options
@click.option(
    "--created-at",
    metavar="TIME",
    envvar="SOURCE_DATE_EPOCH",
    help="Time of the delta, RFC 3339 UTC or seconds; the clock by default.",
)
@reading_options
@progress_option
@json_option
def build_command(
    base: Path,
    target: Path,
    output: Path,
    signing_key: Path,
    passphrase_fd: int | None,
    reverse: bool,
    no_recipe: bool,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    created_at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allow_links: bool,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Build the signed delta that leads from BASE to TARGET, two generations of one bundle.

    Both kits are verified first. Collections are compared document by document, wherever each stands. The same kits,
    key and --created-at give the same delta, whatever the number of workers.

    What kit patch made of BASE is not sent where the site can compute it again: what raw-linkset added, and with
    --keyring what encrypt-fields sealed (the site then needs that keyring, too; no key and no plaintext is sent). The
    report says why nothing is left to the site. A folder OUTPUT.kit-build is there while it runs; the next run removes
    what a killed one left of it. Exit codes: 13 the keyring does not open, 64 the kits are no pair.

    \b
    Examples:
      kit delta build october.tar.zst november.tar.zst -o november.delta --signing-key publisher.pem
        --trusted-key publisher.pem.pub
      kit delta build kit.tar.zst sealed.tar.zst -o sealed.delta --signing-key site.pem --trusted-key publisher.pem.pub
        --trusted-key site.pem.pub --keyring site.keyring
    """
    request = DeltaBuildRequest(
        base=base,
        target=target,
        output=output,
        key=private_key(signing_key, passphrase_fd),
        expectation=_expectation(trusted_keys, policy, at),
        created_at=moment(created_at, "--created-at"),
        reverse=reverse,
        recipe=not no_recipe,
        transforms=_candidates(what),
        keys=keys_given(what),
        environment=reading(workers, maxima, allow_links=allow_links),
    )
    with progressing(progress_mode) as progress:
        watched = replace(request, environment=replace(request.environment, progress=progress))
        report = build_delta(watched)
    _show(report, as_json=as_json)


def _show(report: DeltaBuildReport, *, as_json: bool) -> None:
    print_report(built_lines(report), built_json(report), as_json=as_json)
    if report.discloses:
        print_warning(
            f"warning: {report.output} leads back over an encryption: it holds in the clear what {report.base} has"
            " sealed, so keep it as you keep the old kit"
        )


@delta_group.command("apply")
@click.argument("base", type=FILE)
@click.argument("delta", type=FILE)
@click.option("--output", "-o", type=FILE, metavar="OUT", help="Write the target here; it must not exist.")
@click.option("--in-place", is_flag=True, help="Replace BASE; the old kit is kept as BASE.bak.")
@click.option("--no-backup", is_flag=True, help="With --in-place: do not keep the old kit.")
@click.option("--resume", "again", is_flag=True, help="Go on with an interrupted run; all else as it was given then.")
@click.option("--abandon", "give_up", is_flag=True, help="Remove what an interrupted run left; the kit stays as it is.")
@credential_options
@_trust_options
@click.option("--force", is_flag=True, help="Accept a target that is stale or rolled back; recorded in the state.")
@click.option("--reason", metavar="TEXT", help="Why --force, for the record.")
@reading_options
@progress_option
@json_option
def apply_command(
    base: Path,
    delta: Path,
    output: Path | None,
    in_place: bool,
    no_backup: bool,
    again: bool,
    give_up: bool,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    force: bool,
    reason: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allow_links: bool,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Make the kit that DELTA leads to from BASE, beside it or in its place; no signing key is needed.

    The delta's signature, the base, and every member that is made are checked; until the target is read back and
    verified, nothing but a folder named after the output is written. A delta that is a recipe of an encryption needs
    the keyring (--keyring; kit delta inspect names the data keys), which is read and never written.

    Exit codes: 3 the delta is not signed, 4 not by whom you trust, 5 its signature does not hold, 8 it leads back, 9 it
    is malformed, 10 it is for another kit, 12 it is a recipe that this version would compute otherwise, 13 it is a
    recipe that seals with data keys that are not given.

    \b
    Examples:
      kit delta apply kit.tar.zst november.delta --in-place --trusted-key publisher.pem.pub
      kit delta apply october.tar.zst november.delta -o november.tar.zst --trust policy.json
      kit delta apply kit.tar.zst sealed.delta --in-place --trust policy.json --keyring site.keyring
    """
    if (output is None) != in_place:
        raise click.UsageError("say where the result goes: either --output OUT or --in-place")
    if no_backup and not in_place:
        raise click.UsageError("--no-backup goes with --in-place")
    if again and give_up:
        raise click.UsageError("--resume and --abandon exclude each other")
    if give_up:
        given_up = abandon(output or base)
        print_report(abandonment_lines(given_up), abandonment_json(given_up), as_json=as_json)
        return
    request = DeltaApplyRequest(
        base=base,
        delta=delta,
        expectation=_expectation(trusted_keys, policy, at, force=force, reason=reason),
        output=output,
        keep_backup=not no_backup,
        keys=keys_given(what),
        environment=reading(workers, maxima, allow_links=allow_links),
    )
    with progressing(progress_mode) as progress:
        watched = replace(request, environment=replace(request.environment, progress=progress))
        report = resume_delta(watched) if again else apply_delta(watched)
    if isinstance(report, Completion):
        print_report(completion_lines(report), completion_json(report), as_json=as_json)
        return
    _remember(policy, request.expectation, report)
    print_report(applied_lines(report), applied_json(report), as_json=as_json)


def _remember(policy: Path | None, expectation: Expectation, report: DeltaApplyReport) -> None:
    judgement = report.judgement
    if policy is None or expectation.trust is None or judgement.manifest is None or judgement.accepted is None:
        return
    bundle = judgement.manifest.bundle_id
    trust_files.remember(policy, expectation.trust, bundle, judgement.accepted, judgement.override)


@delta_group.command("inspect")
@click.argument("delta", type=FILE)
@reading_options
@json_option
def inspect_command(delta: Path, workers: int, maxima: tuple[str, ...], allow_links: bool, as_json: bool) -> None:
    """Show what DELTA leads from and to, how each member is made, and who says to have signed it; nothing is verified.

    \b
    Example:
      kit delta inspect november.delta
    """
    report = inspect_delta(delta, reading(workers, maxima, allow_links=allow_links))
    print_report(inspected_lines(report), inspected_json(report), as_json=as_json)


@delta_group.command("verify")
@click.argument("delta", type=FILE)
@_trust_options
@reading_options
@json_option
def verify_command(
    delta: Path,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allow_links: bool,
    as_json: bool,
) -> None:
    """Decide whether DELTA is what its signers say, and who signed the kit it leads to; no kit is needed.

    Exit codes: 2 a payload is not as signed, 3 unsigned, 4 not by whom you trust, 5 a signature does not hold, 9
    malformed.

    \b
    Example:
      kit delta verify november.delta --trusted-key publisher.pem.pub
    """
    report = verify_delta(
        DeltaVerifyRequest(
            delta=delta,
            anchor=_expectation(trusted_keys, policy, at).anchor,
            environment=reading(workers, maxima, allow_links=allow_links),
        )
    )
    print_report(verified_lines(report), verified_json(report), as_json=as_json)


@delta_group.command("squash")
@click.argument("base", type=FILE)
@click.argument("deltas", type=FILE, nargs=-1, required=True, metavar="DELTA DELTA...")
@click.option("--output", "-o", type=FILE, required=True, metavar="D", help="Write the delta here; it must not exist.")
@click.option("--signing-key", type=FILE, required=True, metavar="PEM", help="The private key that signs the delta.")
@passphrase_option
@_recipe_options
@_trust_options
@click.option(
    "--created-at",
    metavar="TIME",
    envvar="SOURCE_DATE_EPOCH",
    help="Time of the delta, RFC 3339 UTC or seconds; the clock by default.",
)
@reading_options
@json_option
def squash_command(
    base: Path,
    deltas: tuple[Path, ...],
    output: Path,
    signing_key: Path,
    passphrase_fd: int | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    created_at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allow_links: bool,
    as_json: bool,
    no_recipe: bool,
    **what: Any,
) -> None:
    """Make one delta of a chain that begins at the kit BASE; it gives what the chain gives, and no more.

    The chain is applied in a folder beside the output (OUTPUT.kit-build), which needs room for two kits. Recipes of the
    chain become one where the base still gives it. Exit codes: 10 a delta does not go on where the one before it ends,
    13 a recipe seals with keys that the keyring does not have.

    \b
    Example:
      kit delta squash september.tar.zst october.delta november.delta -o both.delta --signing-key publisher.pem
        --trusted-key publisher.pem.pub
    """
    report = squash_deltas(
        DeltaSquashRequest(
            base=base,
            deltas=deltas,
            output=output,
            key=private_key(signing_key, passphrase_fd),
            expectation=_expectation(trusted_keys, policy, at),
            created_at=moment(created_at, "--created-at"),
            recipe=not no_recipe,
            transforms=_candidates(what),
            keys=keys_given(what),
            environment=reading(workers, maxima, allow_links=allow_links),
        )
    )
    _show(report, as_json=as_json)
