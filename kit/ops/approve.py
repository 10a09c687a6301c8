"""``kit approval``: approvals are made, signed by one person after the other, and verified before they are acted on.

Obligations of :func:`verified`, in this order (schemas/recovery-approval.md, "Verification"): two or more approver keys
are trusted, each once; the envelope is signed by at least two of them, and by none of them falsely; the payload is of
the schema; the time is within its bounds. Under a trust policy (:func:`verified_under`) the approvers are its keys of
the role ``incident`` that are in good standing. Nothing of the payload is believed before its signatures are verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kit import secret_files
from kit.archive import read_small
from kit.encryption.approval import PAYLOAD_TYPE, REQUIRED_SIGNATURES, Approval
from kit.errors import SignatureError, StaleError, UnreadableError, UnsignedError, UntrustedError, UsageError
from kit.signing import PrivateKey, PublicKey, dsse
from kit.trust import Anchor, Policy, Role, Signing, Subject, authorised, freshness
from kit.trust.freshness import Moment
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


def verified(path: Path, approvers: Sequence[PublicKey], now: Timestamp) -> ApprovalFile:
    """Read an approval that counts at the time ``now``.

    Raises:
        UsageError: An approver's key is given twice.
        UntrustedError: Fewer than two approver keys are trusted, or fewer than two of them have signed.
        SignatureError: It is no approval envelope, or a trusted key's signature does not verify.
        ContentError: Its payload is not of the schema.
        StaleError: It is expired or not valid yet.
    """
    trusted = {key.key_id: key for key in approvers}
    if len(trusted) != len(approvers):
        raise UsageError("an approver's key is given twice")
    if len(trusted) < REQUIRED_SIGNATURES:
        raise UntrustedError(
            f"{len(trusted)} approver keys are trusted, and {REQUIRED_SIGNATURES} must have signed",
            hint="name each with --approver-key",
        )
    data = _read(path)
    signed = _signed(path, data, trusted)
    signers = signed.check.valid_key_ids
    if len(signers) < REQUIRED_SIGNATURES:
        raise UntrustedError(
            f"signed by {len(signers)} of the approvers trusted, and {REQUIRED_SIGNATURES} are required",
            where=str(path),
        )
    return _in_time(
        ApprovalFile(path=path, sha256=Sha256.of(data), approval=_parsed(path, signed), signers=signers), now
    )


def verified_under(path: Path, anchor: Anchor, now: Timestamp) -> ApprovalFile:
    """Read an approval that counts at the time ``now``, by the keys that a policy has for incidents.

    Which bundle it is for is known once the kit is: then :func:`require_bundle`.

    Args:
        path: The approval.
        anchor: The policy. Its threshold for the role holds where it is more than two.
        now: The time of the verdict.

    Raises:
        UntrustedError: Too few of those who may have signed: another role, a collection beyond a key's limits, a key
            that is revoked.
        SignatureError: It is no approval envelope, or the signature of a key of the policy does not verify.
        ContentError: Its payload is not of the schema.
        StaleError: It is expired or not valid yet, or a signer's key is.
    """
    data = _read(path)
    signed = _signed(path, data, anchor.policy.public_keys)
    # Who may sign what, the payload has to say; until enough of those have signed, nothing else of it counts.
    approval = _parsed(path, signed)
    any_bundle = replace(anchor.policy, keys=tuple(replace(key, bundle_ids=None) for key in anchor.policy.keys))
    signing = _approvers(any_bundle, approval, signed.check.valid_key_ids, str(path))
    moment = Moment(signed_at=None, now=now, vouched_for=False)  # an approval does not say when it was signed
    signers = tuple(key.key_id for key in signing.require(lambda key: freshness.standing(key, moment)))
    return _in_time(ApprovalFile(path=path, sha256=Sha256.of(data), approval=approval, signers=signers), now)


def require_bundle(file: ApprovalFile, anchor: Anchor, bundle_id: str | None) -> ApprovalFile:
    """Give a verified approval with those signers that may sign for a bundle.

    Raises:
        UntrustedError: They are too few.
    """
    signing = _approvers(anchor.policy, file.approval, file.signers, str(file.path), bundle_id)
    return replace(file, signers=tuple(key.key_id for key in signing.keys))


def _approvers(
    policy: Policy, approval: Approval, key_ids: Sequence[str], where: str, bundle_id: str | None = None
) -> Signing:
    collections = approval.scope.collections
    members = tuple(MemberPath(f"{name.database}/{name.collection}.bson") for name in collections)
    subject = Subject(what=where, role=Role.INCIDENT, bundle_id=bundle_id, members=members)
    needed = max(policy.threshold(Role.INCIDENT), REQUIRED_SIGNATURES)
    return authorised(replace(policy, thresholds={**policy.thresholds, Role.INCIDENT: needed}), subject, key_ids)


def _signed(path: Path, data: bytes, trusted: Mapping[str, PublicKey]) -> dsse.SignedPayload:
    try:
        return dsse.verify(data, trusted, payload_type=PAYLOAD_TYPE)
    except UnsignedError as error:
        raise UntrustedError(
            f"{error.what}; {REQUIRED_SIGNATURES} approvers must have signed", where=str(path)
        ) from error
    except (UntrustedError, SignatureError) as error:
        raise error.inside(str(path)) from error.__cause__


def _parsed(path: Path, signed: dsse.SignedPayload) -> Approval:
    return Approval.parse(signed.payload, where=str(path))


def _in_time(file: ApprovalFile, now: Timestamp) -> ApprovalFile:
    try:
        file.approval.check_time(now)
    except StaleError as error:
        raise error.inside(str(file.path)) from None
    return file


def _read(path: Path) -> bytes:
    data = read_small(path, at_most=LARGEST)
    if data is None:
        raise UnreadableError("there is no such file", where=str(path))
    return data


def _written(path: Path, data: bytes) -> ApprovalFile:
    secret_files.write_new(path, data, _MODE, what="approval")
    return _told(path, data)


def _told(path: Path, data: bytes) -> ApprovalFile:
    claims = dsse.claims(data, payload_type=PAYLOAD_TYPE)
    approval = Approval.parse(dsse.payload_of(data, payload_type=PAYLOAD_TYPE), where=str(path))
    signers = tuple(claim.key_id for claim in claims)
    return ApprovalFile(path=path, sha256=Sha256.of(data), approval=approval, signers=signers)
