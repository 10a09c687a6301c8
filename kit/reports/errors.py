"""An error, as every report shows it."""

from __future__ import annotations

from typing import Any

from kit.errors import KitError

SCHEMA_VERSION = "1"
"""Of every report that names no version of its own."""


def error_json(error: KitError) -> dict[str, Any]:
    """Give an error as every report shows it."""
    return {"kind": type(error).__name__, "where": error.where, "what": error.what, "hint": error.hint}
