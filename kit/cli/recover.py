"""``kit recover`` and ``kit audit``: decrypt by an approval, and verify the log that records it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kit.cli.collisions import Command, Group
from kit.cli.credentials import credential_options
from kit.cli.encrypting import field_map_option, load_field_map, profile_option, take_credentials
from kit.cli.naming import parse_collection
from kit.cli.options import (
    FILE,
    json_option,
    kit_argument,
    load_trusted_keys,
    make_environment,
    reading_options,
    trust_option,
)
from kit.cli.output import print_report
from kit.cli.places import APPENDED, NEW_SECRET
from kit.cli.progress import progress_option, show_progress
from kit.cli.times import read_clock, time_or_now
from kit.cli.trusting import make_override, override_options, policy_option, read_anchor
from kit.errors import ContentError, UsageError
from kit.values import Sha256


@click.command("recover", cls=Command)
@kit_argument
@click.option("--approval", type=FILE, metavar="FILE", required=True, help="The approval (kit approval create).")
@click.option(
    "--approver-key",
    "approver_keys",
    type=FILE,
    multiple=True,
    metavar="PEM",
    help="Public key of an approver; two or more are needed. A policy (--trust) names them by the role incident.",
)
@click.option(
    "--audit-log", "log", type=APPENDED, metavar="F", required=True, help="Append a record to F, before and after."
)
@click.option("--output", "-o", type=NEW_SECRET, metavar="OUT", required=True, help="A new file, with mode 0600.")
@click.option("--sealed-to", multiple=True, metavar="AGE1…", help="Seal the output for this age recipient. Repeatable.")
@click.option("--collection", metavar="DB.COLLECTION", help="The collection, if the approval names several.")
@trust_option
@policy_option
@override_options("Accept an approval out of its validity, or a kit that is stale or rolled back. Recorded.")
@field_map_option
@credential_options
@profile_option("The profile of the envelopes.")
@click.option("--at", metavar="TIME", help="Judge the kit as of this time. The approval is judged by the clock.")
@reading_options
@progress_option
@json_option
def recover_command(
    kit: Path,
    approval: Path,
    approver_keys: tuple[Path, ...],
    log: Path,
    output: Path,
    sealed_to: tuple[str, ...],
    trusted_keys: tuple[Path, ...],
    policy: Path | None,
    keyring: Path | None,
    profile: str,
    at: str | None,
    progress_mode: str,
    as_json: bool,
    **more: Any,
) -> None:
    """Decrypt the documents of KIT that an approval names.

    They are written to a BSON file as they were before encryption. Two approvers must have signed, and the approval
    must be valid now. The kit is verified first. A record is in the audit log before any key is opened.

    \b
    Example:
      kit recover kit.tar.zst --approval two.approval --approver-key ada.pub --approver-key bob.pub
        --trusted-key publisher.pub.pem --trusted-key site.pub.pem --field-map concelier --keyring site.keyring
        --audit-log recoveries.log --output incident-7.bson

    Keys or a policy (--trust) decide which signatures of the kit and of the approval count. With a policy, approvers
    are the keys with the role incident that are not revoked and are trusted for this bundle and collection.
    """
    from kit.encryption import Profile
    from kit.ops.recover import RecoverRequest, recover
    from kit.reports.recoveries import recover_json, recover_lines
    from kit.signing import load_public

    if more["field_map"] is None or keyring is None:
        raise click.UsageError("name the field map and the keyring with --field-map and --keyring")
    if policy is not None and (trusted_keys or approver_keys):
        raise UsageError("--trust excludes --trusted-key and --approver-key: a policy names its keys")
    time, insisted = time_or_now(at), make_override(force=more["force"], reason=more["reason"])
    request = RecoverRequest(
        kit=kit,
        trusted=load_trusted_keys(trusted_keys) if policy is None else {},
        trust=read_anchor(policy, time, force=more["force"], reason=more["reason"]) if policy is not None else None,
        override=insisted,
        approval=approval,
        approvers=tuple(load_public(path) for path in approver_keys),
        field_map=load_field_map(more["field_map"]),
        profile=Profile[profile.upper()],
        keyring=keyring,
        credentials=take_credentials(more, keyring),
        audit_log=log,
        output=output,
        sealed_to=sealed_to,
        collection=parse_collection(more["collection"]) if more["collection"] is not None else None,
        now=time,
        clock=read_clock,
        environment=make_environment(more["workers"], more["maxima"], allowed=more["allowed"]),
    )
    with show_progress(progress_mode) as progress:
        report = recover(replace(request, environment=replace(request.environment, progress=progress)))
    print_report(recover_lines(report), recover_json(report), as_json=as_json, done="the documents are recovered")


@click.group("audit", cls=Group)
def audit_group() -> None:
    """Verify audit logs."""


@audit_group.command("verify")
@click.argument("log", type=FILE)
@click.option("--anchor", metavar="SHA256", help="A head that was printed before and must still be in the log.")
@json_option
def verify_command(log: Path, anchor: str | None, as_json: bool) -> None:
    """Verify the hash chain of the audit log LOG.

    Records that were cut off at its end are detected only with --anchor.

    \b
    Example:
      kit audit verify recoveries.log --anchor 2c26b46b…
    """
    from kit.encryption import audit_log
    from kit.reports.recoveries import chain_json, chain_lines

    chain = audit_log.verify(log, anchor=_parse_head(anchor))
    print_report(chain_lines(log, chain), chain_json(log, chain), as_json=as_json)


def _parse_head(text: str | None) -> Sha256 | None:
    try:
        return Sha256.parse(text) if text is not None else None
    except ContentError as error:
        raise UsageError(f"--anchor: {error.what}") from error
