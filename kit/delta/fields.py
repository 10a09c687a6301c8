"""JSON objects of a delta's manifest, read strictly: what is not understood might say how to make something else."""

from __future__ import annotations

from kit.errors import ArchiveError, ContentError
from kit.values import Sha256, fields

MANIFEST_NAME = "delta-manifest.json"


def exact_digest(text: str) -> Sha256:
    """Read a digest in its one spelling.

    Raises:
        ContentError: It is another.
    """
    digest = Sha256.parse(text)
    if digest.hex != text:
        raise ContentError(f"{text!r} is not 64 lower-case hex digits")
    return digest


class Fields(fields.Fields):
    """One JSON object of it."""

    __slots__ = ()
    error = ArchiveError
    where = MANIFEST_NAME
