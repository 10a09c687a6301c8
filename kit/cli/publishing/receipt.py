"""``kit receipt``: show a receipt, or verify it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.commands import OK, exit_code
from kit.cli.options import (
    json_option,
    load_trusted_keys,
    make_environment,
    reading_options,
    time_or_now,
    trust_option,
)
from kit.cli.output import print_error, print_report
from kit.cli.paths import KIT, PAGE, RECEIPT, Group
from kit.cli.progress import progress_option, show_progress
from kit.cli.trust_options import policy_option, read_anchor, time_option
from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.verbs.receipt import ReceiptReport


@click.group("receipt", cls=Group)
def receipt_group() -> None:
    """Show and verify receipts of kit verify and kit compare."""


@receipt_group.command("show")
@click.argument("receipt", type=RECEIPT)
@json_option
def show_command(receipt: Path, as_json: bool) -> None:
    """Show what RECEIPT claims, without verifying it.

    \b
    Example:
      kit receipt show kit.receipt
    """
    from kit.verbs.receipt import show_receipt

    _print(show_receipt(receipt), as_json=as_json)


@receipt_group.command("verify")
@click.argument("receipt", type=RECEIPT)
@click.option("--kit", "kit_path", type=KIT, metavar="KIT", help="The receipt must be about this kit.")
@click.option("--page", type=PAGE, metavar="F", help="The receipt must be of the same verdict as this HTML page.")
@trust_option
@policy_option
@time_option
@reading_options
@progress_option
@json_option
def verify_command(
    receipt: Path,
    kit_path: Path | None,
    page: Path | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> int:
    """Verify who signed RECEIPT, and what it is about.

    The keys are the auditor's: with a policy, those with the role auditor. A kit is the one of the receipt if its
    archive has the same bytes, or if it is packed otherwise but has the same manifest, signatures and files.

    A receipt of a kit that was refused is genuine, too. It ends with exit code 4, so that nobody takes it for a
    verdict that the kit is valid. One of kit compare that found other documents ends with 11.

    \b
    Examples:
      kit receipt verify kit.receipt --trusted-key auditor.pub.pem --kit kit.tar.zst
      kit receipt verify kit.receipt --trust policy.json --kit kit.tar.zst --page kit.html
    """
    from kit.verbs.receipt import ReceiptRequest, verify_receipt
    from kit.verbs.verify.judgement import Expectation

    if policy is not None and trusted_keys:
        raise UsageError("--trust and --trusted-key exclude each other: a policy names its keys")
    if policy is None and not trusted_keys:
        raise UsageError("name the auditor's key with --trusted-key, or use --trust")
    expectation = Expectation(trusted=load_trusted_keys(trusted_keys), trust=read_anchor(policy, time_or_now(at)))
    request = ReceiptRequest(
        receipt=receipt,
        anchor=expectation.anchor,
        kit=kit_path,
        page=page,
        environment=make_environment(what["workers"], what["maxima"], allowed=what["allowed"]),
    )
    with show_progress(progress_mode) as progress:
        report = verify_receipt(replace(request, environment=replace(request.environment, progress=progress)))
    _print(report, as_json=as_json)
    if report.failure is None:
        return OK
    code = exit_code(report.failure)
    print_error(report.failure, code, as_json=False)
    return code


def _print(report: ReceiptReport, *, as_json: bool) -> None:
    from kit.reports.publishing import receipt_json, receipt_lines

    print_report(receipt_lines(report), receipt_json(report), as_json=as_json)
