"""``kit approval``: approvals are made, signed by one person after the other, and verified before they are acted on.

Obligations of :func:`verified`, in this order (schemas/recovery-approval.md, "Verification"): two or more approver keys
are trusted, each once; the envelope is signed by at least two of them, and by none of them falsely; the payload is of
the schema; the time is within its bounds. Nothing of the payload is believed before its signatures are verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit import secret_files
from kit.archive import read_small
from kit.encryption.approval import PAYLOAD_TYPE, REQUIRED_SIGNATURES, Approval
from kit.errors import SignatureError, StaleError, UnreadableError, UnsignedError, UntrustedError, UsageError
from kit.signing import PrivateKey, PublicKey, dsse
from kit.values import Sha256, Timestamp

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
    try:
        signed = dsse.verify(data, trusted, payload_type=PAYLOAD_TYPE)
    except UnsignedError as error:
        raise UntrustedError(
            f"{error.what}; {REQUIRED_SIGNATURES} approvers must have signed", where=str(path)
        ) from error
    except (UntrustedError, SignatureError) as error:
        raise error.inside(str(path)) from error.__cause__
    signers = signed.check.valid_key_ids
    if len(signers) < REQUIRED_SIGNATURES:
        raise UntrustedError(
            f"signed by {len(signers)} of the approvers trusted, and {REQUIRED_SIGNATURES} are required",
            where=str(path),
        )
    approval = Approval.parse(signed.payload, where=str(path))
    try:
        approval.check_time(now)
    except StaleError as error:
        raise error.inside(str(path)) from None
    return ApprovalFile(path=path, sha256=Sha256.of(data), approval=approval, signers=signers)


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
