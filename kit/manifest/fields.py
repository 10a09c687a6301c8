"""Typed reading of what a manifest or a statement holds."""

from __future__ import annotations

from kit.errors import ManifestError
from kit.values import fields
from kit.values.fields import LARGEST_INTEGER, is_count, kind

__all__ = ["LARGEST_INTEGER", "Fields", "is_count", "kind"]


class Fields(fields.Fields):
    """One JSON object of it."""

    __slots__ = ()
    error = ManifestError
