"""``kit verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kit.cli.encrypting import field_expectation, proof_options
from kit.cli.exit_codes import OK, exit_code
from kit.cli.options import json_option, kit_argument, reading, reading_options, trust_option, trusted
from kit.cli.output import print_error, print_report
from kit.ops.obligations import Expectation
from kit.ops.verify import verify
from kit.reports.verdicts import verify_json, verify_lines


@click.command("verify")
@kit_argument
@trust_option
@click.option("--require-raw-linkset", is_flag=True, help="Refuse unless every observation has rawLinkset.")
@click.option("--tenant", "tenants", multiple=True, metavar="T", help="Require it of this tenant only; repeatable.")
@proof_options
@reading_options
@json_option
def verify_command(
    kit: Path,
    trusted_keys: tuple[Path, ...],
    require_raw_linkset: bool,
    tenants: tuple[str, ...],
    workers: int,
    maxima: tuple[str, ...],
    allow_links: bool,
    as_json: bool,
    **what: Any,
) -> int:
    """Decide offline whether KIT is what its signers say.

    Every obligation is checked and shown; the first that fails decides the exit code. A patched kit needs the keys of
    everyone who signed a generation of it.

    \b
    Examples:
      kit verify offline-kit.tar.zst --trusted-key publisher.pub.pem
      kit verify patched.tar.zst --trusted-key publisher.pub.pem --trusted-key site.pub.pem
      kit verify patched.tar.zst --trusted-key … --require-raw-linkset --tenant acme
      kit verify patched.tar.zst --trusted-key … --field-map notelett --keyring site.keyring
    """
    mapped = field_expectation(what, tenants)
    if tenants and not require_raw_linkset and mapped is None:
        raise click.UsageError("--tenant goes with --require-raw-linkset or --field-map")
    expectation = Expectation(
        trusted=trusted(trusted_keys),
        require_raw_linkset=require_raw_linkset,
        tenants=frozenset(tenants) or None,
    )
    report = verify(kit, expectation, reading(workers, maxima, allow_links=allow_links), mapped=mapped)
    code = exit_code(report.failure) if report.failure else OK
    print_report(verify_lines(report), verify_json(report, code), as_json=as_json)
    if report.failure is not None:
        print_error(report.failure, code, as_json=False)
    return code
