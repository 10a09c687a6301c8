"""Typed reading of manifests and statements."""

from __future__ import annotations

from kit.errors import ManifestError
from kit.values import fields
from kit.values.fields import MAX_INTEGER, describe, is_count

__all__ = ["MAX_INTEGER", "Fields", "describe", "is_count"]


class Fields(fields.Fields):
    """One JSON object; a fault is a ``ManifestError``."""

    __slots__ = ()
    error = ManifestError
