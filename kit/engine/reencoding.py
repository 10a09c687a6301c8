"""Encodes the documents of a member again as this program writes them, to find out whether that gives what was signed.

An earlier manifest has the digest of a compressed member's stored bytes, and those do not follow from the documents
alone: codecs differ by library and level. Where this program wrote them, they are a function of the documents: one
frame for each run (:mod:`kit.documents.framing`) that it read of the generation below. So equal digests prove that the
documents are those of then, byte for byte and in their order; unequal ones prove nothing.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

from kit.archive.frames import FRAME_BYTES, encode
from kit.documents import Kind, without_last
from kit.documents.kinds import INT32
from kit.transforms.projections import RAW_LINKSET
from kit.values import Codec, RunLengths, Sha256

APPENDED = RAW_LINKSET


def without_appended(document: bytes) -> bytes | None:
    """Return a document without its last element, which is the one ``rawLinkset``, a document; None where it is not."""
    return without_last(document, APPENDED, Kind.DOCUMENT)


def sizes_when_cut(documents: Sequence[bytes], appended: RunLengths) -> bytes:
    """Return how many bytes each document had when the frames were cut, as an array of integers.

    Args:
        documents: As they were when the frames were written.
        appended: Those that had ``rawLinkset`` appended in between: frames are cut by the documents that are read.
    """
    sizes: array[int] = array("I")
    flags = appended.flags() + [False] * (len(documents) - appended.total)
    for document, was_appended in zip(documents, flags, strict=True):
        earlier = without_appended(document) if was_appended else None
        sizes.append(len(document if earlier is None else earlier))
    return sizes.tobytes()


class Reencoding:
    """Takes documents in their order, and digests what this program would have stored of them."""

    def __init__(self, codec: Codec, *, target: int = FRAME_BYTES) -> None:
        """Begin a member.

        Args:
            codec: The member's.
            target: Bytes of a run.
        """
        self._codec, self._target = codec, target
        self._stored = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._held = 0  # bytes of the open run, as it was read

    def update(self, documents: bytes, sizes: bytes) -> None:
        """Take the next documents.

        Args:
            documents: Back to back.
            sizes: As of :func:`sizes_when_cut`.
        """
        begin = at = 0
        for size in array("I", sizes):
            if self._held and self._held + size > self._target:
                self._pieces.append(documents[begin:at])
                self._close()
                begin = at
            self._held += size
            at += int(INT32.unpack_from(documents, at)[0])
        self._pieces.append(documents[begin:at])

    def digest(self) -> Sha256:
        """Return the digest of the stored bytes; ends the member."""
        self._close()
        return Sha256(self._stored.hexdigest())

    def _close(self) -> None:
        if self._held:
            self._stored.update(encode(self._codec, b"".join(self._pieces)))
        self._pieces, self._held = [], 0
