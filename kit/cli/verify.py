"""``kit verify``: the verdict, and its results: policy state, page, receipt, script and exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.commands import OK, exit_code
from kit.cli.encryption_options import proof_options, take_field_expectation
from kit.cli.options import (
    FILE,
    json_option,
    kit_argument,
    load_signing_key,
    load_trusted_keys,
    make_environment,
    passphrase_option,
    reading_options,
    signing_key_option,
    time_or_now,
    trust_option,
)
from kit.cli.output import (
    is_seen_together,
    print_error,
    print_report,
    print_warning,
    require_report_place,
    write_report,
)
from kit.cli.paths import REPORT, Command
from kit.cli.places import SecretSource
from kit.cli.progress import progress_option, show_progress
from kit.cli.resuming import warn_of_unfinished
from kit.cli.run_options import limit_environment, machine_options
from kit.cli.trust_options import (
    override_options,
    policy_option,
    read_anchor,
    record_kit_if_possible,
    require_memory,
    time_option,
)
from kit.errors import KitError
from kit.values import Allowed
from kit.values.file_kind import FileKind

if TYPE_CHECKING:
    from kit.transforms.raw_linkset import RawLinkset


@click.command("verify", cls=Command)
@kit_argument
@trust_option
@policy_option
@time_option
@click.option(
    "--no-remember",
    "is_forgotten",
    is_flag=True,
    help="Judge by what the policy remembers, but do not record KIT: the next verdict is as if this one had not been.",
)
@override_options("Accept a kit that is stale or rolled back. Recorded in the policy's state.")
@click.option(
    "--deep", is_flag=True, help="Walk every document. Prove, where the bytes allow it, that only rawLinkset was added."
)
@click.option(
    "--require-raw-linkset", is_flag=True, help="Refuse unless every observation has linkset and rawLinkset (v1)."
)
@click.option(
    "--rederive", is_flag=True, help="Derive every rawLinkset again from its source, and refuse where one differs."
)
@click.option(
    "--cache-map", type=FILE, metavar="FILE", help="Where cached payloads are (schemas/cache-map.md), for --rederive."
)
@click.option("--tenant", "tenants", multiple=True, metavar="T", help="Check this tenant only. Repeatable.")
@click.option("--receipt", type=REPORT, metavar="F", help="Write a signed receipt of the verdict to F (SLSA VSA).")
@signing_key_option("The auditor's private key, for --receipt.", needs="receipt")
@passphrase_option
@click.option(
    "--write-script",
    "script",
    type=REPORT,
    metavar="F",
    help="Write a shell script to F that checks the kit with stock tools.",
)
@click.option("--html", type=REPORT, metavar="F", help="Write the report to F as an HTML page, valid or not.")
@proof_options
@reading_options
@machine_options
@progress_option
@json_option
def verify_command(
    kit: Path,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    is_forgotten: bool,
    force: bool,
    reason: str | None,
    deep: bool,
    require_raw_linkset: bool,
    rederive: bool,
    cache_map: Path | None,
    tenants: tuple[str, ...],
    receipt: Path | None,
    signing_key: Path | SecretSource | None,
    passphrase_fd: int | SecretSource | None,
    script: Path | None,
    html: Path | None,
    workers: int,
    maxima: tuple[str, ...],
    allowed: Allowed,
    max_memory: str | None,
    nice: int | None,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> int:
    """Verify offline that KIT is what trusted keys signed.

    Every obligation is checked and shown. The first that fails decides the exit code.

    A patched kit needs the keys of everyone who signed a generation of it. A policy limits each key to its roles and
    its time, and refuses a kit older than one that was accepted before.

    A kit that is valid under a policy is recorded as accepted: afterwards an older one is refused. With --no-remember,
    or where the policy is on a read-only medium, it is judged in the same way and not recorded.

    --html, --receipt and --write-script replace an earlier report of the same kind at F, and nothing else.

    \b
    Examples:
      kit verify offline-kit.tar.zst --trusted-key publisher.pub.pem
      kit verify patched.tar.zst --trusted-key publisher.pub.pem --trusted-key site.pub.pem
      kit verify patched.tar.zst --trust policy.json --deep --require-raw-linkset --tenant acme
      kit verify patched.tar.zst --trust policy.json --require-raw-linkset --rederive
      kit verify patched.tar.zst --trust policy.json --field-map notelett-2 --keyring site.keyring
      kit verify kit.tar.zst --trust policy.json --receipt kit.receipt.json --signing-key auditor.pem
      kit verify rehearsal.tar.zst --trust policy.json --no-remember
      kit verify kit.tar.zst --trust policy.json --html kit.report.html
      kit verify kit.tar.zst --trust policy.json --write-script verify.sh
    """
    from kit.reports.verify import verify_json, verify_lines
    from kit.verbs.verify.obligations import Expectation
    from kit.verbs.verify.verify import verify

    mapped = take_field_expectation(what, tenants, is_deep=deep)
    if tenants and not (require_raw_linkset or rederive) and mapped is None:
        raise click.UsageError("--tenant needs --require-raw-linkset, --rederive or --field-map")
    backfill = _load_backfill(tenants, cache_map, is_wanted=rederive)
    if policy is not None and trusted_keys:
        raise click.UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    require_memory(policy, is_left_alone=is_forgotten, force=force)
    if (receipt is None) != (signing_key is None):
        raise click.UsageError("--receipt and --signing-key need each other")
    _require_places({FileKind.RECEIPT: receipt, FileKind.SCRIPT: script, FileKind.PAGE: html})
    now = time_or_now(at)
    expectation = Expectation(
        trusted=load_trusted_keys(trusted_keys),
        trust=read_anchor(policy, now, force=force, reason=reason),
        deep=deep,
        require_raw_linkset=require_raw_linkset,
        tenants=frozenset(tenants) or None,
    )
    auditor = load_signing_key(signing_key, passphrase_fd) if signing_key is not None else None
    environment = limit_environment(make_environment(workers, maxima, allowed=allowed), max_memory, nice)
    warn_of_unfinished(kit)
    try:
        with show_progress(progress_mode) as progress:
            report = verify(
                *(kit, expectation, replace(environment, progress=progress)),
                mapped=mapped,
                rederive=backfill,
            )
    except KitError as error:
        if html is not None:
            from kit.reports.verify_page import Occasion, no_verdict_page

            write_report(html, no_verdict_page(kit, error, Occasion(at=now, exit_code=exit_code(error))), FileKind.PAGE)
        raise
    code = exit_code(report.failure) if report.failure else OK
    # Recorded before the kit is reported as valid.
    is_recorded = report.judgement.valid and not is_forgotten
    unrecorded = record_kit_if_possible(policy, expectation.trust, report.judgement if is_recorded else None)
    page = b""
    if html is not None:
        from kit.reports.verify_page import Occasion, verdict_page

        judged_by = (policy,) if policy is not None else trusted_keys
        page = verdict_page(report, expectation, Occasion(at=now, exit_code=code, judged_by=judged_by))
        write_report(html, page, FileKind.PAGE)
    if receipt is not None and auditor is not None:
        from kit.verbs.verify.receipt import Page, make_receipt

        named = Page.of(html.name, page) if html is not None else None
        data = make_receipt(report, expectation, auditor, now, page=named)
        write_report(receipt, data, FileKind.RECEIPT)
    if script is not None and report.failure is None:
        from kit.verbs.verify.receipt import make_script

        write_report(script, make_script(expectation), FileKind.SCRIPT)
    print_report(verify_lines(report), verify_json(report, code), as_json=as_json)
    _warn(unrecorded)
    if report.failure is not None and (as_json or not is_seen_together()):
        # On one terminal the line of the obligation has it, and what to do.
        print_error(report.failure, code, as_json=False)
    return code


def _load_backfill(tenants: tuple[str, ...], cache_map: Path | None, *, is_wanted: bool) -> RawLinkset | None:
    if not is_wanted:
        if cache_map is not None:
            raise click.UsageError("--cache-map needs --rederive")
        return None
    from kit.cli.run_options import with_cache
    from kit.transforms.raw_linkset import RawLinkset

    return with_cache(RawLinkset(tenants=frozenset(tenants) or None), cache_map)


def _warn(unrecorded: KitError | None) -> None:
    if unrecorded is not None:
        print_warning(f"warning: not recorded: {unrecorded}; a later rollback to an older kit will not be detected")


def _require_places(reports: Mapping[FileKind, Path | None]) -> None:
    """Check, before the kit is read, that the reports can be written.

    Raises:
        OutputError: One cannot.
    """
    for kind, place in reports.items():
        if place is not None:
            require_report_place(place, kind)
