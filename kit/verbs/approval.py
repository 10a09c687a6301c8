"""``kit approval``: create an approval, add one signature after the other, and verify it before anybody acts on it.

Obligations, in this order (schemas/recovery-approval.md, "Verification"): two or more different approver keys are
trusted; at least two people signed the envelope, and no signature by a trusted key is false; the payload follows the
schema (:func:`verify_by_keys`); the time is within its bounds (:func:`check_time`). Under a trust policy the approvers
are its keys of the role ``incident`` that are in good standing (:func:`verify_by_policy`). Nothing of the payload is
believed before its signatures are verified.
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

MAX_BYTES = 64 * 1024 * 1024
_MODE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFile:
    """An approval and who signed it."""

    path: Path
    sha256: Sha256
    """Of the file."""
    approval: Approval
    signers: tuple[str, ...]
    """Key ids: the trusted ones that signed a verified approval; else those that the envelope claims."""
    signing: Signing | None = None
    """Only of a verified approval."""


def create(path: Path, approval: Approval, key: PrivateKey) -> ApprovalFile:
    """Write a new approval with its first signature.

    Raises:
        OutputError: ``path`` exists, or cannot be written.
    """
    checked = Approval.parse(approval.to_json())
    return _write(path, dsse.sign(checked.to_json(), [key], payload_type=PAYLOAD_TYPE))


def countersign(path: Path, output: Path, key: PrivateKey) -> ApprovalFile:
    """Write a copy of the approval at ``path`` with one more signature.

    Raises:
        UnreadableError: The file does not exist.
        SignatureError: It is no approval envelope.
        ContentError: Its payload does not follow the schema.
        UsageError: The key has signed it already.
        OutputError: ``output`` exists, or cannot be written.
    """
    data = _read(path)
    Approval.parse(dsse.payload_of(data, payload_type=PAYLOAD_TYPE), where=str(path))
    return _write(output, dsse.countersign(data, key, payload_type=PAYLOAD_TYPE))


def show(path: Path) -> ApprovalFile:
    """Read an approval and the signers that it claims; proves nothing.

    Raises:
        KitError: As :func:`countersign`.
    """
    return _describe(path, _read(path))


def verify_by_keys(path: Path, approvers: Sequence[PublicKey]) -> ApprovalFile:
    """Read an approval and check that enough approvers signed it; :func:`check_time` checks its time.

    Raises:
        UsageError: An approver's key is given twice.
        UntrustedError: Fewer than two approver keys are trusted, or fewer than two of them have signed.
        SignatureError: It is no approval envelope, or a trusted key's signature does not verify.
        ContentError: Its payload does not follow the schema.
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
    """Read an approval and check that enough people whom a policy lets approve signed it, at the time of the anchor.

    The bundle is only known once the kit is open; then :func:`require_bundle` checks it.

    Args:
        path: The approval.
        anchor: The policy, and the time at which keys must be valid. A threshold of the role above two applies; it
            counts people.

    Raises:
        UntrustedError: Too few of the signers count: a key has another role, is limited to other collections or is
            revoked, or two keys are of one person.
        SignatureError: It is no approval envelope, or the signature of a key of the policy does not verify.
        ContentError: Its payload does not follow the schema.
        StaleError: A signer's key is expired or not valid yet.
    """
    data, where = _read(path), str(path)

    def read(payload: bytes) -> tuple[Approval, Subject, Occasion]:
        # The payload decides who must sign; until enough of them have, nothing else in it is used.
        approval = Approval.parse(payload, where=where)
        return approval, _subject(approval, where), Occasion()  # an approval has no time of signing

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
    """Return a verified approval with only the signers that may sign for a bundle.

    Raises:
        UntrustedError: They are too few, or the approval was not verified.
    """
    if file.signing is None:
        raise UntrustedError("an approval that was not verified", where=str(file.path))
    subject = replace(_subject(file.approval, str(file.path)), bundle_id=bundle_id, any_bundle=False)
    signing = narrow(anchor, file.signing, subject)
    return replace(file, signers=signing.key_ids, signing=signing)


def check_time(file: ApprovalFile, now: Timestamp) -> None:
    """Check that an approval is valid at a time.

    Raises:
        StaleError: The approval is expired or not valid yet.
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
    data = read_small(path, at_most=MAX_BYTES)
    if data is None:
        raise UnreadableError("there is no such file", where=str(path))
    return data


def _write(path: Path, data: bytes) -> ApprovalFile:
    publish.write_new(path, data, mode=_MODE, what="approval")
    return _describe(path, data)


def _describe(path: Path, data: bytes) -> ApprovalFile:
    claims = dsse.claims(data, payload_type=PAYLOAD_TYPE)
    approval = Approval.parse(dsse.payload_of(data, payload_type=PAYLOAD_TYPE), where=str(path))
    signers = tuple(claim.key_id for claim in claims)
    return ApprovalFile(path=path, sha256=Sha256.of(data), approval=approval, signers=signers)
