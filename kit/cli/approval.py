"""``kit approval``: create and sign the approval of a recovery, by two people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.collisions import Group
from kit.cli.options import FILE, json_option, kit_argument, load_signing_key, passphrase_option
from kit.cli.output import print_report
from kit.cli.places import NEW
from kit.cli.times import parse_time, time_or_now
from kit.errors import ContentError, UsageError
from kit.values import Limits, Sha256

if TYPE_CHECKING:
    from kit.encryption.approval import Approval, DocumentName
    from kit.ops.approve import ApprovalFile


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
    "--signing-key", type=FILE, metavar="PEM", required=True, help="The approver's private key."
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
    kit: Path, signing_key: Path, passphrase_fd: int | None, output: Path, as_json: bool, **what: Any
) -> None:
    """Approve the recovery of documents of KIT, as the first of two.

    KIT is read for the digest of its manifest. It is not verified; kit recover does that.

    \b
    Example:
      kit approval create kit.tar.zst --incident INC-7 --reason "court order 12" --collection concelier.notes
        --owner ada --expires 2026-01-03T00:00:00Z --signing-key ada.pem -o one.approval
    """
    from kit.ops.approve import create

    _print(
        create(output, _make_approval(kit, **what), load_signing_key(signing_key, passphrase_fd)),
        as_json=as_json,
        done=_DONE,
    )


@approval_group.command("sign")
@click.argument("approval", type=FILE)
@_signing_option
@passphrase_option
@_output_option
@json_option
def sign_command(approval: Path, signing_key: Path, passphrase_fd: int | None, output: Path, as_json: bool) -> None:
    """Sign APPROVAL as the second approver, into a new file.

    Read it first: kit approval show.

    \b
    Example:
      kit approval sign one.approval --signing-key bob.pem -o two.approval
    """
    from kit.ops.approve import countersign

    _print(countersign(approval, output, load_signing_key(signing_key, passphrase_fd)), as_json=as_json, done=_DONE)


@approval_group.command("show")
@click.argument("approval", type=FILE)
@json_option
def show_command(approval: Path, as_json: bool) -> None:
    """Show what APPROVAL allows and claims, without verifying it.

    \b
    Example:
      kit approval show two.approval
    """
    from kit.ops.approve import show

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
    from kit.ops.inspect import inspect

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
    from kit.reports.recoveries import approval_json, approval_lines

    print_report(approval_lines(file), approval_json(file), as_json=as_json, done=done)
