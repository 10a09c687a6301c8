"""The roles of keys: what a signature can mean."""

from __future__ import annotations

import enum


class Role(enum.StrEnum):
    """One purpose of signing; a key has only the roles that its policy names."""

    PUBLISHER = "publisher"
    """Signs first generations, which come from the vendor."""
    PATCHER = "patcher"
    """Signs generations made from another, and statements of provenance."""
    INCIDENT = "incident"
    """Signs approvals to open encrypted fields."""
    AUDITOR = "auditor"
    """Signs receipts of verifications."""
    ROOT = "root"
    """Signs policies, and nothing else: the keys that decide about trust are not used daily."""
