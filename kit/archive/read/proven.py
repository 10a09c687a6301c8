"""What a writer proved of the frames of its archive while it made them, and how a reader uses that.

A frame is known by the digest of its stored bytes if it was decoded again and compared when it was made
(:func:`encode_proven`), or if it was copied from an archive whose stored bytes were digested. If it has the same digest
when it is read back from the disk, it has the same content. So a body whose frames are all known is known, too, and
frames within it are digested and not decoded (docs/design/readings.md).

Laws: every frame of the archive is read, and is as long, stored and decoded, as the one that was written; a frame with
a digest has that digest; headers, padding, unknown members and the bytes after the last frame are read as in any
archive; a limit that would refuse the fully decoded archive refuses it here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kit.archive.frames import Frame, encode, is_frame_of, window_of
from kit.archive.read.codecs import decode
from kit.archive.source import ChunkReader, KnownBytes
from kit.errors import DigestError
from kit.output.spool import Extent
from kit.values import Codec, Limits, MemberPath, Sha256

LEAST_BYTES = 64 * 1024
"""Smallest body that is kept. A kit may have many smaller ones, which cost less to decode than to keep."""

_HINT = "nothing was signed, and the kit is as it was; this is a fault of the program or of the machine: report it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Where the body of a file is in the decoded bytes of a part of an archive."""

    path: MemberPath
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenBody:
    """The body of a file, all of whose frames are known."""

    start: int
    """Its first byte in the decoded archive."""
    size: int
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What a writer knows of its archive."""

    frames: Sequence[Extent]
    """All frames, in the order of the archive; their offsets are those in the spool."""
    bodies: Mapping[MemberPath, ProvenBody]
    """In the order of the archive."""
    tail: bytes
    """Bytes after the last frame."""

    @classmethod
    def of(cls, frames: Sequence[Extent], bodies: Iterable[tuple[MemberPath, ProvenBody]], tail: bytes) -> Proven:
        """Return what is known of an archive.

        Args:
            frames: All frames of it.
            bodies: Bodies whose content is known, in the order of the archive. One that is partly in a frame without a
                digest is omitted.
            tail: Bytes after the last frame.
        """
        known, at, number = {}, 0, 0
        for path, body in bodies:
            while at + frames[number].length <= body.start:
                at += frames[number].length
                number += 1
            first, end = number, at
            while end < body.start + body.size:
                end += frames[number].length
                number += 1
            # The next body may begin in the frame that this one ends in.
            number -= 1
            at = end - frames[number].length
            if all(frames[one].sha256 for one in range(first, number + 1)):
                known[path] = body
        return cls(frames=frames, bodies=known, tail=tail)

    def walk(self) -> Iterator[tuple[Extent, bool]]:
        """Yield each frame, and whether it holds nothing but a part of one body that is known."""
        bodies = iter(self.bodies.values())
        body, at = next(bodies, None), 0
        for frame in self.frames:
            end = at + frame.length
            while body is not None and body.start + body.size <= at:
                body = next(bodies, None)
            yield frame, body is not None and at < end and body.start <= at and end <= body.start + body.size
            at = end


def encode_proven(codec: Codec, data: bytes, kept: bytes = b"") -> Frame:
    """Encode ``data`` as one frame, decode that again, and compare.

    Args:
        codec: How.
        data: What is encoded.
        kept: The frame that an earlier process made; it is returned if it has our form and holds this very data.

    Raises:
        DigestError: The frame holds something else.
    """
    if kept and is_frame_of(codec, kept, data):
        return known_frame(kept, len(data))
    encoded = encode(codec, data)
    if not is_frame_of(codec, encoded, data):
        raise DigestError("what was compressed does not come out again", hint=_HINT)
    return known_frame(encoded, len(data))


def known_frame(encoded: bytes, length: int) -> Frame:
    """Return a frame whose content is known, with its digest."""
    return Frame(encoded=encoded, length=length, sha256=hashlib.sha256(encoded).digest())


def decode_proven(
    codec: Codec, reader: ChunkReader, limits: Limits, *, where: str, proven: Proven
) -> Iterator[bytes | KnownBytes]:
    """Yield the decoded bytes of an archive that was just written, read back from ``reader``.

    Raises:
        ArchiveError: It is not what was written, or not well-formed.
        LimitError: As for :func:`kit.archive.read.codecs.decode`.
    """
    produced = unread = length = 0  # unread: stored bytes of frames that are decoded together, to that length
    for frame, is_inside in proven.walk():
        if not frame.sha256:
            unread += frame.size
            length += frame.length
            continue
        if unread:
            yield from _decode_part(codec, reader, unread, length, limits, where=where, produced=produced)
            produced += length
            unread = length = 0
        start = reader.offset
        stored = reader.read_exactly(frame.size, "a frame")
        if hashlib.sha256(stored).digest() != frame.sha256:
            raise reader.fault("a frame is not the one that was written", start)
        if is_inside and _is_allowed(frame.length, start, produced, limits):
            yield KnownBytes(length=frame.length)
        else:
            part = ChunkReader((stored,), where=where, start=start)
            yield from _decode_part(codec, part, frame.size, frame.length, limits, where=where, produced=produced)
        produced += frame.length
    if unread:
        yield from _decode_part(codec, reader, unread, length, limits, where=where, produced=produced)
    start = reader.offset
    if reader.read_up_to(len(proven.tail) + 1) != proven.tail:
        raise reader.fault("what follows the last frame is not what was written", start)


def _decode_part(
    codec: Codec, reader: ChunkReader, size: int, length: int, limits: Limits, *, where: str, produced: int
) -> Iterator[bytes]:
    """Yield what the next ``size`` stored bytes decode to, which must be ``length`` bytes."""
    start, found = reader.offset, 0
    part = ChunkReader(_next(reader, size), where=where, start=start)
    for chunk in decode(codec, part, limits, where=where, produced=produced):
        found += len(chunk)
        yield chunk
    if found != length or part.offset != start + size:
        raise reader.fault("frames do not hold as much as was written", start)


def _next(reader: ChunkReader, size: int) -> Iterator[bytes]:
    """Yield the next ``size`` bytes, or fewer at the end."""
    while size and (data := reader.read_some(size)):
        size -= len(data)
        yield data


def _is_allowed(length: int, start: int, produced: int, limits: Limits) -> bool:
    """Return whether no limit can refuse the frame at ``start``, so that it need not be decoded for the limits."""
    expanded = produced + length
    return window_of(length) <= limits.window_bytes and (
        expanded <= limits.ratio_floor_bytes or expanded <= limits.ratio * max(start, 1)
    )
