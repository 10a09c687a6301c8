"""``kit export-changes``: what a patch would add, for a database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kit.cli.options import (
    json_option,
    load_signing_key,
    load_trusted_keys,
    make_environment,
    passphrase_option,
    reading_options,
    signing_key_option,
    time_or_now,
    trust_option,
)
from kit.cli.output import print_report, print_warning
from kit.cli.paths import KIT, NEW, Command
from kit.cli.places import SecretSource
from kit.cli.progress import progress_option, show_progress
from kit.cli.run_options import backfill_options, take_backfill
from kit.cli.trust_options import policy_option, read_anchor, require_one_trust, time_option, unverified_option

_TOOLS = ("mongosh", "mongoimport")
"""kit.verbs.online.records.DatabaseTool."""


@click.command("export-changes", cls=Command)
@click.argument("kit", type=KIT)
@click.option("--for", "tool", type=click.Choice(_TOOLS), required=True, help="The program that applies the changes.")
@click.option("--output", "-o", type=NEW, required=True, metavar="DIR", help="A new folder.")
@click.option(
    "--accept-unguarded",
    is_flag=True,
    help="With --for mongoimport: accept that nothing is compared with what is in the database.",
)
@backfill_options
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Export at most N documents.")
@signing_key_option("A private key that signs the list of digests, for those who apply the changes.")
@passphrase_option
@trust_option
@policy_option
@time_option
@unverified_option
@reading_options
@progress_option
@json_option
def export_changes_command(
    kit: Path,
    tool: str,
    output: Path,
    accept_unguarded: bool,
    limit: int | None,
    signing_key: Path | SecretSource | None,
    passphrase_fd: int | None,
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    at: str | None,
    insecure: bool,
    progress_mode: str,
    as_json: bool,
    **what: Any,
) -> None:
    """Export what patch would add to KIT, for a database.

    The database holds the same documents. DIR has one line of Extended JSON for each document that kit patch would
    change: its _id and its rawLinkset, derived by the same code. KIT is verified first, and what stops a patch
    stops the export. The database is not reached.

    For mongosh, each line also has the tenant and the content hash of its document, and DIR has the program changes.js.
    It adds rawLinkset only where it is missing and both are still the same, and counts what it leaves. It can be
    stopped and started again, and undone (docs/online.md). mongoimport compares nothing.

    \b
    Examples:
      kit export-changes kit.tar.zst --for mongosh -o changes --trusted-key publisher.pub.pem
      kit export-changes kit.tar.zst --for mongosh -o acme --trust policy.json --tenant acme --signing-key site.pem
    """
    from kit.reports.online import export_json, export_lines, left_lines
    from kit.verbs.online.export import ExportRequest, export_changes
    from kit.verbs.online.records import DatabaseTool
    from kit.verbs.patch.patch import PatchRequest

    require_one_trust(trusted_keys, policy, insecure=insecure)
    if accept_unguarded and tool != DatabaseTool.MONGOIMPORT:
        raise click.UsageError("--accept-unguarded is for mongoimport: what mongosh applies is guarded")
    migration, now = take_backfill(what), time_or_now(at)
    environment = make_environment(what["workers"], what["maxima"], allowed=what["allowed"])
    request = ExportRequest(
        patch=PatchRequest(
            kit=kit,
            migration=migration,
            trusted=None if insecure else load_trusted_keys(trusted_keys),
            trust=read_anchor(policy, now),
            created_at=now,
            limit=limit,
            environment=environment,
        ),
        tool=DatabaseTool(tool),
        output=output,
        key=load_signing_key(signing_key, passphrase_fd) if signing_key is not None else None,
        accepts_unguarded=accept_unguarded,
    )
    with show_progress(progress_mode) as progress:
        watched = replace(request.patch, environment=replace(environment, progress=progress))
        report = export_changes(replace(request, patch=watched))
    print_report(export_lines(report), export_json(report), as_json=as_json, done="the changes are exported")
    for line in left_lines(report):
        print_warning(f"warning: {line}")
