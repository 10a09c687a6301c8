"""Suffixes of the files next to a kit, which are named after it."""

from __future__ import annotations

SIDECARS = (".sha256", ".sig")
"""The checksum and the signature over the whole archive."""
BACKUP = ".bak"
"""The kit before it was replaced."""
ROLLED_BACK = ".rolled-back"
"""The newer kit, which a rollback keeps."""
