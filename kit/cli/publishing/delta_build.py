"""``kit delta build``: build a signed delta from two kits, and warn if it discloses what was sealed.

``kit delta squash``: combine a chain of deltas into one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.delta import make_expectation, recipe_options, signed_output_options, take_candidates, trust_options
from kit.cli.encryption_options import take_keys
from kit.cli.options import (
    created_at_option,
    json_option,
    load_signing_key,
    make_environment,
    reading_options,
    time_or_now,
)
from kit.cli.output import print_report, print_warning
from kit.cli.paths import DELTA, KIT, Command
from kit.cli.places import SecretSource
from kit.cli.progress import progress_option, show_progress
from kit.cli.run_options import work_folder_option
from kit.values import Allowed

if TYPE_CHECKING:
    from kit.verbs.delta.build import DeltaBuildReport


@click.command("build", cls=Command)
@click.argument("base", type=KIT)
@click.argument("target", type=KIT)
@signed_output_options
@click.option("--reverse", is_flag=True, help="Build the delta back, from TARGET to BASE.")
@recipe_options
@work_folder_option(is_resumable=False)
@trust_options
@created_at_option("the delta")
@reading_options
@progress_option
@json_option
def build_command(
    base: Path,
    target: Path,
    output: Path,
    signing_key: Path | SecretSource,
    passphrase_fd: int | SecretSource | None,
    work_folder: Path | None,
    reverse: bool,
    no_recipe: bool,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    created_at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Build the signed delta from BASE to TARGET.

    They are two generations of one bundle. Both are verified first. Collections are compared document by document,
    whatever the order. The same kits, key and --created-at give the same delta, whatever the number of workers.

    The site computes again what it can, and that is not sent: what raw-linkset added, and with --keyring what
    encrypt-fields sealed. The site then needs that keyring, too; no key and no plaintext is sent. If the site can
    compute nothing, the report gives the reason.

    The folder OUTPUT.kit-build exists while the command runs. The next run removes what a killed run left of it.

    Exit codes: 13 the keyring does not open, 64 the kits are not two generations of one bundle.

    \b
    Examples:
      kit delta build october.tar.zst november.tar.zst -o november.delta --signing-key publisher.pem \\
        --trusted-key publisher.pub.pem
      kit delta build kit.tar.zst sealed.tar.zst -o sealed.delta --signing-key site.pem \\
        --trusted-key publisher.pub.pem --trusted-key site.pub.pem --keyring site.keyring
    """
    from kit.verbs.delta.build import DeltaBuildRequest, build_delta

    request = DeltaBuildRequest(
        base=base,
        target=target,
        output=output,
        key=load_signing_key(signing_key, passphrase_fd),
        expectation=make_expectation(trusted_keys, policy, at),
        created_at=time_or_now(created_at, "--created-at"),
        reverse=reverse,
        recipe=not no_recipe,
        transforms=take_candidates(what),
        keys=take_keys(what),
        work_folder=work_folder,
        environment=make_environment(workers, maxima, allowed=allowed),
    )
    with show_progress(progress_mode) as progress:
        watched = replace(request, environment=replace(request.environment, progress=progress))
        report = build_delta(watched)
    print_build_report(report, as_json=as_json)


def print_build_report(report: DeltaBuildReport, *, as_json: bool) -> None:
    """Print the report of a build, and warn if the delta discloses what was sealed."""
    from kit.reports.delta import built_json, built_lines

    print_report(built_lines(report), built_json(report), as_json=as_json, done="the delta is written")
    if report.discloses:
        print_warning(
            f"warning: {report.output} reverses an encryption: it contains in the clear what {report.base} has sealed."
            " Protect it like the old kit"
        )


@click.command("squash", cls=Command)
@click.argument("base", type=KIT)
@click.argument("deltas", type=DELTA, nargs=-1, required=True, metavar="DELTA DELTA...")
@signed_output_options
@recipe_options
@work_folder_option(is_resumable=False)
@trust_options
@created_at_option("the delta")
@reading_options
@progress_option
@json_option
def squash_command(
    base: Path,
    deltas: tuple[Path, ...],
    output: Path,
    signing_key: Path | SecretSource,
    passphrase_fd: int | SecretSource | None,
    work_folder: Path | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    created_at: str | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    progress_mode: str,
    as_json: bool,
    no_recipe: bool,
    **what: Any,
) -> None:
    """Combine a chain of deltas that begins at BASE into one.

    The new delta gives the same target as the chain. The chain is applied in the folder OUTPUT.kit-build, which needs
    disk space for two kits. Its recipes become one recipe if BASE still allows it.

    Exit codes: 10 the base of a delta is not the target of the one before it, 13 data keys of a recipe are missing.

    \b
    Example:
      kit delta squash september.tar.zst october.delta november.delta -o both.delta --signing-key publisher.pem \\
        --trusted-key publisher.pub.pem
    """
    from kit.verbs.delta.build import DeltaSquashRequest
    from kit.verbs.delta.squash import squash_deltas

    request = DeltaSquashRequest(
        base=base,
        deltas=deltas,
        output=output,
        key=load_signing_key(signing_key, passphrase_fd),
        expectation=make_expectation(trusted_keys, policy, at),
        created_at=time_or_now(created_at, "--created-at"),
        recipe=not no_recipe,
        transforms=take_candidates(what),
        keys=take_keys(what),
        work_folder=work_folder,
        environment=make_environment(workers, maxima, allowed=allowed),
    )
    with show_progress(progress_mode) as progress:
        report = squash_deltas(replace(request, environment=replace(request.environment, progress=progress)))
    print_build_report(report, as_json=as_json)
