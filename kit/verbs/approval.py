"""``kit approval``: approvals are made, signed by one person after the other, and verified before they are acted on.

Obligations, in this order (schemas/recovery-approval.md, "Verification"): two or more approver keys are trusted, each
once; the envelope is signed by at least two people, and by none of their keys falsely; the payload is of the schema
(:func:`verify_by_keys`); the time is within its bounds (:func:`check_time`). Under a trust policy the approvers are its
keys of the role ``incident`` that are in good standing (:func:`verify_by_policy`). Nothing of the payload is believed
before its signatures are verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kit.archive.source import read_small
from kit.encryption.approval import PAYLOAD_TYPE, REQUIRED_SIGNATURES, Approval
from kit.errors import SignatureError, StaleError, UnreadableError, UnsignedError, UntrustedError, UsageError
from kit.output import publish
from kit.signing import PrivateKey, PublicKey, dsse
from kit.trust import Anchor, Occasion, Role, Signing, Subject, narrow, open_envelope
from kit.values import MemberPath, Sha256, Timestamp

LARGEST = 64 * 1024 * 1024
_MODE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFile:
    """An approval and who signed it."""

    path: Path
    sha256: Sha256
    """Of the file."""
    approval: Approval
    signers: tuple[str, ...]
    """Key ids: of a verified approval, trusted ones that signed; else those that it says signed."""
    signing: Signing | None = None
    """Of a verified approval."""


def create(path: Path, approval: Approval, key: PrivateKey) -> ApprovalFile:
    """Write a new approval with its first signature.

    Raises:
        OutputError: Something is there already, or it cannot be written.
    """
    checked = Approval.parse(approval.to_json())
    return _written(path, dsse.sign(checked.to_json(), [key], payload_type=PAYLOAD_TYPE))


def countersign(path: Path, output: Path, key: PrivateKey) -> ApprovalFile:
    """Write a copy of the approval at ``path`` with one more signature.

    Raises:
        UnreadableError: It is not there.
        SignatureError: It is no approval envelope.
        ContentError: Its payload is not of the schema.
        UsageError: The key has signed it already.
        OutputError: Something is at ``output`` already, or it cannot be written.
    """
    data = _read(path)
    Approval.parse(dsse.payload_of(data, payload_type=PAYLOAD_TYPE), where=str(path))
    return _written(output, dsse.countersign(data, key, payload_type=PAYLOAD_TYPE))


def show(path: Path) -> ApprovalFile:
    """Read an approval and who it says signed it; proves nothing.

    Raises:
        KitError: As :func:`countersign`.
    """
    return _told(path, _read(path))


def verify_by_keys(path: Path, approvers: Sequence[PublicKey]) -> ApprovalFile:
    """Read an approval that enough approvers signed; whether it is in its time is for :func:`check_time`.

    Raises:
        UsageError: An approver's key is given twice.
        UntrustedError: Fewer than two approver keys are trusted, or fewer than two of them have signed.
        SignatureError: It is no approval envelope, or a trusted key's signature does not verify.
        ContentError: Its payload is not of the schema.
    """
    trusted = {key.key_id: key for key in approvers}
    if len(trusted) != len(approvers):
        raise UsageError("an approver's key is given twice")
    if len(trusted) < REQUIRED_SIGNATURES:
        raise UntrustedError(
            f"{len(trusted)} approver keys are trusted, and {REQUIRED_SIGNATURES} must have signed",
            hint="name each with --approver-key",
        )
    return verify_by_policy(path, Anchor.of_keys(trusted))


def verify_by_policy(path: Path, anchor: Anchor) -> ApprovalFile:
    """Read an approval that enough of those signed whom a policy lets approve, at the time of the anchor.

    Which bundle it is for is known once the kit is: then :func:`require_bundle`.

    Args:
        path: The approval.
        anchor: The policy, and the time that keys are held to. Its threshold for the role holds where it is more than
            two; it counts people.

    Raises:
        UntrustedError: Too few of those who may have signed: another role, a collection beyond a key's limits, a key
            that is revoked, two keys of one person.
        SignatureError: It is no approval envelope, or the signature of a key of the policy does not verify.
        ContentError: Its payload is not of the schema.
        StaleError: A signer's key is out of its time.
    """
    data, where = _read(path), str(path)

    def read(payload: bytes) -> tuple[Approval, Subject, Occasion]:
        # Who may sign what, the payload has to say; until enough of those have signed, nothing else of it counts.
        approval = Approval.parse(payload, where=where)
        return approval, _subject(approval, where), Occasion()  # an approval does not say when it was signed

    try:
        opened = open_envelope(anchor, data, read, payload_type=PAYLOAD_TYPE)
    except UnsignedError as error:
        raise UntrustedError(f"{error.what}; {REQUIRED_SIGNATURES} approvers must have signed", where=where) from error
    except (UntrustedError, SignatureError, StaleError) as error:
        raise (error if error.where.startswith(where) else error.inside(where)) from error.__cause__
    return ApprovalFile(
        path=path,
        sha256=Sha256.of(data),
        approval=opened.content,
        signers=opened.signing.key_ids,
        signing=opened.signing,
    )


def require_bundle(file: ApprovalFile, anchor: Anchor, bundle_id: str | None) -> ApprovalFile:
    """Return a verified approval with those signers that may sign for a bundle.

    Raises:
        UntrustedError: They are too few.
    """
    if file.signing is None:
        raise UntrustedError("an approval that was not verified", where=str(file.path))
    subject = replace(_subject(file.approval, str(file.path)), bundle_id=bundle_id, any_bundle=False)
    signing = narrow(anchor, file.signing, subject)
    return replace(file, signers=signing.key_ids, signing=signing)


def check_time(file: ApprovalFile, now: Timestamp) -> None:
    """Check that an approval is valid at a time.

    Raises:
        StaleError: It is expired or not valid yet.
    """
    try:
        file.approval.check_time(now)
    except StaleError as error:
        raise error.inside(str(file.path)) from None


def _subject(approval: Approval, where: str) -> Subject:
    collections = approval.scope.collections
    members = tuple(MemberPath(f"{name.database}/{name.collection}.bson") for name in collections)
    return Subject(
        what=where,
        role=Role.INCIDENT,
        bundle_id=None,
        any_bundle=True,
        members=members,
        at_least=REQUIRED_SIGNATURES,
    )


def _read(path: Path) -> bytes:
    data = read_small(path, at_most=LARGEST)
    if data is None:
        raise UnreadableError("there is no such file", where=str(path))
    return data


def _written(path: Path, data: bytes) -> ApprovalFile:
    publish.write_new(path, data, mode=_MODE, what="approval")
    return _told(path, data)


def _told(path: Path, data: bytes) -> ApprovalFile:
    claims = dsse.claims(data, payload_type=PAYLOAD_TYPE)
    approval = Approval.parse(dsse.payload_of(data, payload_type=PAYLOAD_TYPE), where=str(path))
    signers = tuple(claim.key_id for claim in claims)
    return ApprovalFile(path=path, sha256=Sha256.of(data), approval=approval, signers=signers)
