"""Kinds of files that a user may name."""

from __future__ import annotations

import enum


class FileKind(enum.Enum):
    """A kind of file; its value is what it is called."""

    KIT = "a kit"
    DELTA = "a delta"
    PUBLIC_KEY = "a public key"
    PRIVATE_KEY = "a private key"
    PROOF = "a proof"
    RECEIPT = "a receipt"
    COMPARISON = "a receipt of a comparison"
    STATEMENT = "a provenance statement"
    APPROVAL = "an approval"
    POLICY = "a trust policy"
    STATE = "the state of a trust policy"
    KEYRING = "a keyring"
    FIELD_MAP = "a field map"
    MIGRATION = "a migration"
    RECORD = "a release record"
    MANIFEST = "the manifest of a kit"
    AUDIT_LOG = "an audit log"
    PAGE = "a report page"
    SCRIPT = "a verification script"

    def is_a(self, kind: FileKind) -> bool:
        """Return whether it serves where ``kind`` is expected: itself, and one receipt for the other."""
        return self is kind or (self, kind) == (FileKind.COMPARISON, FileKind.RECEIPT)

    @property
    def is_key(self) -> bool:
        """Return whether it is a key that signs or verifies."""
        return self in {FileKind.PUBLIC_KEY, FileKind.PRIVATE_KEY}
