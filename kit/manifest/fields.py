"""Typed reading of what a manifest or a statement holds."""

from __future__ import annotations

from kit.errors import ManifestError
from kit.values import fields
from kit.values.fields import MAX_INTEGER, describe, is_count

__all__ = ["MAX_INTEGER", "Fields", "describe", "is_count"]


class Fields(fields.Fields):
    """One JSON object of it."""

    __slots__ = ()
    error = ManifestError
