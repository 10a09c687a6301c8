"""Hands data keys to the platform: wrapped for one recipient that the trust policy names, and recorded before that.

Judge the recipient → open the keyring → wrap → record in the audit log → give the file its name. Laws: a key leaves
only wrapped for a key with the role ``recipient`` that is in force; nothing is written or opened for another; no output
is published before its record is on disk; a key in the clear is in no file and no report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.encryption import Credentials, audit_log, load, unlock
from kit.encryption.key_records import Adapter, record_of
from kit.encryption.live_keys import wrap_for
from kit.errors import KeyUnusableError, OutputError, UsageError
from kit.output import publish
from kit.signing import PublicKey
from kit.trust import Anchor, authorise_recipient
from kit.values import Sha256, Timestamp, strict_json

_WHAT = "file of wrapped keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExportRequest:
    """Which keys are handed to whom.

    Attributes:
        keyring: The keyring.
        credentials: What opens it.
        dek_ids: The data keys, each once.
        recipient: The RSA key that they are wrapped for.
        anchor: The policy that must name it.
        adapter: The form of the records.
        audit_log: Where it is recorded.
        output: The new file.
        clock: The time of the record.
    """

    keyring: Path
    credentials: Credentials
    dek_ids: tuple[str, ...]
    recipient: PublicKey
    anchor: Anchor
    adapter: Adapter
    audit_log: Path
    output: Path
    clock: Callable[[], Timestamp]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExportReport:
    """What was handed out."""

    dek_ids: tuple[str, ...]
    recipient: str
    """Its key id."""
    output: Path
    output_sha256: Sha256
    audit_log: Path
    audit_head: Sha256
    """Digest of the record's line; a copy kept elsewhere shows whether the log was truncated."""


def export_keys(request: KeyExportRequest) -> KeyExportReport:
    """Wrap data keys for a recipient, record it, and write the records.

    Raises:
        UsageError: A key is named twice.
        UntrustedError: The policy does not name the recipient, or it is revoked.
        StaleError: The recipient is outside its validity.
        ContentError: The adapter wraps for nobody, or has no word for a state.
        KeyUnusableError: The keyring does not open, or one of the keys is not there or locked.
        DigestError: The audit log does not verify.
        OutputError: The output is there, or it or the record cannot be written.
    """
    if len(set(request.dek_ids)) != len(request.dek_ids):
        raise UsageError("a data key is named twice")
    recipient = authorise_recipient(request.anchor, request.recipient)
    if request.output.exists() or request.output.is_symlink():
        raise OutputError("is there already", where=str(request.output))
    file = load(request.keyring)
    unlocked = unlock(file.keyring, request.credentials, where=str(request.keyring))
    records: list[dict[str, Any]] = []
    for dek_id in request.dek_ids:
        dek, key = file.keyring.deks.get(dek_id), unlocked.keys.get(dek_id)
        if dek is None or key is None:
            why = "is locked" if dek is not None else "is not in the keyring"
            raise KeyUnusableError(f"data key {dek_id[:128]} {why}", where=str(request.keyring))
        records.append(
            record_of(request.adapter, dek, wrap_for(recipient.key.pem, request.adapter.wrapping, key.secret))
        )
    data = strict_json.canonical(records)
    digest = Sha256.of(data)
    with audit_log.open_log(request.audit_log) as log:
        log.append(
            {
                "record": "keys-exported",
                "time": str(request.clock()),
                "dataKeys": list(request.dek_ids),
                "recipient": recipient.key_id,
                "policySha256": str(request.anchor.policy_sha256),
                "adapter": request.adapter.name,
                "output": str(request.output.absolute()),
                "outputSha256": str(digest),
            }
        )
        publish.write_new(request.output, data, mode=0o600, what=_WHAT)
        head = log.chain.head
    return KeyExportReport(
        dek_ids=request.dek_ids,
        recipient=recipient.key_id,
        output=request.output,
        output_sha256=digest,
        audit_log=request.audit_log,
        audit_head=head,
    )
