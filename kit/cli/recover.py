"""``kit recover`` and ``kit audit``: decrypt by an approval, and verify the log that records it.

``kit approval``: create and sign the approval of a recovery, by two people.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.encryption_options import (
    credential_options,
    field_map_option,
    load_field_map,
    profile_option,
    take_credentials,
)
from kit.cli.options import (
    json_option,
    kit_argument,
    load_signing_key,
    load_trusted_keys,
    make_environment,
    parse_collection,
    parse_time,
    passphrase_option,
    read_clock,
    reading_options,
    time_or_now,
    trust_option,
)
from kit.cli.output import print_report
from kit.cli.paths import APPENDED, APPROVAL, AUDIT_LOG, NEW, NEW_SECRET, PUBLIC_KEYS, SIGNING_KEY, Command, Group
from kit.cli.places import SecretSource
from kit.cli.progress import progress_option, show_progress
from kit.cli.trust_options import make_override, override_options, policy_option, read_anchor
from kit.errors import ContentError, UsageError
from kit.values import Limits, Sha256

if TYPE_CHECKING:
    from kit.encryption.approval import Approval, DocumentName
    from kit.verbs.approval import ApprovalFile


@click.command("recover", cls=Command)
@kit_argument
@click.option("--approval", type=APPROVAL, metavar="FILE", required=True, help="The approval (kit approval create).")
@click.option(
    "--approver-key",
    "approver_keys",
    type=PUBLIC_KEYS,
    multiple=True,
    metavar="PEM",
    help="Public keys of approvers: a file, or a folder; two or more are needed. A policy (--trust) names them by the"
    " role incident.",
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

    They are written as they were before encryption: BSON, or JSON from a collection in JSON. Two approvers must have
    signed, and the approval must be valid now. The kit is verified first. A record is in the audit log before any key
    is opened.

    \b
    Example:
      kit recover kit.tar.zst --approval two.approval --approver-key ada.pub.pem --approver-key bob.pub.pem \\
        --trusted-key publisher.pub.pem --trusted-key site.pub.pem --field-map concelier --keyring site.keyring \\
        --audit-log recoveries.log --output incident-7.bson

    Keys or a policy (--trust) decide which signatures of the kit and of the approval count. With a policy, approvers
    are the keys with the role incident that are not revoked and are trusted for this bundle and collection.
    """
    from kit.encryption import Profile
    from kit.reports.documents import recover_json, recover_lines
    from kit.signing import load_public_keys
    from kit.verbs.recover import RecoverRequest, recover

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
        approvers=tuple(key for path in approver_keys for key in load_public_keys(path)),
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
@click.argument("log", type=AUDIT_LOG)
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
    from kit.reports.documents import chain_json, chain_lines

    chain = audit_log.verify(log, anchor=_parse_head(anchor))
    print_report(chain_lines(log, chain), chain_json(log, chain), as_json=as_json)


def _parse_head(text: str | None) -> Sha256 | None:
    try:
        return Sha256.parse(text) if text is not None else None
    except ContentError as error:
        raise UsageError(f"--anchor: {error.what}") from error


@click.group("approval", cls=Group)
def approval_group() -> None:
    """Create, sign and show approvals to decrypt.

    kit recover needs one.
    """


_DONE = "the approval is written"

_output_option = click.option(
    "--output", "-o", type=NEW, metavar="OUT", required=True, help="Write the approval to OUT, which must not exist."
)
_signing_option = click.option(
    "--signing-key",
    type=SIGNING_KEY,
    metavar="PEM",
    required=True,
    help="The approver's private key. A file, env:NAME, fd:N or pkcs11:URI.",
)


