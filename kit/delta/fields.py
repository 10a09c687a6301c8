"""Reads JSON objects of a delta's manifest strictly: an unknown member might change what is made."""

from __future__ import annotations

from kit.errors import ArchiveError, ContentError
from kit.values import Sha256, fields

MANIFEST_NAME = "delta-manifest.json"


def exact_digest(text: str) -> Sha256:
    """Return the digest of its one spelling.

    Raises:
        ContentError: It is spelled differently.
    """
    digest = Sha256.parse(text)
    if digest.hex != text:
        raise ContentError(f"{text!r} is not 64 lower-case hex digits")
    return digest


class Fields(fields.Fields):
    """One JSON object of the manifest."""

    __slots__ = ()
    error = ArchiveError
    where = MANIFEST_NAME
