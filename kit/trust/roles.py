"""The roles a key can have: what a signature by it can mean."""

from __future__ import annotations

import enum


class Role(enum.StrEnum):
    """One purpose of signing; a key has those its policy names, and no other."""

    PUBLISHER = "publisher"
    """Signs first generations: what came from the vendor."""
    PATCHER = "patcher"
    """Signs generations made from another, and the statements of what was done."""
    INCIDENT = "incident"
    """Signs approvals to open encrypted fields."""
    AUDITOR = "auditor"
    """Signs receipts: what was verified, under which policy, when."""
    ROOT = "root"
    """Signs policies, and nothing else: who decides whom to trust is not who is trusted day by day."""
