"""``kit delta squash``: combine a chain of deltas into one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kit.cli.collisions import Command
from kit.cli.credentials import take_keys
from kit.cli.delta_build import print_build_report
from kit.cli.delta_options import (
    make_expectation,
    recipe_options,
    signed_output_options,
    take_candidates,
    trust_options,
)
from kit.cli.job_options import work_folder_option
from kit.cli.options import created_at_option, json_option, load_signing_key, make_environment, reading_options
from kit.cli.places import KIT
from kit.cli.progress import progress_option, show_progress
from kit.cli.times import time_or_now
from kit.values import Allowed


@click.command("squash", cls=Command)
@click.argument("base", type=KIT)
@click.argument("deltas", type=KIT, nargs=-1, required=True, metavar="DELTA DELTA...")
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
    signing_key: Path,
    passphrase_fd: int | None,
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
      kit delta squash september.tar.zst october.delta november.delta -o both.delta --signing-key publisher.pem
        --trusted-key publisher.pem.pub
    """
    from kit.ops.delta_build import DeltaSquashRequest
    from kit.ops.delta_squash import squash_deltas

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