@approval_group.command("create")
@kit_argument
@click.option("--incident", metavar="ID", required=True, help="The incident that needs it.")
@click.option("--reason", metavar="TEXT", required=True, help="Why plaintext is needed.")
@click.option(
    "--collection",
    "collections",
    metavar="DB.COLLECTION",
    multiple=True,
    required=True,
    help="A collection. Repeatable.",
)
@click.option("--partition", "partitions", metavar="P", multiple=True, help="Only this partition (tenant). Repeatable.")
@click.option("--owner", "owners", metavar="O", multiple=True, help="Only this owner. Repeatable.")
@click.option(
    "--document",
    "documents",
    metavar="ID",
    multiple=True,
    help='Only this _id: text, or JSON such as {"$oid": "…"}. Repeatable.',
)
@click.option("--whole-collections", is_flag=True, help="All documents, instead of --partition, --owner or --document.")
@click.option("--not-before", metavar="TIME", help="Valid from this time. Default: now.")
@click.option("--expires", metavar="TIME", required=True, help="Valid until this time (RFC 3339 UTC).")
@_signing_option
@passphrase_option
@_output_option
@json_option
def create_command(
    kit: Path,
    signing_key: Path | SecretSource,
    passphrase_fd: int | SecretSource | None,
    output: Path,
    as_json: bool,
    **what: Any,
) -> None:
    """Approve the recovery of documents of KIT, as the first of two.

    KIT is read for the digest of its manifest. It is not verified; kit recover does that.

    \b
    Example:
      kit approval create kit.tar.zst --incident INC-7 --reason "court order 12" --collection concelier.notes \\
        --owner ada --expires 2026-01-03T00:00:00Z --signing-key ada.pem -o one.approval
    """
    from kit.verbs.approval import create

    _print(
        create(output, _make_approval(kit, **what), load_signing_key(signing_key, passphrase_fd)),
        as_json=as_json,
        done=_DONE,
    )


@approval_group.command("sign")
@click.argument("approval", type=APPROVAL)
@_signing_option
@passphrase_option
@_output_option
@json_option
def sign_command(
    approval: Path,
    signing_key: Path | SecretSource,
    passphrase_fd: int | SecretSource | None,
    output: Path,
    as_json: bool,
) -> None:
    """Sign APPROVAL as the second approver, into a new file.

    Read it first: kit approval show.

    \b
    Example:
      kit approval sign one.approval --signing-key bob.pem -o two.approval
    """
    from kit.verbs.approval import countersign

    _print(countersign(approval, output, load_signing_key(signing_key, passphrase_fd)), as_json=as_json, done=_DONE)


@approval_group.command("show")
@click.argument("approval", type=APPROVAL)
@json_option
def show_command(approval: Path, as_json: bool) -> None:
    """Show what APPROVAL allows and claims, without verifying it.

    \b
    Example:
      kit approval show two.approval
    """
    from kit.verbs.approval import show

    _print(show(approval), as_json=as_json)


def _make_approval(
    kit: Path,
    *,
    incident: str,
    reason: str,
    collections: tuple[str, ...],
    partitions: tuple[str, ...],
    owners: tuple[str, ...],
    documents: tuple[str, ...],
    whole_collections: bool,
    not_before: str | None,
    expires: str,
) -> Approval:
    from kit.encryption.approval import Approval, RecoveryScope, collection_name

    if whole_collections == bool(partitions or owners or documents):
        raise click.UsageError("name partitions, owners or documents, or use --whole-collections")
    try:
        scope = RecoveryScope(
            manifest_sha256=_manifest_sha256(kit),
            collections=tuple(map(collection_name, collections)),
            partitions=frozenset(partitions) or None,
            owners=frozenset(owners) or None,
            documents=frozenset(map(_parse_document, documents)) or None,
        )
    except ContentError as error:
        raise error if error.where else UsageError(error.what) from error
    return Approval(
        incident_id=incident,
        reason=reason,
        scope=scope,
        not_before=time_or_now(not_before, "--not-before"),
        expires=parse_time(expires, "--expires"),
    )


def _manifest_sha256(kit: Path) -> Sha256:
    from kit.verbs.inspect import inspect

    report = inspect(kit)
    if report.manifest is None:
        raise ContentError(f"has no manifest to approve: {'; '.join(report.problems)}", where=str(kit))
    return report.manifest.sha256


def _parse_document(text: str) -> DocumentName:
    """Read an ``_id``: JSON if it begins like a JSON object or string, else plain text."""
    from kit.encryption.approval import DocumentName
    from kit.values.strict_json import parse

    if text.startswith(("{", '"')):
        return DocumentName.parse(parse(text.encode("utf-8", "replace"), limits=Limits(), where="--document"))
    return DocumentName.parse(text)


def _print(file: ApprovalFile, *, as_json: bool, done: str = "") -> None:
    from kit.reports.documents import approval_json, approval_lines

    print_report(approval_lines(file), approval_json(file), as_json=as_json, done=done)
