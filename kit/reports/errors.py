"""Errors as JSON, the same in every report."""

from __future__ import annotations

from typing import Any

from kit.errors import KitError

SCHEMA_VERSION = "1"
"""The version of every report without one of its own."""


def error_json(error: KitError) -> dict[str, Any]:
    """Return an error as JSON."""
    return {"kind": type(error).__name__, "where": error.where, "what": error.what, "hint": error.hint}
