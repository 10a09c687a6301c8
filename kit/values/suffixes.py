"""What stands beside a kit is named after it: with these suffixes."""

from __future__ import annotations

SIDECARS = (".sha256", ".sig")
"""Of the checksum and of the signature over the whole archive."""
BACKUP = ".bak"
"""Of the kit as it was before it was replaced."""
ROLLED_BACK = ".rolled-back"
"""Of the newer kit that a rollback keeps."""
